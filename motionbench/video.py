"""Video files: the exact frames in, the same bytes out.

Decoding runs in a process of its own, `motionbench.decoder`.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from motionbench.clip import Clip
from motionbench.decoder import DECODER
from motionbench.errors import VideoError
from motionbench.files import write_atomically

logger = logging.getLogger(__name__)

CRF = 10  # x264's rate factor: nearly lossless, and the error stays below the 4:2:0 chroma loss


@dataclass(frozen=True)
class Sampled:
    """A clip read from a file of `total` frames; `repeated` of its frames are the one before once more."""

    clip: Clip
    total: int
    repeated: int


def read_clip(
    path: str | Path, *, expected_frames: int | None = None, least_frames: int = 1, frames: int | None = None
) -> Clip:
    """The frames that a player shows, each once, in order, upright and with square pixels, and their rate or times.

    expected_frames: the count that the file must have; least_frames: the fewest that it may have.
    frames: read only so many, chosen as `Clip.sample` does (for long files: the rest is never held in memory).
    Logs a warning where the picture is not as the metrics need it (interlaced, HDR).
    Raises VideoError, with expected, actual and mend, if the file is missing, empty, truncated, damaged, too large or
    no video; ReaderError if that is not the file's fault.
    """
    return sample_file(path, frames, expected_frames=expected_frames, least_frames=least_frames).clip


def sample_file(
    path: str | Path, frames: int | None, *, expected_frames: int | None = None, least_frames: int = 1
) -> Sampled:
    """As `read_clip`, and from how many frames these were taken."""
    path = Path(path)
    check_file(path)
    pixels, fps, total, times, repeated, notes = DECODER.decode(path, frames)
    if expected_frames is not None and total != expected_frames:
        raise VideoError(
            f"{path}: expected {expected_frames} frames, got {total}; cut or re-encode it, or mend the number"
        )
    if total < least_frames:
        raise VideoError(f"{path}: expected at least {least_frames} frames, got {total}; give a video, not a still")
    for note in notes:
        warn_once(path, note)
    clip = Clip(pixels, fps, path, times)
    if frames is not None:
        clip = Clip(pixels, clip.resampled_fps(total, frames), path)
    return Sampled(clip, total, repeated)


@cache
def warn_once(path: Path, note: str) -> None:
    """Logs what a user should know of a file, the first time it is read."""
    logger.warning("%s: %s", path, note)


def check_file(path: Path) -> None:
    """Raises VideoError unless `path` is a file with bytes in it that may be read."""
    if not path.exists():
        raise VideoError(f"{path}: expected a video file, found nothing; check the path")
    if not path.is_file():
        raise VideoError(f"{path}: expected a video file, found a folder or a device; give the file itself")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: expected a video file, found 0 bytes; fetch or write it again")
    if not os.access(path, os.R_OK):
        raise VideoError(f"{path}: it may not be read; change its permissions")


def encode_clip(clip: Clip, *, crf: int = CRF) -> bytes:
    """The clip as an MP4 file (H.264, yuv420p). The same clip gives the same bytes with the same PyAV.

    x264 runs in one thread and without assembly. Its AVX-512 code (core 165) is not deterministic: 6 runs on one clip
    gave up to 5 different files (64x80; also seen at 64x64 and 832x480), 40 runs of the plain C code one, at 1.6 times
    the time for 832x480.
    crf: 0 (best) to 51. Raises VideoError on odd sizes: yuv420p halves the color planes, and padding would move the
    picture.
    """
    import av

    if clip.height % 2 or clip.width % 2:
        even = f"{clip.height // 2 * 2 or 2}x{clip.width // 2 * 2 or 2}"
        raise VideoError(
            f"cannot write {clip.height}x{clip.width} frames: height and width must be even; resize to {even}"
        )
    clip = clip.steady()  # the files that we write have a constant rate
    rate = Fraction(clip.fps).limit_denominator(1001)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "medium", "flags": "+bitexact", "x264-params": "asm=0"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = clip.height, clip.width, "yuv420p"
        stream.thread_count = 1
        for index, pixels in enumerate(clip.frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def write_clip(clip: Clip, path: str | Path, *, crf: int = CRF) -> str:
    """Writes the clip as `encode_clip` does, whole or not at all; returns its SHA-256 (VideoError, StoreError)."""
    data = encode_clip(clip, crf=crf)
    write_atomically(Path(path), data)
    return hashlib.sha256(data).hexdigest()


def header_shape(path: Path) -> tuple[int, int, int] | None:
    """(T, H, W) that the header of one of our own MP4 files states, without decoding; None if it states none."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.frames, stream.height, stream.width
    except (av.FFmpegError, OSError, IndexError):
        return None
