"""Whether a file was cut off: what its container says of its own length, against what is there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from motionbench.reading import Refusal

SHORT = 0.1  # seconds by which the duration in an MP4 may be too long: edit lists and rounding
GIF_EXTENSION, GIF_IMAGE, GIF_END = 0x21, 0x2C, 0x3B


@dataclass(frozen=True)
class Extent:
    """Packets of a stream, and seconds: when the first is shown, when the last ends, and how long that one lasts."""

    packets: int
    start: float
    end: float
    last: float


def check_end(path: str, stream: Any, extent: Extent) -> None:
    """Raises Refusal if a file ends before what it declares: its boxes, chunks or blocks, its frames, its duration."""
    kinds = stream.container.format.name.split(",")
    if "mp4" in kinds:
        check_boxes(path)
        length = float((stream.duration or 0) * stream.time_base)
        check_duration(length, extent.end - extent.start, extent.last + SHORT)
    elif "avi" in kinds:  # the frames it declares include those that are left out and repeat the one before
        check_chunks(path)
    elif "gif" in kinds:
        with mapped(path) as data:
            check_blocks(data)
    elif "flv" in kinds:
        with mapped(path) as data:
            check_tags(data)
    elif stream.frames and extent.packets < stream.frames:
        raise Refusal(f"it is truncated: it declares {stream.frames} frames and holds {extent.packets}")
    declared = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska: of this stream
    if declared and extent.end and stream.average_rate:
        seconds = int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3])
        check_duration(seconds, extent.end, extent.last / 2 or 1.5 / float(stream.average_rate))


def check_duration(declared: float, end: float, tolerance: float) -> None:
    """Raises Refusal if a stream ends earlier than declared, all in seconds."""
    if end < declared - tolerance:
        raise Refusal(f"it is truncated: it declares {declared:.3f} s and ends at {end:.3f} s")


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


@contextmanager
def mapped(path: str) -> Iterator[mmap]:
    """The bytes of a file, which are not held in memory."""
    with Path(path).open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        yield data


def check_tags(data: mmap) -> None:
    """Raises Refusal if the tags of an FLV file do not follow each other to its end: FLV 10.1, Annex E.3 and E.4."""
    at = int.from_bytes(data[5:9])
    while at + 15 <= len(data):  # the length of the tag before, and the head of the next
        length = 11 + int.from_bytes(data[at + 5 : at + 8])
        refuse_cut(b"a tag", at + 4, length, len(data))
        at += 4 + length
        after = int.from_bytes(data[at : at + 4])
        if at + 4 <= len(data) and after != length:
            raise Refusal(f"it is damaged: a tag of {length} bytes at {at - length} is followed by the length {after}")
    if at + 4 < len(data):
        raise Refusal(f"it is truncated: only a part of a tag's head follows {at + 4}")


def check_blocks(data: mmap) -> None:
    """Raises Refusal if the blocks of a GIF do not lead to its end mark: GIF89a, sections 15 to 27."""
    at = 13 + color_table(data, 10)
    while at < len(data) and data[at] != GIF_END:
        if data[at] == GIF_EXTENSION:
            at += 2
        elif data[at] == GIF_IMAGE and at + 9 < len(data):
            at += 11 + color_table(data, at + 9)
        else:
            raise Refusal(f"it is damaged: no block begins at byte {at}")
        while at < len(data) and data[at]:  # sub-blocks, up to an empty one
            at += 1 + data[at]
        at += 1
    if at >= len(data):
        raise Refusal("it is truncated: the end mark of a GIF is missing")


def color_table(data: mmap, at: int) -> int:
    """The length of the color table that the flags at a place of a GIF announce."""
    flags = data[at] if at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def refuse_cut(name: bytes, at: int, length: int, size: int) -> None:
    """Raises Refusal if a part of a file ends after the file does."""
    if at + length > size:
        raise Refusal(f"it is truncated: {name.decode()} needs {length} bytes from {at} on, the file has {size}")
