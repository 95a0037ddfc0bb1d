"""The decoder's own process: reads requests on stdin, answers with frames on stdout, and may crash without harm.

Run by `motionbench.decoder` as `python -m motionbench.video_worker`. A request is one JSON line
`{"path", "reader": "auto" | "pyav", "frames": int | null}`; an answer is one JSON line, then T*H*W*3 bytes if `ok`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from motionbench.reading import Refusal
from motionbench.reading.frames import Reading, all_frames, some_frames
from motionbench.reading.picture import Frames
from motionbench.reading.stream import Layout, cause, probe

LARGEST = 4 << 30  # decoded bytes of one clip; more is a mistake or a forged header, and would exhaust the machine


def read(path: str, reader: str, wanted: int | None) -> tuple[Frames, Reading, str]:
    """Frames (T, H, W, 3), what is known of the file, and the reader that gave them.

    Raises Refusal where the file is at fault; any other error is ours or a library's.
    """
    import av

    try:
        layout = probe(path)
        check_size(layout, wanted)
        if wanted is None:
            made = all_frames(path, layout, trust_decord=reader == "auto")
        else:
            made = some_frames(path, layout, wanted)
        return made.frames, made, made.reader
    except av.error.FFmpegError as error:
        raise Refusal(f"it cannot be decoded ({cause(error)})") from error


def check_size(layout: Layout, wanted: int | None) -> None:
    """Raises Refusal if the decoded clip would not fit."""
    height, width, _ = layout.picture.shape
    frame = height * width * 3
    count = len(layout.shown) if wanted is None else wanted
    if frame * count > LARGEST:
        raise Refusal(
            f"it is too large: {count} frames of {width}x{height} are {frame * count >> 20} MiB decoded, "
            f"the limit is {LARGEST >> 20}; cut it to {max(1, LARGEST // frame)} frames or scale it down"
        )


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], Frames | None]:
    """The header and the frames for one request; what is wrong is the file's fault or, unexpected, the reader's."""
    try:
        frames, made, reader = read(request["path"], request["reader"], request["frames"])
    except Refusal as refusal:
        return {"ok": False, "fault": "file", "why": str(refusal)}, None
    except MemoryError:
        return {"ok": False, "fault": "file", "why": "it does not fit into memory; cut it or scale it down"}, None
    except Exception as error:  # whatever it is: the next file is read, and this one is not called broken
        return {"ok": False, "fault": "reader", "why": describe(error)}, None
    times = None if made.times is None or request["frames"] is not None else made.times.tolist()
    facts = {"fps": made.fps, "times": times, "total": made.total, "notes": made.notes, "reader": reader}
    return {"ok": True, "shape": frames.shape, "repeated": made.repeated, **facts}, frames


def describe(error: Exception) -> str:
    """An unexpected error's type, text and place, and the versions of the libraries that it came through."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    packages = ", ".join(f"{name} {installed(name)}" for name in ("av", "decord", "numpy"))
    return f"{type(error).__name__}: {cause(error)} (at {Path(place.filename).name}:{place.lineno}; {packages})"


def installed(name: str) -> str:
    """The version of an installed package, or "missing"."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answers requests until the other end closes."""
    for line in requests:
        header, frames = answer(json.loads(line))
        answers.write(json.dumps(header).encode() + b"\n")
        if frames is not None:
            answers.write(np.ascontiguousarray(frames).data)
        answers.flush()


def main() -> None:
    """Serves on stdin and stdout; what the decoders print themselves goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
