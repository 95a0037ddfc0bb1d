"""The room of the rendered scenes: its floor, walls and blocks, and the textures on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Category

from .scenes3d import Scene

Floats = NDArray[np.float64]


def blocks(scene: Scene, rng: np.random.Generator) -> list[tuple[Floats, Floats]]:
    """(center, half size) of the floor, the walls and, in camera scenes, the blocks that stand about."""
    room = [
        (np.array([0.0, -0.1, 0.0]), np.array([9.0, 0.1, 9.0])),
        (np.array([0.0, 6.0, -5.0]), np.array([9.0, 6.1, 0.1])),
        (np.array([-7.0, 6.0, 0.0]), np.array([0.1, 6.1, 9.0])),
        (np.array([7.0, 6.0, 0.0]), np.array([0.1, 6.1, 9.0])),
    ]
    if scene.category is Category.HUMAN:
        return room
    places = [(x, z) for x in (-3.2, -1.1, 1.1, 3.2) for z in (-2.5, 0.0)]
    for x, z in places:
        half = rng.uniform([0.3, 0.3, 0.3], [0.6, 0.9, 0.6])
        jitter = rng.uniform(-0.3, 0.3, 2)
        room.append((np.array([x + jitter[0], half[1], z + jitter[1]]), half))
    return room


def pattern(rng: np.random.Generator, contrast: float = 1.0) -> NDArray[np.uint8]:
    """A texture (512, 512, 3) with detail at several sizes, which a tracker can hold; contrast: in (0, 1]."""
    picture = np.zeros((512, 512, 3))
    for cells, weight in ((8, 0.5), (32, 0.3), (128, 0.2)):
        tile = 512 // cells
        picture += weight * np.kron(rng.random((cells, cells, 3)), np.ones((tile, tile, 1)))
    return np.asarray(140 + 200 * contrast * (picture - 0.5)).astype(np.uint8)
