"""Files of the kinds that people have, against what the ffmpeg program shows of them."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from footage import encode, moving_frames, place, player_frames, reference_frames, remux
from hypothesis import given
from hypothesis import strategies as st

from motionbench import decoder, video_worker
from motionbench.clip import Clip
from motionbench.errors import ReaderError, ShapeError, VideoError
from motionbench.reading.hdr import light_to_pq, pq_to_light, to_sdr
from motionbench.reading.timing import constant_rate, to_times
from motionbench.video import read_clip, sample_file

FRAMES = moving_frames()
CLOSED = "keyint=8:min-keyint=8:scenecut=0:bframes=2"
OPEN = f"open-gop=1:{CLOSED}"
OPEN_HEVC = "log-level=none:open-gop=1:keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0"
SLOWING = [
    *range(0, 12 * 1500, 1500),
    *range(12 * 1500, 12 * 1500 + 12 * 9000, 9000),
]  # 60 fps, then 10: as in the dark


def reader_of(path: Path) -> str:
    return video_worker.read(str(path), "auto", None)[2]


def nearest_by_hand(times: list[float], frames: int) -> list[int]:
    """For every even step of time, the nearest frame; of two as near, the later one."""
    steps = [times[0] + (times[-1] - times[0]) * i / (frames - 1) for i in range(frames)]
    return [min(range(len(times)), key=lambda n: (abs(times[n] - step), -n)) for step in steps]


# --- time, not index ---


@pytest.mark.parametrize("name", ["slowing.mp4", "slowing.mkv", "slowing.gif", "slowing.ts"])
def test_sampling_is_even_in_time_at_a_variable_rate(tmp_path: Path, name: str) -> None:
    ticks, tick = (SLOWING, Fraction(1, 90000))
    codec, pixels = "libx264", "yuv420p"
    if name.endswith("gif"):
        ticks, tick, codec, pixels = [t // 300 for t in SLOWING], Fraction(1, 300), "gif", "rgb8"
    path = encode(tmp_path / name, FRAMES, codec=codec, pixels=pixels, ticks=ticks, tick=tick)
    clip = read_clip(path)
    coarse = 0.011 if name.endswith("gif") else 0.0011
    times = [t * float(tick) for t in ticks]
    assert clip.times is not None
    np.testing.assert_allclose(clip.times, times, atol=coarse)
    assert clip.fps == pytest.approx(23 / times[-1], rel=0.02)
    expected = nearest_by_hand(clip.times.tolist(), 9)
    assert expected != [round(i * 23 / 8) for i in range(9)]
    np.testing.assert_array_equal(clip.sample(9).frames, clip.frames[expected])
    few = read_clip(path, frames=9)
    np.testing.assert_array_equal(few.frames, clip.frames[expected])
    assert few.times is None
    assert (len(few) - 1) / few.fps == pytest.approx(clip.times[-1])


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(2, 40))
def test_sampled_frames_are_the_nearest_in_time(gaps: list[int], frames: int) -> None:
    times = np.concatenate([[0], np.cumsum(gaps)]).astype(float) / 64
    pixels = np.arange(len(times), dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 1, 3), np.uint8)
    clip = Clip(pixels, (len(times) - 1) / times[-1], times=times)
    taken = clip.sample(frames).frames[:, 0, 0, 0]
    steps = np.linspace(0, times[-1], frames)
    best = np.abs(times[:, None] - steps).min(axis=0)
    np.testing.assert_allclose(np.abs(times[taken] - steps), best, atol=1e-9)
    assert (np.diff(taken.astype(int)) >= 0).all()
    assert (taken[0], taken[-1]) == (0, len(times) - 1)


def test_a_clip_with_times_keeps_them_where_its_frames_stay() -> None:
    times = np.array([0.0, 0.1, 0.5])
    clip = Clip(FRAMES[:3], 4.0, times=times)
    assert clip.resize(32, 48).times is times
    assert clip.with_frames(FRAMES[:2]).times is None
    assert clip.steady().times is None
    assert clip.steady().fps == 4.0
    assert clip.sha256 != Clip(FRAMES[:3], 4.0).sha256
    with pytest.raises(ShapeError, match="times must rise"):
        Clip(FRAMES[:3], 4.0, times=times[::-1])


def test_a_variable_rate_is_made_constant_where_a_clip_is_written(tmp_path: Path) -> None:
    clip = read_clip(encode(tmp_path / "slowing.mp4", FRAMES, ticks=SLOWING))
    clip.write(tmp_path / "written.mp4", crf=0)
    back = read_clip(tmp_path / "written.mp4", expected_frames=24)
    assert back.times is None
    assert np.abs(back.frames.astype(int) - clip.steady().frames).mean() < 8  # chroma at half size


@pytest.mark.parametrize(("name", "codec"), [("x.mkv", "libx264"), ("x.avi", "libx264"), ("x.avi", "mpeg4")])
def test_rounded_or_missing_time_stamps_of_a_constant_rate_are_constant(tmp_path: Path, name: str, codec: str) -> None:
    rate = Fraction(30000, 1001)  # Matroska rounds to 1 ms, AVI holds no presentation times
    path = encode(tmp_path / name, FRAMES, codec=codec, rate=rate, options={"bf": "2"})
    clip = read_clip(path)
    assert clip.times is None
    assert clip.fps == pytest.approx(30000 / 1001, rel=1e-3)
    np.testing.assert_array_equal(clip.frames, player_frames(path))


def test_times_go_on_where_a_stream_starts_anew() -> None:
    joined = [*range(100, 110), *range(100, 110)]
    np.testing.assert_allclose(to_times(joined, joined, 0.04, 25.0, "mpegts"), np.arange(20) * 0.04)
    later = [*range(10), *range(10**6, 10**6 + 10)]
    np.testing.assert_allclose(to_times(later, later, 0.04, 25.0, "mpegts"), np.arange(20) * 0.04)
    assert to_times(later, later, 0.04, 25.0, "mov,mp4")[-1] > 10**4  # a recorder that was paused
    missing = [0, None, None, 3]
    np.testing.assert_allclose(to_times(missing, missing, 0.1, 5.0, "h264"), [0, 0.2, 0.4, 0.6])
    assert constant_rate(np.arange(9) / 8, 1e-3, 8.0) == 8.0
    assert constant_rate(np.array([0, 0.1, 0.5]), 1e-3, 8.0) is None


def test_it_is_told_how_many_frames_repeat(tmp_path: Path) -> None:
    path = encode(tmp_path / "slowing.mp4", FRAMES, ticks=SLOWING)
    taken = sample_file(path, 60)
    same = [np.array_equal(a, b) for a, b in zip(taken.clip.frames, taken.clip.frames[1:], strict=False)]
    assert (taken.total, taken.repeated) == (24, sum(same))
    assert sample_file(path, 5).repeated == 0


# --- every frame once, in order ---


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


# --- the picture as a player shows it ---


@pytest.mark.parametrize(
    ("name", "codec", "aspect", "size", "scale"),
    [
        ("wide.mp4", "libx264", Fraction(32, 27), (72, 128), "iw*sar:ih"),
        ("high.mkv", "libx264", Fraction(8, 9), (81, 108), "iw:ih/sar"),
        ("wide.ts", "mpeg2video", Fraction(32, 27), (72, 128), "iw*sar:ih"),
    ],
)
def test_pixels_are_square(
    tmp_path: Path, name: str, codec: str, aspect: Fraction, size: tuple[int, int], scale: str
) -> None:
    path = encode(tmp_path / name, moving_frames(8, 72, 108), codec=codec, rate=25, aspect=aspect)
    clip = read_clip(path)
    assert clip.frames.shape[1:3] == size
    shown = player_frames(path, f"scale={scale}:flags=bicubic", "setsar=1")
    assert np.abs(clip.frames.astype(int) - shown).mean() < 8  # it scales first and then makes it RGB


@pytest.mark.parametrize("matrix", [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)])
@pytest.mark.parametrize("crossed", [False, True])
def test_display_matrices_turn_and_mirror(tmp_path: Path, matrix: tuple[int, int, int, int], crossed: bool) -> None:
    a, _, _, d = matrix
    plain = encode(tmp_path / "plain.mp4", FRAMES[:4])
    path = place(plain, tmp_path / "placed.mp4", *((0, a, d, 0) if crossed else matrix))
    np.testing.assert_array_equal(read_clip(path).frames, player_frames(path))


def test_other_turns_are_refused_with_the_angle(tmp_path: Path) -> None:
    plain = encode(tmp_path / "plain.mp4", FRAMES[:4])
    with pytest.raises(VideoError, match="turned by 45 degrees"):
        read_clip(place(plain, tmp_path / "placed.mp4", 0.7071, 0.7071, -0.7071, 0.7071))


@pytest.mark.parametrize(
    ("pixels", "tags"),
    [
        ("yuv420p", {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709"}),
        ("yuvj420p", {"color_range": "pc"}),
        ("yuv444p", {}),
        ("gray", {}),
    ],
)
def test_colors_are_those_of_a_player(tmp_path: Path, pixels: str, tags: dict[str, str]) -> None:
    path = encode(tmp_path / "colors.mp4", FRAMES[:4], pixels=pixels, options=tags)
    np.testing.assert_array_equal(read_clip(path).frames, player_frames(path))


def hdr_card(path: Path, transfer: str, signal: float) -> Path:
    """Four frames of one gray, 10 bit in BT.2020, at a signal in [0, 1] of the limited range."""
    tags = f"log-level=none:colorprim=bt2020:colormatrix=bt2020nc:transfer={transfer}:range=limited"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx265", rate=25, options={"x265-params": tags})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p10le"
        for index in range(4):
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            for plane, level in zip(frame.planes, (round(64 + signal * 876), 512, 512), strict=True):
                plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_hdr_is_mapped_to_standard_range_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Below the knee (86 cd/m2) light stays as it is: gray of 50 cd/m2 on a display whose white is 203.
    gray = 255 * (50 / 203) ** (1 / 2.4)
    pq = read_clip(hdr_card(tmp_path / "pq.mp4", "smpte2084", float(light_to_pq(np.array(50.0)))))
    assert pq.frames.astype(float) == pytest.approx(gray, abs=2)
    assert f"{tmp_path / 'pq.mp4'}: its picture is HDR (PQ)" in caplog.text
    scene = (50 / 1000) ** (1 / 1.2)  # BT.2100: a display of 1000 cd/m2 has the system gamma 1.2
    signal = 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073 if scene > 1 / 12 else (3 * scene) ** 0.5
    hlg = read_clip(hdr_card(tmp_path / "hlg.mp4", "arib-std-b67", float(signal)))
    assert hlg.frames.astype(float) == pytest.approx(gray, abs=2)
    assert "HDR (HLG)" in caplog.text


def test_tone_mapping_keeps_order_and_ends_at_white() -> None:
    light = np.array([0.1, 1, 10, 86, 203, 500, 1000, 4000, 10000])
    np.testing.assert_allclose(pq_to_light(light_to_pq(light)), light, rtol=1e-6)
    codes = np.rint(65535 * light_to_pq(light)).astype(np.uint16)
    shown = to_sdr(np.repeat(codes[None, :, None], 3, axis=2), "PQ")[0].astype(int)
    assert (np.diff(shown[:7, 1]) > 0).all()
    assert shown[6:].tolist() == [[255, 255, 255]] * 3
    red = np.array([[[codes[3], 0, 0]]], np.uint16)
    assert to_sdr(red, "PQ")[0, 0].argmax() == 0


def test_interlaced_frames_are_read_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "fields.mp4", FRAMES, params="tff=1", options={"flags": "+ildct+ilme"})
    assert len(read_clip(path)) == 24
    read_clip(path)
    assert caplog.text.count("its frames are interlaced") == 1  # not each time that it is read


def test_pictures_that_change_their_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.ts", FRAMES, rate=25)
    large = encode(tmp_path / "large.ts", moving_frames(24, 128, 192), rate=25)
    other = encode(tmp_path / "other.ts", moving_frames(24, 128, 64), rate=25)
    small.write_bytes(small.read_bytes() + large.read_bytes())
    assert read_clip(small).frames.shape == (48, 64, 96, 3)
    large.write_bytes(large.read_bytes() + other.read_bytes())
    with pytest.raises(VideoError, match="changes from 192x128 to 64x128 at frame 24"):
        read_clip(large)


# --- whole files are not truncated ---


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


# --- bounded memory ---


def test_a_few_frames_of_a_large_file_take_little_memory(tmp_path: Path) -> None:
    large = encode(tmp_path / "large.avi", moving_frames(60, 480, 640), codec="rawvideo", pixels="rgb24")
    assert large.stat().st_size > 50 << 20
    code = (
        "import re, sys\nfrom motionbench.video_worker import read\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) << 10\n"
        "read(sys.argv[1], 'auto', 3)\nbefore = peak()\n"
        "frames = read(sys.argv[2], 'auto', 3)[0]\nprint(len(frames), peak() - before)"
    )
    small = encode(tmp_path / "small.avi", moving_frames(4, 480, 640), codec="rawvideo", pixels="rgb24")
    command = [sys.executable, "-c", code, str(small), str(large)]
    count, grown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(count) == 3
    assert int(grown) < 12 << 20  # a few frames; the file has 53 MiB


# --- whose fault it is ---


def test_an_unexpected_error_is_not_called_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "fine.mp4", FRAMES[:4])
    (tmp_path / "trapped.py").write_text(
        "from motionbench import video_worker as real\n"
        "def probe(path):\n    raise TypeError('a field that this version has not')\n"
        "real.probe = probe\nreal.main()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    trapped = decoder.Decoder(module="trapped")
    with pytest.raises(ReaderError, match="TypeError: a field that this version has not") as caught:
        trapped.decode(path)
    trapped.stop()
    said = str(caught.value)
    assert f"av {av.__version__}" in said
    assert "says nothing about the file" in said
    assert "re-encode" not in said
    assert caught.value.reason == "error"


def test_a_reader_that_cannot_start_is_not_called_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "fine.mp4", FRAMES[:4])
    (tmp_path / "missing.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken = decoder.Decoder(module="missing")
    with pytest.raises(ReaderError, match="its process ended with exit code 1"):
        broken.decode(path)


def test_damage_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = encode(tmp_path / "whole.mkv", FRAMES, params=CLOSED)
    with av.open(str(path)) as file:
        packets = [p for p in file.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    at = data.index(bytes(packets[10])) + 5  # past the length and the head of its first part
    data[at : at + packets[10].size - 5] = b"\xff" * (packets[10].size - 5)
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged|cannot be decoded"):
        read_clip(path)
    assert len(reference_frames(encode(path, FRAMES))) == 24
