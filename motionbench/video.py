"""Video files: the exact frames in, the same bytes out.

Decoding runs in a process of its own (`motionbench.video_worker`) that is kept for the next file and started again
after a crash: decord aborts the whole process on some damaged files. decord reads sequentially; PyAV reads what decord
cannot be trusted with (edit lists, rotation, open GOPs, variable rate, another count than the container's) and what
it crashes on.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import VideoError
from motionbench.files import write_atomically

DECODE_SECONDS = 300.0  # for one file; a decoder that hangs is ended then
CRF = 10  # x264's rate factor: nearly lossless, and the error stays below the 4:2:0 chroma loss


def read_clip(
    path: str | Path, *, expected_frames: int | None = None, least_frames: int = 1, frames: int | None = None
) -> Clip:
    """The frames that a player shows, in order and upright, with the mean frame rate and `path` set.

    expected_frames: the count that the file must have; least_frames: the fewest that it may have.
    frames: read only so many, chosen as `Clip.sample` does (for long files: the rest is never held in memory).
    Raises VideoError, with expected, actual and mend, if the file is missing, empty, truncated, damaged, too large or
    no video.
    """
    path = Path(path)
    check_file(path)
    pixels, fps, total = DECODER.decode(path, frames)
    if expected_frames is not None and total != expected_frames:
        raise VideoError(
            f"{path}: expected {expected_frames} frames, got {total}; cut or re-encode it, or mend the number"
        )
    if total < least_frames:
        raise VideoError(f"{path}: expected at least {least_frames} frames, got {total}; give a video, not a still")
    clip = Clip(pixels, fps, path)
    if frames is None or frames == total:
        return clip
    return Clip(pixels, clip.resampled_fps(total, frames), path)


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


class Crash(Exception):
    """The decoder's process ended or was ended; the text says how."""


class Decoder:
    """A decoding process, started at the first file and again after each crash. Safe for threads and after a fork."""

    def __init__(self, seconds: float = DECODE_SECONDS, module: str = "motionbench.video_worker") -> None:
        self.seconds = seconds
        self.module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def decode(self, path: Path, frames: int | None = None) -> tuple[NDArray[np.uint8], float, int]:
        """Pixels (T, H, W, 3), frames per second, and the file's own frame count. Raises VideoError."""
        with self._lock:
            try:
                return self._decode(path, "auto", frames)
            except Crash:
                pass  # most likely decord: PyAV judges, in a new process
            try:
                return self._decode(path, "pyav", frames)
            except Crash as crash:
                raise VideoError(f"{path}: expected a video, but its decoder {crash}; re-encode it") from crash

    def _decode(
        self, path: Path, reader: Literal["auto", "pyav"], frames: int | None
    ) -> tuple[NDArray[np.uint8], float, int]:
        request = {"path": str(path.resolve()), "reader": reader, "frames": frames}
        try:
            header, pixels = self._ask(request)
        except BaseException:
            self.stop()  # also on Ctrl-C: what is under way would be taken for the next answer
            raise
        if pixels is None:
            raise VideoError(f"{path}: expected a video, but {header['why']}; re-encode it or give another file")
        return pixels, float(header["fps"]), int(header["total"])

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        process = self._start()
        deadline = time.monotonic() + self.seconds
        assert process.stdin is not None  # for mypy: both are pipes
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise Crash(self._how(process)) from error
        answer = Answer(process.stdout.fileno(), deadline)
        try:
            header = json.loads(answer.line())
            return header, answer.pixels(tuple(header["shape"])) if header["ok"] else None
        except EOFError as error:
            raise Crash(self._how(process)) from error
        except TimeoutError as error:
            raise Crash(f"gave no answer for {self.seconds:g} s") from error

    def _start(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # forked: the pipes belong to the parent
            self._process = None
        if self._process is None or self._process.poll() is not None:
            # -P: modules of the working folder must not stand in for installed ones.
            command = [sys.executable, "-P", "-m", self.module]
            pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, bufsize=0)
            self._owner = os.getpid()
        return self._process

    @staticmethod
    def _how(process: subprocess.Popen[bytes]) -> str:
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        code = process.returncode
        return f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"

    def stop(self) -> None:
        """Ends the process, if it is ours; the next file starts another."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class Answer:
    """One answer of the worker, read from a pipe until a deadline. Raises EOFError and TimeoutError."""

    def __init__(self, handle: int, deadline: float) -> None:
        self.handle = handle
        self.deadline = deadline
        self.ahead = b""

    def line(self) -> bytes:
        """The header; what came after it is kept for `pixels`."""
        data = b""
        while b"\n" not in data:
            data += self._some(1 << 16)
        line, self.ahead = data.split(b"\n", 1)
        return line

    def pixels(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """The frames that follow the header."""
        frames = np.empty(shape, np.uint8)
        view = memoryview(frames.data).cast("B")
        view[: len(self.ahead)] = self.ahead
        at = len(self.ahead)
        while at < len(view):
            part = self._some(min(1 << 20, len(view) - at))
            view[at : at + len(part)] = part
            at += len(part)
        return frames

    def _some(self, size: int) -> bytes:
        left = self.deadline - time.monotonic()
        if left <= 0 or not select.select([self.handle], [], [], left)[0]:
            raise TimeoutError
        part = os.read(self.handle, size)
        if not part:
            raise EOFError
        return part


DECODER = Decoder()
atexit.register(DECODER.stop)


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
