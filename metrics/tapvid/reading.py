"""Annotated videos from TAP-Vid's published files: pickles of DAVIS, RGB-Stacking and Kinetics, or npz."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import ShapeError

from .unpickling import read_pickle

SIDE = 256  # every video is shown at 256x256, and thresholds are pixels of it (arXiv:2211.03726, Section 4)
FPS = 25.0  # that of Kinetics; trackers do not read it
SUFFIXES = (".pkl", ".npz")


@dataclass(frozen=True, eq=False)
class TapVideo:
    """One annotated video. points: (N, T, 2) x, y, shares of width and height, 0 and 1 at the frame's outer edges;
    occluded: (N, T); frames: (T, H, W, 3) uint8."""

    name: str
    points: NDArray[np.float64]
    occluded: NDArray[np.bool_]
    frames: NDArray[np.uint8]

    def clip(self) -> Clip:
        """The video stretched to 256x256 as TAP-Vid's reader does: Lanczos, frame by frame (mediapy's resize)."""
        if self.frames.shape[1:3] == (SIDE, SIDE):
            return Clip(self.frames, FPS)
        from PIL import Image

        how = Image.Resampling.LANCZOS
        return Clip(np.stack([np.asarray(Image.fromarray(f).resize((SIDE, SIDE), how)) for f in self.frames]), FPS)

    def places(self) -> NDArray[np.float64]:
        """Points (N, T, 2) in pixels of `clip`, whose centers lie at integers."""
        return self.points * SIDE - 0.5


def tap_files(path: Path) -> list[Path]:
    """The annotation files that a path names: itself, or the .pkl and .npz in a folder, by name. Raises ShapeError."""
    files = sorted(p for p in path.iterdir() if p.suffix in SUFFIXES) if path.is_dir() else [path]
    if not files or any(p.suffix not in SUFFIXES for p in files) or not all(p.is_file() for p in files):
        raise ShapeError(f"{path}: expected a .pkl or .npz of TAP-Vid, or a folder that holds some")
    return files


def read_videos(file: Path) -> Iterator[TapVideo]:
    """The videos of one file, in its order; frames are decoded one video at a time. Raises ShapeError.

    A pickle holds a dictionary by name or a list of dictionaries with `points`, `occluded` and `video`; an npz holds
    the three of one video. `video` is (T, H, W, 3) uint8, or T images in bytes (JPEG).
    """
    if file.suffix == ".npz":
        yield to_video(file.stem, _read_npz(file))
        return
    content = read_pickle(file)
    if isinstance(content, list | tuple):
        content = {f"{file.stem}-{index:04d}": one for index, one in enumerate(content)}
    if not isinstance(content, Mapping):
        raise ShapeError(f"{file}: expected a dictionary or a list of videos, got {type(content).__name__}")
    for name, fields in content.items():
        yield to_video(str(name), fields)


def _read_npz(file: Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise ShapeError(f"{file}: expected an npz with points, occluded and video: {error}") from error


def to_video(name: str, fields: Any) -> TapVideo:
    """A checked video from its dictionary. Raises ShapeError naming it."""
    if not isinstance(fields, Mapping) or not {"points", "occluded", "video"} <= set(fields):
        keys = sorted(map(str, fields)) if isinstance(fields, Mapping) else type(fields).__name__
        raise ShapeError(f"video {name}: expected points, occluded and video, got {keys}")
    frames = to_frames(name, fields["video"])
    points, occluded = np.asarray(fields["points"]), np.asarray(fields["occluded"])
    if points.shape != (*occluded.shape, 2) or occluded.shape[1:] != frames.shape[:1] or points.dtype.kind != "f":
        raise ShapeError(
            f"video {name}: expected points (N, T, 2) floats, occluded (N, T) and video (T, H, W, 3), "
            f"got {points.shape} {points.dtype}, {occluded.shape} and {frames.shape}"
        )
    return TapVideo(name, points.astype(np.float64), occluded.astype(bool), frames)


def to_frames(name: str, video: Any) -> NDArray[np.uint8]:
    """(T, H, W, 3) uint8 of an array or of images in bytes. Raises ShapeError."""
    items: Sequence[Any] = video
    if not isinstance(video, np.ndarray | list | tuple) or not len(items):
        raise ShapeError(f"video {name}: it has no frames")
    try:
        coded = isinstance(items[0], bytes)
        frames = np.stack([_decode(bytes(one)) for one in items]) if coded else np.asarray(video)
    except (OSError, ValueError, TypeError) as error:
        raise ShapeError(f"video {name}: a frame cannot be decoded: {error}") from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or 0 in frames.shape:
        raise ShapeError(f"video {name}: expected frames (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}")
    return frames


def _decode(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
        return np.asarray(image.convert("RGB"))
