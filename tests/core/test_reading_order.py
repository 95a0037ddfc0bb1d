"""Every frame once and in order; what a player shows whole is whole, and what is cut off or damaged is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from footage import encode, moving_frames, player_frames, remux

from motionbench import video_worker
from motionbench.errors import VideoError
from motionbench.video import read_clip

pytestmark = pytest.mark.minimums

FRAMES = moving_frames()
CLOSED = "keyint=8:min-keyint=8:scenecut=0:bframes=2"
OPEN = f"open-gop=1:{CLOSED}"
OPEN_HEVC = "log-level=none:open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0"


def reader_of(path: Path) -> str:
    return video_worker.read(str(path), "auto", None)[2]


@pytest.mark.parametrize(
    ("name", "codec", "params"),
    [
        ("h264.ts", "libx264", CLOSED),
        ("hevc.ts", "libx265", "log-level=none:open-gop=0:keyint=8"),
        ("mpeg2.ts", "mpeg2video", ""),
        ("mpeg1.mpg", "mpeg1video", ""),
        ("h264.mov", "libx264", CLOSED),
        ("hevc.mp4", "libx265", OPEN_HEVC),
        ("h264.flv", "libx264", CLOSED),
        ("vp8.webm", "libvpx", ""),
        ("mpeg2.mxf", "mpeg2video", ""),
        ("bare.h264", "libx264", CLOSED),
    ],
)
def test_every_frame_is_read_once_and_in_order(tmp_path: Path, name: str, codec: str, params: str) -> None:
    path = encode(tmp_path / name, FRAMES, codec=codec, params=params, rate=25, options={"g": "8"})
    clip = read_clip(path, expected_frames=24)
    np.testing.assert_array_equal(clip.frames, player_frames(path))
    assert reader_of(path) == ("decord" if name == "h264.mov" else "pyav")


@pytest.mark.parametrize(
    ("first", "codec", "params"), [(3, "libx264", f"{CLOSED}:repeat-headers=1"), (3, "mpeg2video", "")]
)
def test_a_stream_may_begin_between_keyframes(tmp_path: Path, first: int, codec: str, params: str) -> None:
    whole = encode(tmp_path / "whole.ts", FRAMES, codec=codec, params=params, rate=25, options={"g": "8"})
    path = remux(whole, tmp_path / "middle.ts", first=first)
    shown = player_frames(path)
    assert 0 < len(shown) < 24
    np.testing.assert_array_equal(read_clip(path).frames, shown)
    np.testing.assert_array_equal(read_clip(path).frames, read_clip(whole).frames[-len(shown) :])


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.ts"])
@pytest.mark.parametrize(("codec", "params"), [("libx264", OPEN), ("libx265", OPEN_HEVC)])
def test_a_cut_at_an_open_keyframe_is_whole(tmp_path: Path, name: str, codec: str, params: str) -> None:
    whole = encode(tmp_path / "whole.mkv", FRAMES, codec=codec, params=f"{params}:repeat-headers=1")
    with av.open(str(whole)) as file:
        packets = [p for p in file.demux(video=0) if p.size]
        second = [n for n, p in enumerate(packets) if p.is_keyframe][1]
        shift = packets[second].pts
    assert any(p.pts < shift for p in packets[second + 1 :])  # it is open
    path = remux(whole, tmp_path / name, first=second, shift=shift)
    clip = read_clip(path)
    np.testing.assert_array_equal(clip.frames, player_frames(path))
    assert len(clip) in (16, 17)


def test_frames_left_out_of_an_avi_do_not_make_it_truncated(tmp_path: Path) -> None:
    ticks = [n if n < 12 else n + 5 for n in range(24)]  # five places hold no frame: the one before is shown on
    path = encode(tmp_path / "gap.avi", FRAMES, codec="mpeg4", ticks=ticks, tick=Fraction(1, 8))
    clip = read_clip(path, expected_frames=24)
    assert clip.times is not None
    np.testing.assert_allclose(clip.times, np.array(ticks) / 8)


def test_names_in_another_encoding_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "latin.mkv"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "caf__"
        stream = file.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for picture in FRAMES:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"caf__", b"caf\xe9 "))
    assert len(read_clip(path)) == 24


def test_the_film_is_read_and_not_its_cover(tmp_path: Path) -> None:
    path = tmp_path / "covered.mkv"
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("libx264", rate=8) for _ in range(2)]
        for stream, (height, width) in zip(streams, ((32, 48), (64, 96)), strict=True):
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        streams[0].disposition = av.stream.Disposition.attached_pic
        for number, picture in enumerate(FRAMES):
            for stream, step in zip(streams, (2, 1), strict=True):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[::step, ::step]), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 8)
                file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode(None))
    assert read_clip(path).frames.shape == (24, 64, 96, 3)


@pytest.mark.parametrize(
    ("params", "how"),
    [
        (CLOSED, {}),
        ("keyint=250:bframes=3:b-pyramid=normal:ref=4:weightp=2", {}),
        ("keyint=1", {"rate": Fraction(30000, 1001)}),
        ("bframes=2:slices=4", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
        (CLOSED, {"options": {"colorspace": "bt709", "color_trc": "bt709", "color_primaries": "bt709"}}),
        ("cabac=0:8x8dct=0", {"container": {"movflags": "faststart"}}),
    ],
)
def test_what_decord_reads_is_what_pyav_reads(tmp_path: Path, params: str, how: dict[str, Any]) -> None:
    pytest.importorskip("decord")
    path = encode(tmp_path / "plain.mp4", moving_frames(40), params=params, **how)
    frames, known, reader = video_worker.read(str(path), "auto", None)
    exact, same, other = video_worker.read(str(path), "pyav", None)
    assert (reader, other) == ("decord", "pyav")
    np.testing.assert_array_equal(frames, exact)
    assert (known.total, known.fps, known.times) == (same.total, same.fps, same.times) == (40, known.fps, None)


def test_recordings_joined_end_to_end_are_one(tmp_path: Path) -> None:
    path = encode(tmp_path / "joined.ts", FRAMES, params=CLOSED, rate=25)
    once = read_clip(path, expected_frames=24)
    path.write_bytes(path.read_bytes() * 2)
    twice = read_clip(path, expected_frames=48)
    assert (twice.fps, twice.times) == (25.0, None)
    np.testing.assert_array_equal(twice.frames, np.concatenate([once.frames, once.frames]))


@pytest.mark.parametrize(
    ("name", "codec", "cut", "says"),
    [
        ("cut.gif", "gif", 1, "end mark of a GIF is missing"),
        ("cut.gif", "gif", 3000, "end mark of a GIF is missing"),
        ("cut.flv", "flv", 30, "truncated: a tag needs"),
        ("cut.avi", "mpeg4", 9, "truncated: RIFF needs"),
        ("cut.mp4", "libx264", 9, "cannot be decoded|truncated: moov needs"),
    ],
)
def test_the_last_bytes_are_missed(tmp_path: Path, name: str, codec: str, cut: int, says: str) -> None:
    path = encode(tmp_path / name, FRAMES, codec=codec, pixels="rgb8" if codec == "gif" else "yuv420p", rate=25)
    assert len(read_clip(path)) == 24
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(VideoError, match=says):
        read_clip(path)


def test_the_last_frame_of_a_matroska_file_is_missed(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.mkv", FRAMES, codec="mjpeg", pixels="yuvj420p")
    with av.open(str(path)) as file:
        last = [bytes(p) for p in file.demux(video=0) if p.size][-1]
    data = path.read_bytes()
    path.write_bytes(data[: data.index(last) + len(last) // 2])
    with pytest.raises(VideoError, match=r"truncated|cannot be decoded|damaged"):
        read_clip(path)


@pytest.mark.parametrize("number", [0, 10])
def test_a_damaged_frame_is_refused(tmp_path: Path, number: int) -> None:
    path = encode(tmp_path / "whole.mkv", FRAMES, params=CLOSED)
    with av.open(str(path)) as file:
        packets = [bytes(p) for p in file.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    length = min(len(packets[number]), 200)
    at = data.index(packets[number]) + len(packets[number]) - length + 5  # past the head of the slice
    data[at : at + length - 5] = b"\xff" * (length - 5)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged|cannot be decoded"):
        read_clip(path)
