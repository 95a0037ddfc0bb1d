"""Time stamps: when each frame is shown, and whether they come at a constant rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

LONGEST_GAP = 10.0  # seconds; more in a broadcast stream is a new clock, not a pause (FFmpeg's dts_delta_threshold)
BROADCAST = frozenset({"mpegts", "mpeg"})  # formats whose clock may start anew
USUAL_RATE = 25.0  # frames per second where nothing is declared: FFmpeg's own default for bare streams


def is_even(stamps: Sequence[int]) -> bool:
    """True if whole numbers rise by the same step up to 1, the rounding of their unit."""
    gaps = np.diff(stamps)
    return len(gaps) == 0 or bool(gaps.min() > 0 and gaps.max() - gaps.min() <= 1)


def to_times(
    pts: Sequence[int | None], dts: Sequence[int | None], tick: float, rate: float | None, container: str
) -> Times:
    """Seconds (T,) at which frames are shown, rising, from 0 on.

    pts: their presentation times, in the order they are shown; taken if they rise. Or else dts, the times at which
    packets are decoded, in the order of the file (AVI has no others, and what is guessed from them jumps). Or else pts
    with the usual step wherever one is missing, goes back or starts a new clock. tick: seconds of a unit. rate: as
    declared.
    """
    limit = LONGEST_GAP / tick if BROADCAST & set(container.split(",")) else np.inf
    for stamps in (pts, dts):
        if None not in stamps:
            steps = np.diff(np.array(stamps, dtype=np.int64))
            if len(steps) == 0 or (steps.min() > 0 and steps.max() <= limit):
                return np.concatenate([[0.0], np.cumsum(steps) * tick])
    gaps = np.diff(np.array([np.nan if stamp is None else stamp for stamp in pts], dtype=np.float64))
    fine = (gaps > 0) & (gaps <= limit)  # NaN is not
    usual = np.median(gaps[fine]) if fine.any() else 1 / (rate or USUAL_RATE) / tick
    return np.concatenate([[0.0], np.cumsum(np.where(fine, gaps, usual)) * tick])


def constant_rate(times: Times, tick: float, declared: float | None) -> float | None:
    """Frames per second if every time lies within a tick of an even grid, or None; the declared rate if it fits."""
    if len(times) == 1:
        return declared or USUAL_RATE
    mean = (len(times) - 1) / float(times[-1] - times[0])
    for rate in filter(None, (declared, mean)):
        if np.abs(times - times[0] - np.arange(len(times)) / rate).max() <= 1.001 * tick:
            return rate
    return None
