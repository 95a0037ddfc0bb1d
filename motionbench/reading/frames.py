"""The frames of a stream, each once and in order: decord reads what is proven plain, PyAV everything else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import nearest_in_time, nearest_indices
from motionbench.reading import Refusal
from motionbench.reading.picture import Frames
from motionbench.reading.stream import Layout, decoded, opened
from motionbench.reading.timing import Times, constant_rate, to_times

LARGEST_DECORD = 1 << 30  # decoded bytes: decord holds the whole clip at once, PyAV only the frames that are wanted


@dataclass(frozen=True)
class Reading:
    """Frames (T, H, W, 3) and what is known of all `total` of the file.

    fps: their mean rate. times: seconds (total,) from the first on, None at a constant rate. reader: who decoded them.
    repeated: how many of the frames are the one before once more. notes: what a user should know of the picture.
    """

    frames: Frames
    total: int
    fps: float
    times: Times | None
    reader: str
    repeated: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pass:
    """One decoding of the whole stream: the frames kept, and every frame's time stamp in the order shown."""

    frames: Frames
    stamps: tuple[int | None, ...]
    interlaced: bool


def all_frames(path: str, layout: Layout, *, trust_decord: bool) -> Reading:
    """Every frame. Raises Refusal."""
    if layout.plain and trust_decord:
        frames = decord_frames(path, layout)
        if frames is not None:
            stamps = sorted(p.pts for p in layout.shown if p.pts is not None)
            return to_reading(Pass(frames, tuple(stamps), False), layout, "decord")
    return to_reading(decode(path, layout, None), layout, "pyav")


def some_frames(path: str, layout: Layout, wanted: int) -> Reading:
    """`wanted` of the frames, nearest to even steps of time from the first to the last; no others are held.

    Which ones is known from the packets' times before decoding. Where the frames' own turn out to be others, they are
    decoded again. Raises Refusal.
    """
    guess = tuple(sorted(p.pts if p.pts is not None else p.dts or 0 for p in layout.shown))
    chosen = choose(timed(guess, layout), layout, wanted)
    while True:
        made = decode(path, layout, chosen)
        right = choose(timed(made.stamps, layout), layout, wanted)
        if np.array_equal(chosen, right):
            return replace(to_reading(made, layout, "pyav"), repeated=wanted - len(np.unique(chosen)))
        chosen = right


def timed(stamps: tuple[int | None, ...], layout: Layout) -> Times:
    """Seconds (T,) at which frames with these time stamps are shown."""
    decoding = [p.dts for p in layout.shown]
    others = decoding if len(decoding) == len(stamps) else stamps
    return to_times(stamps, others, layout.tick, layout.rate, layout.container)


def choose(times: Times, layout: Layout, wanted: int) -> NDArray[np.int64]:
    """Indices (wanted,) as `Clip.sample` takes them."""
    if constant_rate(times, layout.tick, layout.rate) is None:
        return nearest_in_time(times, wanted)
    return nearest_indices(len(times), wanted)


def to_reading(made: Pass, layout: Layout, reader: str) -> Reading:
    """The frames of a pass with their rate, or their times where it is not constant."""
    times = timed(made.stamps, layout)
    rate = constant_rate(times, layout.tick, layout.rate)
    notes = []
    if made.interlaced:
        notes.append("its frames are interlaced, two moments in each: deinterlace it, or edges will look like combs")
    if layout.picture.transfer is not None:
        notes.append(f"its picture is HDR ({layout.picture.transfer}) and was mapped to standard range")
    mean = rate or (len(times) - 1) / float(times[-1])
    return Reading(made.frames, len(times), mean, times if rate is None else None, reader, notes=tuple(notes))


def decode(path: str, layout: Layout, chosen: NDArray[np.int64] | None) -> Pass:
    """Decodes the stream from the start and keeps the frames of the rising indices `chosen`, or all. Raises Refusal."""
    picture = layout.picture
    kept = np.empty((len(layout.shown) if chosen is None else len(chosen), *picture.shape), np.uint8)
    at, interlaced = 0, False
    stamps: list[int | None] = []
    with opened(path) as container:
        stream = container.streams[layout.index]
        stream.thread_type = "AUTO"
        for number, frame in decoded(container, stream):
            stamps.append(frame.pts)
            interlaced |= bool(frame.interlaced_frame)
            if chosen is None:
                if number == len(kept):  # more than one frame in a packet
                    kept = np.concatenate([kept, np.empty_like(kept)])
                kept[number], at = picture.show(frame, number), number + 1
            elif at < len(chosen) and chosen[at] == number:
                last = int(np.searchsorted(chosen, number, side="right"))
                kept[at:last], at = picture.show(frame, number), last
    if not stamps:
        raise Refusal("none of its frames can be decoded")
    check_whole(layout, stamps)
    return Pass(kept[:at] if chosen is None else kept, tuple(stamps), interlaced)


def check_whole(layout: Layout, stamps: list[int | None]) -> None:
    """Raises Refusal unless every packet gave its frame, from the first keyframe on.

    What is shown before it belongs to a group whose keyframe is not in the file: a player starts after it. Some
    containers cannot store the times of such packets, which are negative.
    """
    packets = layout.shown
    there = Counter(stamp for stamp in stamps if stamp is not None)
    start = next((n for n, p in enumerate(packets) if p.key), 0)
    first = packets[start].pts
    if first is None or None in stamps or any(p.pts is None for p in packets[start + 1 :]):
        lead = next((n for n, p in enumerate(packets[start + 1 :]) if p.pts is not None), 0)
        lost = len(packets) - start - lead - len(stamps)
    else:
        lost = (Counter(p.pts for p in packets if p.pts is not None and p.pts >= first) - there).total()
    if lost > 0:
        raise Refusal(f"{len(packets) - lost} of its {len(packets)} frames can be decoded: it is damaged")
    for number, packet in enumerate(packets[start:], start):
        # Just before a keyframe, a recording may begin that was joined to another: its counters start anew.
        if packet.corrupt and not any(after.key for after in packets[number + 1 : number + 3]):
            raise Refusal("it is damaged: parts of it are missing")


def decord_frames(path: str, layout: Layout) -> Frames | None:
    """All frames by one sequential get_batch, or None where decord is absent, fails or counts otherwise."""
    if len(layout.shown) * int(np.prod(layout.picture.shape)) > LARGEST_DECORD:
        return None
    try:
        import decord
    except (ImportError, OSError):
        return None
    try:
        video = decord.VideoReader(path, num_threads=1)
        if len(video) != len(layout.shown):
            return None
        frames: Frames = video.get_batch(range(len(video))).asnumpy()
    except Exception:  # decord raises its own errors, RuntimeError or IndexError: whatever it is, PyAV judges
        return None
    return frames if frames.shape[1:] == layout.picture.shape else None
