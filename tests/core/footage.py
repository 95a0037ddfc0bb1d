"""Small video files for the tests: plain ones, and each kind of trouble, made with PyAV."""

from __future__ import annotations

import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

Frames = NDArray[np.uint8]


def moving_frames(count: int = 24, height: int = 64, width: int = 96, seed: int = 0) -> Frames:
    """Colored 8x8 blocks that move 2 pixels a frame: (count, height, width, 3), no two frames alike."""
    blocks = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    picture = blocks.repeat(8, 0).repeat(8, 1)
    return np.stack([np.roll(picture, 2 * t, 1)[:height, :width] for t in range(count)])


def encode(
    path: Path,
    frames: Frames,
    *,
    codec: str = "libx264",
    params: str = "",
    pixels: str = "yuv420p",
    rate: int | Fraction = 8,
    ticks: list[int] | None = None,
    tick: Fraction = Fraction(1, 90000),
    aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Writes frames at a rate, or at the times `ticks` of `tick` seconds each.

    params: for x264 or x265; pixels: FFmpeg's format; aspect: of a pixel; options: of the codec.
    """
    chosen = {f"{codec.removeprefix('lib')}-params": params} if params else {}
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=rate, options={**chosen, **(options or {})})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], pixels
        if ticks is not None:
            stream.codec_context.time_base = tick
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = (index, 1 / Fraction(rate)) if ticks is None else (ticks[index], tick)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, *, first: int = 0, shift: int = 0) -> Path:
    """The packets of a file from number `first` on, without encoding, `shift` of their units earlier."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream: Any = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(old.demux(stream)):
            if packet.dts is None or packet.pts is None or number < first:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            new.mux(packet)
    return target


def cut_without_encoding(source: Path, target: Path, *, keyframe: int, start: int) -> Path:
    """What `ffmpeg -ss … -c copy` does: packets from a keyframe on, an edit list that hides frames before `start`."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream: Any = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        step = int(1 / stream.average_rate / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is None or packet.pts is None or packet.pts < keyframe * step:
                continue
            packet.pts -= start * step
            packet.dts -= start * step
            packet.stream = copy
            new.mux(packet)
    return target


def rotate(source: Path, target: Path, degrees: int) -> Path:
    """The same MP4 with a display matrix that turns it clockwise by 90, 180 or 270 degrees."""
    return place(source, target, *{90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees])


def place(source: Path, target: Path, a: float, b: float, c: float, d: float) -> Path:
    """The same MP4 with a display matrix that shows its point (p, q) at (a p + c q, b p + d q)."""
    one = 1 << 16
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes lie before the matrix
    assert struct.unpack(">9i", data[at : at + 36]) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    data[at : at + 36] = struct.pack(">9i", *(round(one * x) for x in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    target.write_bytes(data)
    return target


def silence(path: Path) -> Path:
    """An MP4 with a sound track only."""
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=16000)
        for index in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = 16000, 1024 * index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def hdr_card(path: Path, transfer: str, signal: float) -> Path:
    """Four frames of one gray, 10 bit in BT.2020, at a signal in [0, 1] of the limited range."""
    tags = f"log-level=none:colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}:range=limited"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx265", rate=25, options={"x265-params": tags})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        for index in range(4):
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            for plane, level in zip(frame.planes, (round(64 + signal * 876), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def reference_frames(path: Path) -> Frames:
    """What a player shows, decoded here frame by frame and turned by hand."""
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    return np.stack([np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90) for frame in frames])


def player_frames(path: Path, *filters: str) -> Frames:
    """What the ffmpeg program shows, each frame once, through its filters; skips the test where there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("no ffmpeg program here")
    command = [program, "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-vf", ",".join(filters)] if filters else []
    shown = subprocess.run([*command, "-f", "yuv4mpegpipe", "-pix_fmt", "yuv444p", "-"], capture_output=True).stdout
    size = {mark[:1]: mark[1:] for mark in shown.split(b"\n", 1)[0].split()[1:]}
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, int(size[b"H"]), int(size[b"W"]), 3)
