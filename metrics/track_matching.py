"""Track-to-track formulas: which tracks move, how alike two sets of directions are, and how fast they go.

All take `Tracks`; lengths are divided by the diagonal of the clip, so that a clip and its enlargement agree while a
stretched one does not. Source: definitions of Yatim et al. (arXiv:2311.17009, Section 5.1), mended: still tracks are
left out, steps are weighed by visibility, and both directions are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from motionbench.tracks import Tracks

Array = NDArray[np.float64]

MOVING_RANGE = 0.01  # of the diagonal; a range, not a path length, which jitter alone makes long
_TINY_STEP = 1e-6  # of the diagonal
KEPT = 16  # clips whose motion, camera and parts are kept for the next metric, and the next clip of the same reference


@dataclass(frozen=True, eq=False)
class Motion:
    """N usable tracks over T frames, in diagonals of the frame.

    points: (N, T, 2), with hidden stretches held at the last visible place. weights: (N, T-1) in {0, 1}, both ends
    of the step visible. size: (width, height) of the frame, in diagonals. asked: how many points were to be followed,
    of which these N are left. brief: those that are seen for one step at least, but not for half of them: too short
    for a path, while each step tells what moved there and then.
    """

    points: Array
    weights: Array
    size: tuple[float, float]
    asked: int = 0
    brief: Motion | None = None

    @property
    def steps(self) -> Array:
        """(N, T-1, 2) displacement per step, 0 where the weight is 0."""
        return np.diff(self.points, axis=1) * self.weights[..., None]

    def keep(self, mask: NDArray[np.bool_]) -> Motion:
        """The tracks of a mask (N,)."""
        return Motion(self.points[mask], self.weights[mask], self.size, self.asked)

    @property
    def steps_seen(self) -> Motion:
        """All tracks, brief ones too."""
        if self.brief is None or not len(self.brief.points):
            return self
        points = np.concatenate([self.points, self.brief.points])
        return Motion(points, np.concatenate([self.weights, self.brief.weights]), self.size, self.asked)


@lru_cache(maxsize=KEPT)
def tracks_to_motion(tracks: Tracks) -> Motion:
    """Tracks seen in at least half of the steps, in diagonals, in an order that does not depend on the input's.

    Points that are not finite count as hidden. Sorting makes every later formula independent of the tracks' order.
    All metrics that ask for the same tracks get the same motion, made once.
    """
    diagonal = float(np.hypot(tracks.width, tracks.height))
    points = tracks.points.astype(np.float64) / diagonal
    visible = tracks.visible & np.isfinite(points).all(-1)
    weights = (visible[:, 1:] & visible[:, :-1]).astype(np.float64)
    size = tracks.width / diagonal, tracks.height / diagonal
    share = weights.mean(1) if weights.shape[1] else np.zeros(len(points))

    def chosen(mask: NDArray[np.bool_]) -> Motion:
        still = hold_hidden(points[mask], visible[mask])
        order = _order(still)
        return Motion(still[order], weights[mask][order], size, len(points))

    return replace(chosen(share >= 0.5), brief=chosen((share > 0) & (share < 0.5)))


def _order(points: Array) -> NDArray[np.intp]:
    """(N,) which sorts tracks (N, T, 2) by place."""
    if not len(points):
        return np.zeros(0, np.intp)
    keys = np.concatenate([points[:, 0, ::-1], points[:, 1:].reshape(len(points), -1)], axis=1)
    return np.lexsort(keys.T[::-1])


def hold_hidden(points: Array, visible: NDArray[np.bool_]) -> Array:
    """Points (N, T, 2) with each hidden one at the last visible place (the first visible one before that)."""
    frames = points.shape[1]
    last = np.maximum.accumulate(np.where(visible, np.arange(frames), -1), axis=1)
    first = visible.argmax(axis=1)
    index = np.where(last < 0, first[:, None], last)
    filled: Array = np.take_along_axis(points, index[..., None], axis=1)
    return filled


def resample_motion(motion: Motion, frames: int) -> Motion:
    """The motion at `frames` evenly spaced times, positions between frames by linear interpolation.

    Frames themselves are never blended (scoring samples the nearest); tracks are curves, which may be read in between.
    A step counts as visible if every step that it touches is.
    """
    have = motion.points.shape[1]
    if have == frames:
        return motion
    times = np.linspace(0, have - 1, frames)
    low = np.minimum(times.astype(int), max(have - 2, 0))
    part = (times - low)[None, :, None]
    high = np.minimum(low + 1, have - 1)
    points = motion.points[:, low] * (1 - part) + motion.points[:, high] * part
    total = np.concatenate([np.zeros((len(points), 1)), np.cumsum(motion.weights == 0, axis=1)], axis=1)
    begin, end = np.floor(times[:-1] + 1e-9).astype(int), np.ceil(times[1:] - 1e-9).astype(int)
    weights = (total[:, end] - total[:, begin] == 0).astype(np.float64)
    brief = None if motion.brief is None else resample_motion(motion.brief, frames)
    return Motion(points, weights, motion.size, motion.asked, brief)


def motion_range(points: Array) -> Array:
    """(N,) how far each smoothed track (N, T, 2) gets from its start, in the points' unit."""
    if points.shape[1] < 2:
        return np.zeros(len(points))
    padded = np.concatenate([points[:, :1], points, points[:, -1:]], axis=1)
    smooth = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    far: Array = np.linalg.norm(smooth - points[:, :1], axis=-1).max(axis=1)
    return far


