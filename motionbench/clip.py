"""Clip: frames and a rate, the one currency that methods and metrics exchange."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ShapeError


def nearest_indices(length: int, frames: int) -> NDArray[np.int64]:
    """Indices (frames,) of the frames nearest to `frames` even steps from the first to the last of `length` frames.

    Halves go up. With frames > length some repeat; with frames = 1 it is the first. Both >= 1, or ShapeError.
    """
    if length < 1 or frames < 1:
        raise ShapeError(f"length and frames must be positive, got {length} and {frames}")
    # In integers, floor((2 i (length - 1) + d) / 2d) with d = frames - 1 steps: no rounding error on any machine.
    steps = max(1, frames - 1)
    return (2 * np.arange(frames, dtype=np.int64) * (length - 1) + steps) // (2 * steps)


def nearest_in_time(times: NDArray[np.float64], frames: int) -> NDArray[np.int64]:
    """Indices (frames,) of the frames nearest to `frames` even steps of time from the first to the last of `times`.

    times: (T,), rising. Halves go up; with frames = 1 it is the first.
    """
    steps = np.linspace(times[0], times[-1], frames)
    return np.searchsorted((times[1:] + times[:-1]) / 2, steps, side="right").astype(np.int64)


@dataclass(frozen=True, eq=False)
class Clip:
    """A video in memory: frames (T, H, W, 3) uint8 sRGB, T >= 1, and fps > 0 (frames per second).

    `path` is the file it was read from, if any: ground truth lies beside it. `times`: seconds (T,), rising, at which
    the frames of a file of variable rate are shown; fps is their mean rate then. None: at a constant rate.
    Raises ShapeError if frames or times are of another shape or type.
    """

    frames: NDArray[np.uint8]
    fps: float
    path: Path | None = field(default=None)
    times: NDArray[np.float64] | None = field(default=None)

    def __post_init__(self) -> None:
        f = self.frames
        if f.ndim != 4 or f.shape[-1] != 3 or f.dtype != np.uint8 or 0 in f.shape:
            hint = "; transpose to channels last" if f.ndim == 4 and f.shape[1] == 3 else ""
            raise ShapeError(f"frames must be (T, H, W, 3) uint8 and not empty, got {f.shape} {f.dtype}{hint}")
        if not self.fps > 0:
            raise ShapeError(f"fps must be positive, got {self.fps}")
        if self.times is not None and (self.times.shape != f.shape[:1] or len(f) < 2 or np.diff(self.times).min() <= 0):
            raise ShapeError(f"times must rise, one for each of {len(f)} frames, got {self.times.shape}")

    def __len__(self) -> int:
        return int(self.frames.shape[0])

    @property
    def height(self) -> int:
        return int(self.frames.shape[1])

    @property
    def width(self) -> int:
        return int(self.frames.shape[2])

    @classmethod
    def read(cls, path: str | Path, *, expected_frames: int | None = None, least_frames: int = 1) -> Clip:
        """The clip in a video file, as `video_file.read_frames`. Raises VideoError."""
        from motionbench.video_file import read_frames

        video = read_frames(Path(path), expected_frames=expected_frames, least_frames=least_frames)
        return cls(video.frames, video.fps, Path(path), video.times)

    def write(self, path: str | Path, *, crf: int | None = None) -> str:
        """Writes an H.264 MP4 at a constant rate, whole or not at all; returns the file's SHA-256.

        crf: x264's, from 0 (best) to 51; nearly lossless by default. Raises VideoError, StoreError.
        """
        from motionbench.files import write_atomically
        from motionbench.video_file import CRF, encode_frames

        steady = self.steady()
        data = encode_frames(steady.frames, steady.fps, crf=CRF if crf is None else crf)
        write_atomically(Path(path), data)
        return hashlib.sha256(data).hexdigest()

    def resize(self, height: int, width: int) -> Clip:
        """The clip stretched to height x width pixels: mean over pixel areas when it shrinks, bicubic when it grows."""
        if (height, width) == (self.height, self.width):
            return self
        if height < 1 or width < 1:
            raise ShapeError(f"height and width must be positive, got {height}x{width}")
        import cv2

        # Area averaging does not alias; bicubic is used only where neither side shrinks.
        shrinks = height < self.height or width < self.width
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        return self.with_frames(np.stack([cv2.resize(f, (width, height), interpolation=how) for f in self.frames]))

    def crop(self, height: int, width: int) -> Clip:
        """The largest center part of the clip that has the aspect of height x width, to the pixel; not resized."""
        scale = min(self.height / height, self.width / width)
        h = min(self.height, max(1, round(height * scale)))
        w = min(self.width, max(1, round(width * scale)))
        if (h, w) == (self.height, self.width):
            return self
        top, left = (self.height - h) // 2, (self.width - w) // 2
        return self.with_frames(self.frames[:, top : top + h, left : left + w])

    def cover(self, height: int, width: int) -> Clip:
        """The clip cut at its center to the aspect of height x width, then resized, so that nothing is stretched."""
        return self.crop(height, width).resize(height, width)

    def even(self) -> Clip:
        """The clip without a last row or column that makes a side odd: our mp4 files cannot hold it (4:2:0 color).

        Cut, not padded or stretched: every point stays where it is.
        """
        height, width = self.height - self.height % 2, self.width - self.width % 2
        if (height, width) == (self.height, self.width):
            return self
        return self.with_frames(self.frames[:, :height, :width])

    def sample(self, frames: int) -> Clip:
        """The clip with so many of its frames, evenly spread in time, first to last: the nearest ones, never blends.

        The time from first to last frame stays, so the rate changes; it is constant. `indices(frames)` tells which.
        """
        if frames == len(self) and self.times is None:
            return self
        return Clip(self.frames[self.indices(frames)], self.resampled_fps(len(self), frames), self.path)

    def indices(self, frames: int) -> NDArray[np.int64]:
        """Which frames `sample(frames)` takes: (frames,), never falling; some repeat where there are too few."""
        if self.times is None:
            return nearest_indices(len(self), frames)
        return nearest_in_time(self.times, frames)

    def steady(self) -> Clip:
        """The clip at a constant rate, of as many frames: at a variable one, some are left out and others repeat."""
        return self.sample(len(self))

    def resampled_fps(self, length: int, frames: int) -> float:
        """The rate at which `frames` frames last, first to last, as long as `length` frames at this clip's rate."""
        return self.fps if frames == 1 or length == 1 else self.fps * (frames - 1) / (length - 1)

    def with_frames(self, frames: NDArray[np.uint8]) -> Clip:
        """A clip of other frames with this one's rate and path, and its times if there are as many."""
        return Clip(frames, self.fps, self.path, self.times if len(frames) == len(self) else None)

    @cached_property
    def sha256(self) -> str:
        """Hash of the pixels, their shape, rate and times: the key under which features of this clip are cached."""
        digest = hashlib.sha256(repr((self.frames.shape, float(self.fps))).encode())
        digest.update(np.ascontiguousarray(self.frames).data)
        if self.times is not None:
            digest.update(self.times.tobytes())
        return digest.hexdigest()
