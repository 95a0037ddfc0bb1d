"""The motion field of a clip: what moves how and where in the frame, scene and things in one, whatever there is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .motion_signals import amplitude, likeness
from .track_matching import KEPT, Array, Motion

_PER_SIDE = 8  # places at which the field is read
_BLUR = 0.12  # diagonals: tracks nearer than this speak for a place, and their noise averages out
_LEAST_MASS = 0.1  # of what an even grid of all points would have around a place: less is no evidence


@dataclass(frozen=True, eq=False)
class MotionField:
    """Displacement of whatever passes each place, per step.

    steps: (P, T-1, 2) in diagonals. seen: (P, T-1) in {0, 1}, tracks were near.
    """

    steps: Array
    seen: Array

    @property
    def amplitude(self) -> float:
        """Root mean square displacement per step, in diagonals."""
        return amplitude(self.steps, self.seen)

    @property
    def covered(self) -> float:
        """Share of the frame, over time, of which tracks tell."""
        return float(self.seen.mean()) if self.seen.size else 0.0


@lru_cache(maxsize=KEPT)
def motion_to_field(motion: Motion) -> MotionField:
    """The tracks' steps, averaged around each place by a Gaussian of their distance in the middle of the step.

    Tracks that are soon lost count as long as they are seen: what moves fast or is blurred keeps none for long.
    No camera is fitted and nothing is grouped, so parallax, a turning ground and things that cannot be told apart do
    no harm; but what moves must move at the same place of the frame.
    """
    motion = motion.steps_seen
    shape = (_PER_SIDE**2, motion.weights.shape[1])
    if not len(motion.points):
        return MotionField(np.zeros((*shape, 2)), np.zeros(shape))
    middle = (motion.points[:, 1:] + motion.points[:, :-1]) / 2  # (N, T-1, 2)
    x, y = (_closeness(middle[..., i], motion.size[i]) for i in (0, 1))  # a Gaussian of both is the product

    def around(signal: Array) -> Array:
        """(P, T-1) sums over the tracks of a signal (N, T-1)."""
        sums: Array = np.matmul(y * signal.T[:, None], x.swapaxes(1, 2))  # (T-1, rows, columns)
        return sums.reshape(len(sums), shape[0]).T

    mass = around(motion.weights)
    moved = [around(motion.steps[..., i] * motion.weights) for i in (0, 1)]
    steps = np.stack(moved, axis=-1) / np.maximum(mass, 1e-9)[..., None]
    even = motion.asked * 2 * np.pi * _BLUR**2 / float(np.prod(motion.size))
    return MotionField(steps, (mass > _LEAST_MASS * even).astype(float))


def field_likeness(a: MotionField, b: MotionField) -> float:
    """Likeness in [-1, 1] of two fields of the same T, where both are seen; symmetric."""
    return likeness(a.steps, a.seen, b.steps, b.seen)


def _closeness(middle: Array, extent: float) -> Array:
    """(T-1, 8, N) Gaussian of the distance along one side of the frame, between the places and tracks (N, T-1)."""
    places = (np.arange(_PER_SIDE) + 0.5) / _PER_SIDE * extent  # centers of an even tiling, in diagonals
    closeness: Array = np.exp(-((places[:, None] - middle.T[:, None]) ** 2) / (2 * _BLUR**2))
    return closeness
