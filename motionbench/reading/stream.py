"""What a video file is, before its frames are decoded: which stream, how many frames at which times, whether whole."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from motionbench.reading import Refusal
from motionbench.reading.ending import Extent, check_end
from motionbench.reading.picture import Picture
from motionbench.reading.timing import is_even

# Formats that hold one video in one file. FFmpeg opens more: texts as terminals, play lists that name other files.
CONTAINERS = set("mov mp4 matroska webm avi mpegts mpeg flv ogg asf gif apng mxf gxf dv nut rm ivf".split())  # noqa: SIM905
CONTAINERS |= {"h264", "hevc", "h263", "m4v", "mpegvideo", "mjpeg", "vc1", "obu", "yuv4mpegpipe"}  # bare streams
COVER, THUMBNAILS, DEFAULT = 0x400, 0x800, 0x1  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC, _TIMED_THUMBNAILS, _DEFAULT


@dataclass(frozen=True)
class Packet:
    """The numbers of one packet; its bytes are let go, so that a large file needs little memory."""

    pts: int | None
    dts: int | None
    key: bool
    corrupt: bool


@dataclass(frozen=True)
class Layout:
    """What the packets of the video stream say.

    shown: the packets whose frames a player shows, in the order of the file. rate: frames per second as declared, or
    None. tick: seconds of one unit of the packets' times. plain: decord shows the same frames as a player.
    """

    index: int
    container: str
    codec: str
    shown: tuple[Packet, ...]
    rate: float | None
    tick: float
    picture: Picture
    plain: bool


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """The file as a PyAV container. Names in other encodings than UTF-8 do not matter, and no other file is opened."""
    import av

    # PyAV 19 replaces what is no UTF-8 of itself, and has no such option; before, it was a traceback without it.
    names: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    with av.open(path, container_options={"protocol_whitelist": "file"}, **names) as container:
        yield container


def probe(path: str) -> Layout:
    """The layout of the video stream that a player shows. Raises Refusal if there is none, or the file is cut off."""
    with opened(path) as container:
        stream = choose(container)
        index, codec = stream.index, stream.codec_context.name
        packets, extent = read_packets(container, stream)
        check_end(path, stream, extent)
        shown = tuple(packets)
        if not shown:
            raise Refusal("it holds no frame")
        rate = next((float(r) for r in (stream.average_rate, stream.guessed_rate) if r and r > 0), None)
        name, tick = container.format.name, float(stream.time_base)
        skips = len(packets) < extent.packets
    with opened(path) as container:  # from the start again
        picture = Picture.of(container.streams[index], first_frame(container, container.streams[index]))
    plain = "mp4" in name and codec == "h264" and not skips and picture.plain and is_plain(shown)
    return Layout(index, name, codec, shown, rate, tick, picture, plain)


def kinds(container: Any) -> set[str]:
    """The names of a container's format."""
    return set(container.format.name.split(","))


def choose(container: Any) -> Any:
    """The stream that FFmpeg and players choose: the default one, or else the largest. Raises Refusal."""
    if not kinds(container) & CONTAINERS:
        raise Refusal(
            f"its container is {container.format.name!r}, not a video container (mp4, mov, mkv, webm, avi, ts)"
        )
    streams = [s for s in container.streams.video if not s.disposition.value & (COVER | THUMBNAILS)]
    if not streams:
        listed = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise Refusal(f"it holds no video stream (it holds {listed})")
    known = [s for s in streams if s.codec_context is not None]
    if not known:
        raise Refusal("no decoder is known for its video")
    return max(known, key=lambda s: (s.disposition.value & DEFAULT, s.width * s.height, -s.index))


def read_packets(container: Any, stream: Any) -> tuple[list[Packet], Extent]:
    """The packets whose frames are shown, and how far all of them reach."""
    packets, count, tick = [], 0, float(stream.time_base)
    start, end, last = math.inf, 0.0, 0.0
    for packet in container.demux(stream):
        if packet.dts is None and packet.pts is None and not packet.size:
            continue  # PyAV's own mark of the end
        count += 1
        if packet.pts is not None and not packet.is_discard:
            start, last = min(start, packet.pts * tick), (packet.duration or 0) * tick
            end = max(end, packet.pts * tick + last)
        if packet.size and not packet.is_discard:
            packets.append(Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_corrupt))
    return packets, Extent(count, start, end, last)


def first_frame(container: Any, stream: Any) -> Any:
    """The first frame that can be decoded: a stream may begin between keyframes. Raises Refusal."""
    for _, frame in decoded(container, stream):
        return frame
    raise Refusal("none of its frames can be decoded")


def decoded(container: Any, stream: Any) -> Iterator[tuple[int, Any]]:
    """(number, frame) of the frames that a player shows, in order.

    What cannot be decoded before the first of them is passed over, as players do; later it is damage. Raises Refusal.
    """
    import av

    count = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if count:
                raise Refusal(f"frame {count} cannot be decoded ({cause(error)})") from error
            continue
        for frame in frames:
            if frame.is_corrupt and count:
                raise Refusal(f"frame {count} is damaged")
            if not frame.is_corrupt:
                yield count, frame
                count += 1


def cause(error: BaseException) -> str:
    """The first line of an error's text."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def is_plain(shown: tuple[Packet, ...]) -> bool:
    """True for closed groups of pictures at a constant rate from a keyframe on: no other order can be read from it."""
    if any(p.pts is None or p.corrupt for p in shown) or not shown[0].key:
        return False
    newest_key = shown[0].pts
    for packet in shown:
        if packet.key:
            newest_key = packet.pts
        elif packet.pts < newest_key:  # type: ignore[operator]  # shown before the keyframe it follows: an open group
            return False
    return is_even(sorted(p.pts for p in shown if p.pts is not None))
