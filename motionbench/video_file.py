"""Video files as arrays: the exact frames in, the same bytes out.

Decoding runs in a process of its own (`motionbench.decoder`). Clips come and go by `Clip` and `motionbench.video`.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.decoder import DECODER
from motionbench.errors import VideoError

logger = logging.getLogger(__name__)

CRF = 10  # x264's rate factor: nearly lossless, and the error stays below the 4:2:0 chroma loss


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a file shows: frames (T, H, W, 3) uint8, frames per second, and times (T,) in seconds at a variable rate.

    total: the frames of the file; repeated: so many of `frames` are the one before once more.
    """

    frames: NDArray[np.uint8]
    fps: float
    times: NDArray[np.float64] | None
    total: int
    repeated: int


def read_frames(
    path: Path, *, frames: int | None = None, expected_frames: int | None = None, least_frames: int = 1
) -> Decoded:
    """The frames that a player shows, each once, in order, upright and with square pixels, and their rate or times.

    frames: read only so many, chosen as `Clip.sample` does (for long files: the rest is never held in memory).
    expected_frames: the count that the file must have; least_frames: the fewest that it may have.
    Logs a warning where the picture is not as the metrics need it (interlaced, HDR).
    Raises VideoError, with expected, actual and mend, if the file is missing, empty, truncated, damaged, too large or
    no video; ReaderError if that is not the file's fault.
    """
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
    return Decoded(pixels, fps, times, total, repeated)


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


def encode_frames(frames: NDArray[np.uint8], fps: float, *, crf: int = CRF) -> bytes:
    """Frames (T, H, W, 3) as an MP4 file (H.264, yuv420p). The same frames give the same bytes with the same PyAV.

    x264 runs in one thread and without assembly. Its AVX-512 code (core 165) is not deterministic: 6 runs on one clip
    gave up to 5 different files (64x80; also seen at 64x64 and 832x480), 40 runs of the plain C code one, at 1.6 times
    the time for 832x480.
    crf: 0 (best) to 51. Raises VideoError on odd sizes: yuv420p halves the color planes, and padding would move the
    picture.
    """
    import av

    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        even = f"{height // 2 * 2 or 2}x{width // 2 * 2 or 2}"
        raise VideoError(f"cannot write {height}x{width} frames: height and width must be even; resize to {even}")
    rate = Fraction(fps).limit_denominator(1001)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "medium", "flags": "+bitexact", "x264-params": "asm=0"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.thread_count = 1
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def header_shape(path: Path) -> tuple[int, int, int] | None:
    """(T, H, W) that the header of one of our own MP4 files states, without decoding; None if it states none."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.frames, stream.height, stream.width
    except (av.FFmpegError, OSError, IndexError):
        return None
