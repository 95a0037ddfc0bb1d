"""What moves in a clip, taken apart: the camera, each group of tracks that stays together, and the scattered rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from .camera_motion import CameraPath, fit_camera
from .track_matching import KEPT, MOVING_RANGE, Array, Motion, motion_range

# Diagonals: tracks never further apart than this belong together; inf: all that moves is one thing.
LINKS = (0.08, 0.16, np.inf)
_MIN_GROUP = 3  # tracks
_MAX_MOVING = 600  # a fixed, evenly spaced subset is grouped beyond this: grouping is quadratic


@dataclass(frozen=True, eq=False)
class Group:
    """n tracks that stay together, relative to the camera.

    layout: (n, 2) where on the thing each track sits, centered, in units of its radius: size and place drop out.
    steps: (n, T-1, 2) displacement relative to the scene, in diagonals. weights: (n, T-1) in {0, 1}.
    index: (n,) which tracks of the motion these are.
    """

    layout: Array
    steps: Array
    weights: Array
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.layout)


@dataclass(frozen=True, eq=False)
class MotionParts:
    """The camera, the groups (largest first), the moving tracks of none; n_moving of n_tracks move on their own."""

    camera: CameraPath
    groups: tuple[Group, ...]
    scatter: Group | None
    n_tracks: int
    n_moving: int


@lru_cache(maxsize=KEPT)
def motion_to_parts(motion: Motion) -> tuple[MotionParts, ...]:
    """Camera by robust fit, then what moves against the scene by how it stays together: one entry for each of `LINKS`.

    No one link length suits all clips: a short one tears a figure whose trunk stands still into its limbs, a long one
    joins neighbors. The comparison tries each on both clips alike.
    """
    camera = fit_camera(motion)
    residual = (motion.steps - camera.flow(motion)) * motion.weights[..., None]
    path = np.concatenate([np.zeros((len(residual), 1, 2)), np.cumsum(residual, axis=1)], axis=1)
    index = np.flatnonzero(motion_range(path) > MOVING_RANGE)
    n_moving = len(index)
    if n_moving > _MAX_MOVING:
        index = index[np.linspace(0, n_moving - 1, _MAX_MOVING).round().astype(int)]
    tree = _link_tree(motion.points[index])
    parts = []
    for link in LINKS:
        members = _members(tree, index, max(link, 1.6 * _spacing(motion)))
        groups = tuple(_group(motion, residual, m) for m in members if len(m) >= _MIN_GROUP)
        rest = [m for m in members if len(m) < _MIN_GROUP]
        scatter = _group(motion, residual, np.concatenate(rest)) if rest else None
        parts.append(MotionParts(camera, groups, scatter, len(motion.points), n_moving))
    return tuple(parts)


def _link_tree(points: Array) -> Array:
    """Single-linkage tree of tracks (N, T, 2) by the largest distance that two of them ever have; empty for N < 2."""
    n = len(points)
    if n < 2:
        return np.zeros((0, 4))
    farthest = np.zeros((n, n))
    for t in range(points.shape[1]):
        difference = points[:, None, t] - points[None, :, t]
        np.maximum(farthest, np.einsum("nmc,nmc->nm", difference, difference), out=farthest)
    tree: Array = linkage(squareform(np.sqrt(farthest), checks=False), method="single")
    return tree


def _members(tree: Array, index: NDArray[np.int64], link: float) -> list[NDArray[np.int64]]:
    """The track indices of each group, largest group first."""
    if len(index) < 2:
        return [index] if len(index) else []
    labels = fcluster(tree, link, criterion="distance")
    members = [index[labels == k] for k in np.unique(labels)]
    return sorted(members, key=lambda m: (-len(m), int(m[0])))


def _spacing(motion: Motion) -> float:
    return float(np.sqrt(np.prod(motion.size) / max(len(motion.points), 64)))


def _group(motion: Motion, residual: Array, index: NDArray[np.int64]) -> Group:
    place = _usual_place(motion.points[index], motion.weights[index])
    offset = place - place.mean(axis=0)
    radius = max(float(np.sqrt((offset**2).sum(1).mean())), 0.5 * _spacing(motion))
    return Group(offset / radius, residual[index], motion.weights[index], index)


def _usual_place(points: Array, weights: Array) -> Array:
    """(n, 2) halfway between each track's mean place and its place in the middle of the time it is seen.

    Neither end of the clip: the same clip backwards must find the same places. The mean alone would fold a full turn
    onto its center, the middle alone would depend on the phase of a stride.
    """
    seen = np.maximum(np.pad(weights, [(0, 0), (1, 0)]), np.pad(weights, [(0, 0), (0, 1)]))
    mean = (points * seen[..., None]).sum(1) / np.maximum(seen.sum(1), 1)[:, None]
    half = (np.cumsum(seen, axis=1) >= (seen.sum(1, keepdims=True) + 1) / 2).argmax(axis=1)
    place: Array = (mean + points[np.arange(len(points)), half]) / 2
    return place
