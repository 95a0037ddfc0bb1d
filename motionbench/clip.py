"""Clip: frames and a rate, the one currency that methods and metrics exchange."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Clip:
    """A video in memory: frames (T, H, W, 3) uint8 sRGB, T >= 1, and fps > 0 (frames per second).

    `path` is the file it was read from, if any: ground truth lies beside it.
    Raises ShapeError if frames are of another shape or type.
    """

    frames: NDArray[np.uint8]
    fps: float
    path: Path | None = field(default=None)

    def __post_init__(self) -> None:
        f = self.frames
        if f.ndim != 4 or f.shape[-1] != 3 or f.dtype != np.uint8 or 0 in f.shape:
            hint = "; transpose to channels last" if f.ndim == 4 and f.shape[1] == 3 else ""
            raise ShapeError(f"frames must be (T, H, W, 3) uint8 and not empty, got {f.shape} {f.dtype}{hint}")
        if not self.fps > 0:
            raise ShapeError(f"fps must be positive, got {self.fps}")

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @cached_property
    def sha256(self) -> str:
        """Hash of the pixels, their shape and the rate: the key under which features of this clip are cached."""
        digest = hashlib.sha256(repr((self.frames.shape, float(self.fps))).encode())
        digest.update(np.ascontiguousarray(self.frames).tobytes())
        return digest.hexdigest()
