"""Seeds derived from names, so that order, shards and workers change no number."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *names: str) -> int:
    """A 63-bit seed from a base seed and names (case id, stage, ...): the same on every machine and in every order."""
    text = "\x1f".join([str(int(seed)), *names])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
