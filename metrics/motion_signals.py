"""Velocity signals of many tracks or places over time: how alike two are, and how large one is."""

from __future__ import annotations

import numpy as np

from .track_matching import Array

_LAGS = (2, 4, 8)  # single steps are mostly the tracks' own wavering


def lags(steps: int) -> tuple[int, ...]:
    """Over how many steps displacements are compared: 2, 4 and 8, as far as the clip goes."""
    return tuple(lag for lag in _LAGS if lag <= steps) or ((1,) if steps else ())


def sums_over_time(x: Array) -> Array:
    """Sums along the time (axis 1) up to each frame: (..., T-1, ...) -> (..., T, ...), 0 first."""
    sums = np.zeros((x.shape[0], x.shape[1] + 1, *x.shape[2:]))
    np.cumsum(x, axis=1, out=sums[:, 1:])
    return sums


def sum_over(sums: Array, lag: int) -> Array:
    """From `sums_over_time`: the sum over `lag` steps, (..., T-lag, ...)."""
    over: Array = sums[:, lag:] - sums[:, :-lag]
    return over


def all_seen(seen: Array, lag: int) -> Array:
    """1 where every one of `lag` steps was seen, from how many were."""
    return (seen > lag - 0.5).astype(float)


def likeness(a: Array, wa: Array, b: Array, wb: Array, side: Array | None = None) -> float:
    """2 <a, b> / (<a, a> + <b, b>) of signals (P, T-1, C), where both are seen (P, T-1); side: (P,) weights."""
    path_a, path_b, joint = sums_over_time(a), sums_over_time(b), sums_over_time(wa * wb)
    cross = own = 0.0
    for lag in lags(a.shape[1]):
        da, db, valid = sum_over(path_a, lag), sum_over(path_b, lag), all_seen(sum_over(joint, lag), lag)
        if side is not None:
            valid = valid * side[:, None]
        scale = 1 / (lag**2 * max(valid.sum(), 1e-12))
        cross += scale * float((da * db * valid[..., None]).sum())
        own += scale * float(((da**2 + db**2) * valid[..., None]).sum())
    return 2 * cross / own if own > 0 else 0.0


def amplitude(steps: Array, weights: Array, side: Array | None = None) -> float:
    """Root mean square displacement per step over the lags, in diagonals; side: (P,) weights of the places."""
    path, seen = sums_over_time(steps), sums_over_time(weights)
    total = 0.0
    used = lags(steps.shape[1])
    for lag in used:
        d, valid = sum_over(path, lag), all_seen(sum_over(seen, lag), lag)
        if side is not None:
            valid = valid * side[:, None]
        total += float(((d**2).sum(-1) * valid).sum()) / (lag**2 * max(valid.sum(), 1e-12))
    return float(np.sqrt(total / max(len(used), 1)))
