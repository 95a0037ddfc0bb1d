"""What a run had to do without: a quicker path that did not work here, and what took its place.

Each is told once, as one warning, and kept for run.json, so that a slow run says why it was slow.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_TAKEN: dict[str, str] = {}  # of this process, by what was wanted


def fall_back(wanted: str, instead: str, reason: object) -> None:
    """Tells, once a process, that something wanted is not to be had, what is done instead, and why.

    >>> fall_back("FlashAttention-4", "cuDNN's attention", "flash_attn is not installed")
    """
    if wanted in _TAKEN:
        return
    why = " ".join(str(reason).split())[:300] or type(reason).__name__
    _TAKEN[wanted] = f"{instead}, since {why}"
    logger.warning("%s does not work here; %s instead (%s)", wanted, instead, why)


def fallbacks() -> dict[str, str]:
    """What was done without in this process: by what was wanted, what took its place and why."""
    return dict(_TAKEN)


def forget_fallbacks() -> None:
    """Begins anew; for tests."""
    _TAKEN.clear()
