"""The decoder: a process of its own (`motionbench.video_worker`) that is asked for frames, and may crash or hang.

It is kept for the next file and started again after a crash: decord aborts the whole process on some damaged files.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ReaderError, VideoError

DECODE_SECONDS = 300.0  # for one file; a decoder that hangs is ended then
OURS = "the reader itself failed, which says nothing about the file:"
REPORT = "please report this text and, if you can, the file"


class Crash(Exception):
    """The decoder's process ended or was ended; the text says how. ours: by an error of its own, not inside FFmpeg."""

    def __init__(self, how: str, *, ours: bool = False) -> None:
        super().__init__(how)
        self.ours = ours


class Decoded(NamedTuple):
    """Pixels (T, H, W, 3) with the file's rate, count of frames and times, as `motionbench.reading.frames.Reading`."""

    pixels: NDArray[np.uint8]
    fps: float
    total: int
    times: NDArray[np.float64] | None
    repeated: int
    notes: tuple[str, ...]


class Decoder:
    """A decoding process, started at the first file and again after each crash. Safe for threads and after a fork."""

    def __init__(self, seconds: float = DECODE_SECONDS, module: str = "motionbench.video_worker") -> None:
        self.seconds = seconds
        self.module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def decode(self, path: Path, frames: int | None = None) -> Decoded:
        """What a file holds, or `frames` of it. Raises VideoError, and ReaderError where the file is not at fault."""
        with self._lock:
            try:
                return self._decode(path, "auto", frames)
            except Crash:
                pass  # most likely decord: PyAV judges, in a new process
            try:
                return self._decode(path, "pyav", frames)
            except Crash as crash:
                if crash.ours:
                    raise ReaderError(f"{path}: {OURS} its process {crash}; {REPORT}") from crash
                raise VideoError(f"{path}: expected a video, but its decoder {crash}; cut or re-encode it") from crash

    def _decode(self, path: Path, reader: Literal["auto", "pyav"], frames: int | None) -> Decoded:
        request = {"path": str(path.resolve()), "reader": reader, "frames": frames}
        try:
            header, pixels = self._ask(request)
        except BaseException:
            self.stop()  # also on Ctrl-C: what is under way would be taken for the next answer
            raise
        if pixels is None and header["fault"] == "reader":
            raise ReaderError(f"{path}: {OURS} {header['why']}; {REPORT}")
        if pixels is None:
            raise VideoError(f"{path}: expected a video, but {header['why']}; re-encode it or give another file")
        times = None if header["times"] is None else np.array(header["times"])
        return Decoded(pixels, header["fps"], header["total"], times, header["repeated"], tuple(header["notes"]))

    def _ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        process = self._start()
        deadline = time.monotonic() + self.seconds
        assert process.stdin is not None  # for mypy: both are pipes
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise self._crash(process) from error
        answer = Answer(process.stdout.fileno(), deadline)
        try:
            header = json.loads(answer.line())
            return header, answer.pixels(tuple(header["shape"])) if header["ok"] else None
        except EOFError as error:
            raise self._crash(process) from error
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
    def _crash(process: subprocess.Popen[bytes]) -> Crash:
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        code = process.returncode
        if code is not None and code < 0:
            return Crash(f"was ended by signal {-code}")
        return Crash(f"ended with exit code {code}", ours=True)

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
