"""Silhouettes as signed distances on a small grid, so that one texture look-up draws any layer of a clip."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

Grid = NDArray[np.float64]

OBJECT_SHAPES = ("ball", "square", "triangle", "star", "cross", "ring", "heart", "diamond")
LIMB_SHAPES = ("limb", "plate")  # rounded for a person, angular for a robot
ATLAS_SHAPES = OBJECT_SHAPES + LIMB_SHAPES
ATLAS_SIDE = 64
ATLAS_EXTENT = 1.4  # the atlas spans local coordinates [-1.4, 1.4]; a silhouette stays within [-1, 1]
LIMB_ASPECT = 2.8  # length over width that the limb silhouettes assume; drawn limbs are within 30% of it


def _polygon(x: Grid, y: Grid, corners: Grid) -> Grid:
    """Signed distance to a simple polygon, corners (M, 2), negative inside."""
    nearest = np.full(x.shape, np.inf)
    inside = np.zeros(x.shape, dtype=bool)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        edge = b - a
        along = ((x - a[0]) * edge[0] + (y - a[1]) * edge[1]) / (edge @ edge)
        along = np.clip(along, 0.0, 1.0)
        nearest = np.minimum(nearest, np.hypot(x - a[0] - along * edge[0], y - a[1] - along * edge[1]))
        spans = (a[1] > y) != (b[1] > y)
        if b[1] != a[1]:
            inside ^= spans & (x < a[0] + (y - a[1]) * edge[0] / edge[1])
    return np.where(inside, -nearest, nearest)


def _box(x: Grid, y: Grid, half_x: float, half_y: float, round_by: float = 0.0) -> Grid:
    qx, qy = np.abs(x) - half_x + round_by, np.abs(y) - half_y + round_by
    return np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - round_by


def _star(x: Grid, y: Grid) -> Grid:
    turn = np.arange(10) * np.pi / 5
    reach = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return _polygon(x, y, np.stack([reach * np.sin(turn), -reach * np.cos(turn)], axis=1))


def _heart(x: Grid, y: Grid) -> Grid:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    across = 16 * np.sin(turn) ** 3
    down = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    return _polygon(x, y, np.stack([across, down - 2.5], axis=1) / 16.0)


def _limb(x: Grid, y: Grid, round_by: float) -> Grid:
    # y runs along the limb and is stretched, so the distance is in units of half the limb's width.
    return _box(x, y * LIMB_ASPECT, 1.0, LIMB_ASPECT, round_by)


_DISTANCES: dict[str, Callable[[Grid, Grid], Grid]] = {
    "ball": lambda x, y: np.hypot(x, y) - 0.92,
    "square": lambda x, y: _box(x, y, 0.82, 0.82),
    "triangle": lambda x, y: _polygon(x, y, np.array([[0.0, -1.0], [0.98, 0.78], [-0.98, 0.78]])),
    "star": _star,
    "cross": lambda x, y: np.minimum(_box(x, y, 0.98, 0.34), _box(x, y, 0.34, 0.98)),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.70) - 0.28,
    "heart": _heart,
    "diamond": lambda x, y: _polygon(x, y, np.array([[0.0, -1.0], [0.64, 0.0], [0.0, 1.0], [-0.64, 0.0]])),
    "limb": lambda x, y: _limb(x, y, 1.0),
    "plate": lambda x, y: _limb(x, y, 0.1),
}


@cache
def atlas() -> NDArray[np.float64]:
    """Signed distances (len(ATLAS_SHAPES), ATLAS_SIDE, ATLAS_SIDE), local units, negative inside, rows downwards."""
    centers = (np.arange(ATLAS_SIDE) + 0.5) / ATLAS_SIDE * 2 * ATLAS_EXTENT - ATLAS_EXTENT
    x, y = np.meshgrid(centers, centers)
    return np.stack([_DISTANCES[name](x, y) for name in ATLAS_SHAPES])
