"""The decoder's own process: reads requests on stdin, answers with frames on stdout, and may crash without harm.

Run by `motionbench.video` as `python -m motionbench.video_worker`. A request is one JSON line
`{"path", "reader": "auto" | "pyav", "frames": int | null}`; an answer is one JSON line, then T*H*W*3 bytes if `ok`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import nearest_indices

Frames = NDArray[np.uint8]

CONTAINERS = {
    "mov",
    "mp4",
    "matroska",
    "webm",
    "avi",
    "mpegts",
    "mpeg",
    "flv",
    "ogg",
    "asf",
    "gif",
    "h264",
    "hevc",
    "ivf",
}
LARGEST = 4 << 30  # decoded bytes of one clip; more is a mistake or a forged header, and would exhaust the machine
LARGEST_DECORD = 1 << 30  # decord holds the whole clip at once, PyAV only the frames that are wanted


class Refusal(Exception):
    """The file is no video that can be read exactly; the text says why."""


@dataclass(frozen=True)
class Layout:
    """What the packets of the video stream say, found by decoding one frame only.

    shown: frames that a player shows. plain: nothing about the file is known to mislead decord, and it is not rotated.
    fps > 0; height, width: of the coded frame.
    """

    shown: int
    plain: bool
    fps: float
    height: int
    width: int


def read(path: str, reader: str, wanted: int | None) -> tuple[Frames, Layout, str]:
    """Frames (T, H, W, 3), the file's layout, and the reader that gave them. Raises Refusal."""
    import av

    try:
        layout = probe(path)
        check_size(layout, wanted)
        if reader == "auto" and layout.plain and wanted is None:
            frames = decord_frames(path, layout)
            if frames is not None:
                return frames, layout, "decord"
        return pyav_frames(path, layout, wanted), layout, "pyav"
    except (av.error.FFmpegError, ValueError, IndexError, OverflowError, EOFError, StopIteration) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Refusal(f"it cannot be decoded ({text})") from error


def probe(path: str) -> Layout:
    """The layout of the first video stream. Raises Refusal if there is none, or if the file ends too early."""
    import av

    with av.open(path) as container:
        kinds = set(container.format.name.split(","))
        if not kinds & CONTAINERS:
            raise Refusal(
                f"its container is {container.format.name!r}, not a video container (mp4, mov, mkv, webm, avi, ts)"
            )
        streams = [s for s in container.streams.video if not cover_art(s)]
        if not streams:
            held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            raise Refusal(f"it holds no video stream (it holds {held})")
        stream = streams[0]
        packets = [p for p in container.demux(stream) if p.size]
        if "mp4" in kinds:
            check_boxes(path)
        else:
            check_end(stream, packets)
        shown = sum(not p.is_discard for p in packets)
        if not shown:
            raise Refusal("it holds no frame")
        rate = stream.average_rate or stream.guessed_rate
        if not rate or rate <= 0:
            raise Refusal("it declares no frame rate")
        index, plain = stream.index, is_plain(packets)  # a stream must not be asked once its container is closed
    with av.open(path) as container:  # from the start again
        first: Any = next(container.decode(container.streams[index]))
        return Layout(shown, plain and quarter_turns(first) == 0, float(rate), first.height, first.width)


def cover_art(stream: Any) -> bool:
    return bool(int(stream.disposition) & 0x400)  # AV_DISPOSITION_ATTACHED_PIC: a picture in a sound file


def is_plain(packets: list[Any]) -> bool:
    """True if decord shows the same frames as a player: no edit-list cut, closed GOPs, a constant frame rate."""
    if any(p.pts is None or p.is_discard or p.is_corrupt for p in packets) or not packets[0].is_keyframe:
        return False
    newest_key = packets[0].pts
    for packet in packets:
        if packet.is_keyframe:
            newest_key = packet.pts
        elif packet.pts < newest_key:  # shown before the keyframe that it follows in the file: an open GOP
            return False
    gaps = np.diff(np.sort([p.pts for p in packets]))
    return len(gaps) == 0 or bool(gaps.min() > 0 and gaps.max() - gaps.min() <= 1)  # 1: rounding of the time base


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
            if name in (b"mdat", b"moov", b"moof") and at + length > size:
                raise Refusal(
                    f"it is truncated: {name.decode()} needs {length} bytes from {at} on, the file has {size}"
                )
            if length < 8:  # no box any more: something else was appended, which players skip
                return
            at += length


