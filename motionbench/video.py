"""Clips from files and to files, beyond `Clip.read` and `Clip.write`: a few frames of a long file, and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from motionbench.clip import Clip
from motionbench.video_file import CRF, encode_frames, read_frames


@dataclass(frozen=True)
class Sampled:
    """A clip read from a file of `total` frames; `repeated` of its frames are the one before once more."""

    clip: Clip
    total: int
    repeated: int


def read_clip(
    path: str | Path, *, expected_frames: int | None = None, least_frames: int = 1, frames: int | None = None
) -> Clip:
    """The clip in a file, or only so many frames of it, chosen as `Clip.sample` does; see `video_file.read_frames`."""
    return sample_file(path, frames, expected_frames=expected_frames, least_frames=least_frames).clip


def sample_file(
    path: str | Path, frames: int | None, *, expected_frames: int | None = None, least_frames: int = 1
) -> Sampled:
    """As `read_clip`, and from how many frames these were taken."""
    path = Path(path)
    video = read_frames(path, frames=frames, expected_frames=expected_frames, least_frames=least_frames)
    clip = Clip(video.frames, video.fps, path, video.times)
    if frames is not None:
        clip = Clip(video.frames, clip.resampled_fps(video.total, frames), path)
    return Sampled(clip, video.total, video.repeated)


def encode_clip(clip: Clip, *, crf: int = CRF) -> bytes:
    """The clip as an MP4 file at a constant rate; see `video_file.encode_frames`. Raises VideoError."""
    steady = clip.steady()  # the files that we write have a constant rate
    return encode_frames(steady.frames, steady.fps, crf=crf)


def write_clip(clip: Clip, path: str | Path, *, crf: int = CRF) -> str:
    """As `Clip.write`: whole or not at all; returns the file's SHA-256. Raises VideoError, StoreError."""
    return clip.write(path, crf=crf)
