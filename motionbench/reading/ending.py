"""Whether a file was cut off: what its container says of its own length, against what is there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from motionbench.reading import Refusal


def check_end(path: str, stream: Any, count: int, end: float) -> None:
    """Raises Refusal if a file ends before what it declares: its boxes, its chunks, its frames or its duration.

    count, end: packets of the video stream, and the end of the last one in seconds.
    """
    kinds = stream.container.format.name.split(",")
    if "mp4" in kinds:
        check_boxes(path)
    elif "avi" in kinds:  # the frames it declares include those that are left out and repeat the one before
        check_chunks(path)
    elif stream.frames and count < stream.frames:
        raise Refusal(f"it is truncated: it declares {stream.frames} frames and holds {count}")
    declared = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska: of this stream
    if not declared or not end or not stream.average_rate:
        return
    seconds = int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3])
    if end < seconds - 1.5 / float(stream.average_rate):
        raise Refusal(f"it is truncated: it declares {seconds:.3f} s and ends at {end:.3f} s")


def check_boxes(path: str) -> None:
    """Raises Refusal if an MP4 file's index or frames run past the file's end: the file was cut off."""
    size, at = os.path.getsize(path), 0
    with Path(path).open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the 64-bit size follows the box's name
                length = int.from_bytes(head[8:16], "big")
            if length == 0:  # up to the end of the file
                return
            name = head[4:8]
            if name in (b"mdat", b"moov", b"moof"):
                refuse_cut(name, at, length, size)
            if length < 8:  # no box any more: something else was appended, which players skip
                return
            at += length


def check_chunks(path: str) -> None:
    """Raises Refusal if a RIFF of an AVI file runs past the file's end: the file was cut off.

    A large file has several. A length of 0 is one that a recorder had no time to write.
    """
    size, at = os.path.getsize(path), 0
    with Path(path).open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            name, length = file.read(4), int.from_bytes(file.read(4), "little")
            if name != b"RIFF" or length == 0:
                return
            refuse_cut(name, at, 8 + length, size)
            at += 8 + length + length % 2


def refuse_cut(name: bytes, at: int, length: int, size: int) -> None:
    """Raises Refusal if a part of a file ends after the file does."""
    if at + length > size:
        raise Refusal(f"it is truncated: {name.decode()} needs {length} bytes from {at} on, the file has {size}")