def moving(motion: Motion) -> Motion:
    """The tracks whose range exceeds `MOVING_RANGE`."""
    return motion.keep(motion_range(motion.points) > MOVING_RANGE)


def direction_similarity(a: Motion, b: Motion) -> Array:
    """(N, M) mean cosine of step directions, weighed by visibility, in [-1, 1]; 0 for tracks never seen together."""
    va, vb = _directions(a), _directions(b)
    joint = a.weights @ b.weights.T
    similarity: Array = np.divide(va @ vb.T, joint, out=np.zeros_like(joint), where=joint > 0)
    return similarity


def _directions(motion: Motion) -> Array:
    steps = motion.steps
    length = np.linalg.norm(steps, axis=-1, keepdims=True)
    directions: Array = (steps / np.maximum(length, _TINY_STEP)).reshape(len(steps), -1)
    return directions


def mf(generated: Motion, reference: Motion) -> float | None:
    """Mean best direction match of moving tracks, both ways, in [-1, 1]; None if nothing moves in the reference.

    Direction only: ten times slower scores 1, and so does a clip in which one of many tracks moves right. Kept because
    the field's formula is this one; see `mf_match` and `motion_fidelity` for what closes these holes.
    """
    g, r = moving(generated), moving(reference)
    if not len(r.points):
        return None
    if not len(g.points):
        return 0.0
    s = direction_similarity(g, r)
    return float((s.max(1).mean() + s.max(0).mean()) / 2)


def mf_match(generated: Motion, reference: Motion) -> float | None:
    """One-to-one (Hungarian) matches of moving tracks, Dice-normalized: 2 sum / (N + M), in [-1, 1]; None as for `mf`.

    A track without partner counts as 0, so one right track among many earns little; but an object that covers more
    tracks than the reference's loses as well.
    """
    g, r = moving(generated), moving(reference)
    if not len(r.points):
        return None
    if not len(g.points):
        return 0.0
    s = direction_similarity(g, r)
    rows, columns = linear_sum_assignment(s, maximize=True)
    return float(2 * s[rows, columns].sum() / sum(s.shape))


def direction_cosine(generated: Motion, reference: Motion) -> float | None:
    """Cosine between the mean displacement courses of the moving tracks, in [-1, 1]; None if either mean is still."""
    means = []
    for motion in (moving(generated), moving(reference)):
        weight = motion.weights.sum(0)
        means.append((motion.steps.sum(0) / np.maximum(weight, 1)[:, None]).ravel())
    norm = np.linalg.norm(means[0]) * np.linalg.norm(means[1])
    return float(means[0] @ means[1] / norm) if norm > 0 else None


def log_speed_ratio(generated: Motion, reference: Motion) -> float | None:
    """log2 of the median path length of moving tracks, generated over reference; None if either side has none."""
    lengths = []
    for motion in (moving(generated), moving(reference)):
        if not len(motion.points):
            return None
        lengths.append(float(np.median(np.linalg.norm(motion.steps, axis=-1).sum(1))))
    return float(np.log2(lengths[0] / lengths[1])) if min(lengths) > 0 else None