def check_end(stream: Any, packets: list[Any]) -> None:
    """Raises Refusal if the packets end well before the count or the duration that the container declares."""
    if stream.frames and len(packets) < stream.frames:
        raise Refusal(f"it is truncated: it declares {stream.frames} frames and holds {len(packets)}")
    declared = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))  # Matroska: of this stream
    ends = [p.pts + (p.duration or 0) for p in packets if p.pts is not None]
    if not declared or not ends or not stream.average_rate:
        return
    seconds = int(declared[1]) * 3600 + int(declared[2]) * 60 + float(declared[3])
    end = float(max(ends) * stream.time_base)
    if end < seconds - 1.5 / float(stream.average_rate):
        raise Refusal(f"it is truncated: it declares {seconds:.3f} s and ends at {end:.3f} s")


def check_size(layout: Layout, wanted: int | None) -> None:
    """Raises Refusal if the decoded clip would not fit."""
    frame = layout.height * layout.width * 3
    count = layout.shown if wanted is None else wanted
    if frame * count > LARGEST:
        raise Refusal(
            f"it is too large: {count} frames of {layout.width}x{layout.height} are {frame * count >> 20} MiB decoded, "
            f"the limit is {LARGEST >> 20}; cut it to {max(1, LARGEST // frame)} frames or scale it down"
        )


def decord_frames(path: str, layout: Layout) -> Frames | None:
    """All frames by one sequential get_batch, or None where decord is absent, fails or counts otherwise."""
    if layout.shown * layout.height * layout.width * 3 > LARGEST_DECORD:
        return None
    try:
        import decord
    except (ImportError, OSError):
        return None
    try:
        video = decord.VideoReader(path, num_threads=1)
        if len(video) != layout.shown:
            return None
        frames: Frames = video.get_batch(range(len(video))).asnumpy()
    except Exception:  # decord raises its own errors, RuntimeError or IndexError: whatever it is, PyAV judges
        return None
    return frames if frames.shape[1:3] == (layout.height, layout.width) else None


def quarter_turns(frame: Any) -> int:
    """Quarter turns, counterclockwise, by which a player turns the frame (its display matrix)."""
    return round(getattr(frame, "rotation", 0) / 90) % 4


def pyav_frames(path: str, layout: Layout, wanted: int | None) -> Frames:
    """The frames that a player shows, in order and upright; only `wanted` of them, evenly spread. Raises Refusal."""
    import av

    keep = None if wanted is None else nearest_indices(layout.shown, wanted).tolist()
    chosen = None if keep is None else set(keep)
    kept: dict[int, Frames] = {}
    count = 0
    with av.open(path) as container:
        stream = next(s for s in container.streams.video if not cover_art(s))
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise Refusal(f"frame {count} is damaged")
            if chosen is None or count in chosen:
                kept[count] = np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns(frame))
            count += 1
    if count != layout.shown:
        raise Refusal(f"{count} of its {layout.shown} frames can be decoded: it is truncated or damaged")
    return np.stack([kept[index] for index in (range(count) if keep is None else keep)])


def answer(request: dict[str, Any]) -> tuple[dict[str, Any], Frames | None]:
    """The header and the frames for one request."""
    try:
        frames, layout, reader = read(request["path"], request["reader"], request["frames"])
    except Refusal as refusal:
        return {"ok": False, "why": str(refusal)}, None
    except MemoryError:
        return {"ok": False, "why": "it does not fit into memory; cut it or scale it down"}, None
    return {"ok": True, "shape": frames.shape, "fps": layout.fps, "total": layout.shown, "reader": reader}, frames


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
