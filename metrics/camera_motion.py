"""The camera's motion from point tracks: per step a pan, tilt, zoom and roll that most of the frame agrees on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .track_matching import KEPT, Array, Motion

# Root mean square distance of a frame's pixels from its center, in diagonals: the same for every aspect.
FRAME_RADIUS = 12**-0.5

_MIN_TRACKS = 8
_MIN_CONSENSUS = 0.35  # of the tracks (border-weighted) must agree before their motion is called the camera's
_SIGMAS = (0.08, 0.04, 0.02, 0.01, 0.005, 0.004, 0.004, 0.004, 0.004)  # annealed inlier scale, diagonals per step
_FINEST_SIGMA = 5e-4
_COARSEST_NOISE = 0.02  # tracks that disagree by more than this per step have no motion in common


@dataclass(frozen=True, eq=False)
class CameraPath:
    """Apparent motion of the scene, per step.

    rates: (T-1, 4) pan, tilt (diagonals, at the frame's center, right and down positive), zoom (relative growth),
    roll (radians, clockwise on screen). seen: (T-1,) bool, some track was visible.
    inliers: (N, T-1) in [0, 1], how well each track fits. consensus: share of tracks that agree.
    """

    rates: Array
    seen: NDArray[np.bool_]
    inliers: Array
    consensus: float

    @property
    def signal(self) -> Array:
        """(T-1, 4) rates in units in which their inner product is the mean one of the flow fields over the frame."""
        scaled: Array = self.rates * np.array([1.0, 1.0, FRAME_RADIUS, FRAME_RADIUS])
        return scaled

    def flow(self, motion: Motion) -> Array:
        """(N, T-1, 2) what each track would do if it lay on the scene."""
        z = _midpoints(motion)
        a = self.rates[:, 0] + 1j * self.rates[:, 1]
        b = self.rates[:, 2] + 1j * self.rates[:, 3]
        u = a + b * z
        return np.stack([u.real, u.imag], axis=-1)


@lru_cache(maxsize=KEPT)
def fit_camera(motion: Motion) -> CameraPath:
    """A similarity motion per step, fitted to the tracks that agree over the whole clip.

    Reweighted least squares with a redescending weight whose scale shrinks (graduated non-convexity) down to the noise
    of the tracks, so that an object that covers less than about half of the frame is let go. Tracks near the border
    count up to three times as much as central ones: what surrounds is the scene. With fewer than 8 tracks, or none
    that agree, the camera is taken as still.
    """
    n, steps = motion.weights.shape
    seen: NDArray[np.bool_] = motion.weights.sum(axis=0) > 0
    still = CameraPath(np.zeros((steps, 4)), seen, np.zeros((n, steps)), 0.0)
    if n < _MIN_TRACKS or not steps:
        return still
    z = _midpoints(motion)
    v = motion.steps[..., 0] + 1j * motion.steps[..., 1]
    prior = motion.weights * _border_weight(motion)[:, None]
    fit = np.ones_like(prior)
    a = b = np.zeros(steps, complex)
    for stage, sigma in enumerate(_SIGMAS):
        a, b = _weighted_similarity(z, v, prior * fit)
        residual = np.abs(v - a - b * z) ** 2 * motion.weights
        whole = residual.sum(1) / np.maximum(motion.weights.sum(1), 1)
        # Slow things move less per step than the last scale: go down to the tracks' own noise, but never below it.
        # Where a generated scene boils, tracks jump further, and a camera that moves would be called still.
        noise = float(np.clip(3 * np.sqrt(np.median(whole)), _FINEST_SIGMA, _COARSEST_NOISE))
        sigma = noise if stage == len(_SIGMAS) - 1 else max(sigma, noise)
        fit = (sigma**2 / (sigma**2 + 0.5 * residual + 0.5 * whole[:, None])) ** 2
    agree = (prior * (fit > 0.25)).sum() / prior.sum()
    if agree < _MIN_CONSENSUS or not _spreads(motion, fit):
        return still
    return CameraPath(np.stack([a.real, a.imag, b.real, b.imag], axis=-1), seen, fit * motion.weights, float(agree))


def _midpoints(motion: Motion) -> NDArray[np.complex128]:
    """(N, T-1) middles of the steps, x + iy from the frame's center: rates of the reversed clip are then opposite."""
    middle = (motion.points[:, 1:] + motion.points[:, :-1]) / 2 - np.array(motion.size) / 2
    z: NDArray[np.complex128] = middle[..., 0] + 1j * middle[..., 1]
    return z


def _border_weight(motion: Motion) -> Array:
    middle = (motion.points[:, 1:] + motion.points[:, :-1]) / 2
    seen = motion.weights[..., None]
    place = (middle * seen).sum(1) / np.maximum(seen.sum(1), 1e-9)  # where it is hidden, a track's place is a guess
    offset = np.abs(place / np.array(motion.size) * 2 - 1).max(axis=1)
    weight: Array = 1 + 2 * np.clip(offset, 0, 1) ** 2
    return weight


def _weighted_similarity(
    z: NDArray[np.complex128], v: NDArray[np.complex128], w: Array
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Per step the a, b that minimize sum w |v - a - b z|^2; b is drawn to 0 where tracks are too close to tell."""
    total = np.maximum(w.sum(0), 1e-12)
    zm, vm = (w * z).sum(0) / total, (w * v).sum(0) / total
    dz = z - zm
    spread = (w * np.abs(dz) ** 2).sum(0) / total
    b = (w * dz.conj() * (v - vm)).sum(0) / total / (spread + 1e-4 * FRAME_RADIUS**2)
    return vm - b * zm, b


def _spreads(motion: Motion, fit: Array) -> bool:
    """Whether the agreeing tracks are spread over the frame rather than huddled on one thing."""
    share = (fit * motion.weights).sum(1) / np.maximum(motion.weights.sum(1), 1e-9)
    chosen = motion.points[:, 0][share > 0.25]
    return len(chosen) >= _MIN_TRACKS and bool(np.sqrt(chosen.var(axis=0).sum()) > 0.5 * FRAME_RADIUS)
