"""Tracks: where points of the first frame go; Tracker: what finds that out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Tracks:
    """N point tracks over T frames.

    points: (N, T, 2) float32, x then y, pixels of a clip of size (height, width); pixel centers lie at integers.
    visible: (N, T) bool, False where the point is hidden or outside the frame. N may be 0.
    """

    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    height: int
    width: int

    def __post_init__(self) -> None:
        p, v = self.points, self.visible
        if p.ndim != 3 or p.shape[-1] != 2 or v.shape != p.shape[:2]:
            raise ShapeError(f"tracks must be points (N, T, 2) and visible (N, T), got {p.shape} and {v.shape}")


def grid_queries(height: int, width: int, per_side: int) -> NDArray[np.float32]:
    """Centres of a per_side x per_side tiling of the frame: (per_side**2, 2) x, y in pixels, row by row."""
    x = (np.arange(per_side, dtype=np.float32) + 0.5) * width / per_side - 0.5
    y = (np.arange(per_side, dtype=np.float32) + 0.5) * height / per_side - 0.5
    grid = np.stack(np.meshgrid(x, y), axis=-1)  # (per_side, per_side, 2), first axis y
    return grid.reshape(-1, 2).astype(np.float32)


@runtime_checkable
class Tracker(Protocol):
    """A point tracker. version rises when its tracks could change; track is deterministic on the CPU."""

    name: ClassVar[str]
    version: ClassVar[int]

    @classmethod
    def create(cls, device: str) -> Self: ...

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of the points `queries` (N, 2), x then y in pixels of the clip's first frame."""
        ...
