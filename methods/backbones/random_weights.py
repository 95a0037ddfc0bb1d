"""Folders of random weights in the layout of a real backbone: for tests, and for timings that need no real weights."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from . import tiny_parts


def save_random_tiny(folder: Path, vocabulary: Sequence[str], *, seed: int = 0) -> Path:
    """Write an untrained `tiny` (same classes and sizes, seeded random weights) as a diffusers folder; returns it."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokenizer = tiny_parts.tokenizer(vocabulary)
        parts = {
            "transformer": tiny_parts.transformer(),
            "vae": tiny_parts.vae(),
            "text_encoder": tiny_parts.text_encoder(len(tokenizer)),
            "tokenizer": tokenizer,
        }
    for name, part in parts.items():
        part.save_pretrained(folder / name)
    (folder / "motionbench.json").write_text(json.dumps(asdict(tiny_parts.SPEC), indent=1))
    return folder
