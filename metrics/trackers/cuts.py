"""Hard cuts: where a clip turns to another shot.

A frame belongs to another shot if hardly anything of it is found in the frames before the cut and nearly everything is
found within either side. Blocks are searched for, so that motion is no cut; by correlation, so that a change of light
is none; and across the neighbors, so that a flash is none. What is never alike from frame to frame has no cuts.
Thresholds were chosen on training and tuning clips of the embedded world: neighbors there are alike by 0.70 at least,
frames of different clips by 0.63 at most (400 pairs).
"""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_SIDE = 48  # pixels of the thumbnails that are compared
_BLOCK = 12  # of them a block is wide
_REACH = 14  # of them a block may move from frame to frame: 0.3 of the frame
_FLAT = 2.0  # standard deviation (of 255) below which a block shows nothing that could be found again
_FOREIGN = 0.6  # likeness (median of the blocks' best correlations) below which two frames are of different shots
_ALIKE = 0.15  # likeness by which neighbors on either side of a cut exceed the two that it parts


def first_cut(frames: Pixels) -> int | None:
    """The number of the frame (T, H, W, 3) that begins the second shot; None for a clip of one shot."""
    return next(iter(cuts(frames)), None)


def cuts(frames: Pixels) -> list[int]:
    """The numbers of the frames that begin another shot, in order; [] for a clip of one shot."""
    small = [cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    near = [likeness(a, b) for a, b in pairwise(small)]  # near[t - 1]: of frames t - 1 and t
    return [t for t in range(1, len(small)) if near[t - 1] < _FOREIGN and _is_cut(small, near, t)]


def likeness(a: Pixels, b: Pixels) -> float:
    """How much of two thumbnails is found in the other, up to 1: median over blocks of the best correlation nearby.

    The better of both ways, since what enters the frame is in one of the two only. 1 if neither shows anything.
    """
    if _correlation(a, b) > 0.9:  # most neighbors: no need to search
        return 1.0
    one = _likeness(a, b)
    if one is not None and one >= _FOREIGN + _ALIKE:  # the other way could not change what is made of it
        return one
    both = [value for value in (one, _likeness(b, a)) if value is not None]
    return max(both, default=1.0)


def _is_cut(small: list[Pixels], near: list[float], t: int) -> bool:
    """Whether nothing two frames apart leads over from before `t`, and neighbors on either side are more alike."""
    across = [near[t - 1]]
    across += [likeness(small[t - 2], small[t])] if t > 1 else []
    across += [likeness(small[t - 1], small[t + 1])] if t + 1 < len(small) else []
    within = [near[u - 1] for u in (t - 1, t + 1) if 1 <= u < len(small)]
    return max(across) < _FOREIGN and min(within, default=1.0) > max(across) + _ALIKE


def _likeness(a: Pixels, b: Pixels) -> float | None:
    """Median of the best correlations of the blocks of `a` in `b`; None if no block shows anything."""
    best = []
    for y in range(0, _SIDE, _BLOCK):
        for x in range(0, _SIDE, _BLOCK):
            block = a[y : y + _BLOCK, x : x + _BLOCK]
            if block.std() >= _FLAT:
                rows = slice(max(0, y - _REACH), y + _BLOCK + _REACH)
                columns = slice(max(0, x - _REACH), x + _BLOCK + _REACH)
                scores = cv2.matchTemplate(b[rows, columns], block, cv2.TM_CCOEFF_NORMED)
                best.append(float(np.nan_to_num(scores, nan=0.0, posinf=0.0, neginf=0.0).max()))
    return float(np.median(best)) if best else None


def _correlation(a: Pixels, b: Pixels) -> float:
    """Of two whole thumbnails as they lie on each other."""
    x, y = (v.astype(np.float64).ravel() - v.mean() for v in (a, b))
    scale = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / scale) if scale > 0 else 0.0
