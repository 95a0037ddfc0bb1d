"""By which of several equal paths a run computed: what was chosen, and what it had to do without, and why.

A quicker path that does not work here is told once, as one warning. Both are kept for run.json, so that a slow run says
why it was slow.
"""

from __future__ import annotations

import logging

logger = logging.getLogger(__name__)

_CHOSEN: dict[str, str] = {}  # of this process, by what there was to choose
_MISSED: dict[str, str] = {}  # of this process, by what was wanted


def chose(what: str, choice: str) -> None:
    """Keeps which of several paths was taken, such as `attention`: `cudnn`."""
    _CHOSEN[what] = choice


def fall_back(wanted: str, instead: str, reason: object) -> None:
    """Tells, once a process, that something wanted is not to be had, what is done instead, and why.

    >>> fall_back("FlashAttention-4", "cuDNN's attention", "flash_attn is not installed")
    """
    if wanted in _MISSED:
        return
    why = " ".join(str(reason).split())[:300] or type(reason).__name__
    _MISSED[wanted] = f"{instead}, since {why}"
    logger.warning("%s does not work here; %s instead (%s)", wanted, instead, why)


def fallbacks() -> dict[str, str]:
    """What was done without in this process: by what was wanted, what took its place and why."""
    return dict(_MISSED)


def execution() -> dict[str, dict[str, str]]:
    """What run.json keeps of both; {} where there was nothing to choose, as on a CPU."""
    facts = {"chosen": dict(sorted(_CHOSEN.items())), "fallbacks": dict(sorted(_MISSED.items()))}
    return {name: values for name, values in facts.items() if values}


def forget_fallbacks() -> None:
    """Begins anew; for tests."""
    _CHOSEN.clear()
    _MISSED.clear()
