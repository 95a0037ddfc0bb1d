"""Clips have the times of their files: at a variable rate, frames are sampled by time and not by number."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from footage import encode, moving_frames, player_frames
from hypothesis import given
from hypothesis import strategies as st

from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.reading.timing import constant_rate, to_times
from motionbench.single_transfer import read_reference
from motionbench.video import read_clip, sample_file

pytestmark = pytest.mark.minimums

FRAMES = moving_frames()
SLOWING = [*range(0, 18000, 1500), *range(18000, 126000, 9000)]  # 1/90000 s: 60 fps, then 10, as in the dark


def nearest_by_hand(times: list[float], frames: int) -> list[int]:
    """For every even step of time, the nearest frame; of two as near, the later one."""
    steps = [times[0] + (times[-1] - times[0]) * i / (frames - 1) for i in range(frames)]
    return [min(range(len(times)), key=lambda n: (abs(times[n] - step), -n)) for step in steps]


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


def test_transfer_says_what_it_sampled_and_what_repeats(tmp_path: Path) -> None:
    class Native:
        frames, height, width = 40, 64, 64

    said: list[str] = []
    path = encode(tmp_path / "slowing.mp4", FRAMES, ticks=SLOWING)
    clip = read_reference(path, Native, said.append)
    repeated = sum(np.array_equal(a, b) for a, b in pairwise(clip.frames))
    assert repeated >= 16
    line = f"sampled: 40 frames of 24, evenly over 1.30 s (30.00 fps); {repeated} of them repeat the one before"
    assert said[-1] == line
    copied = read_reference(path, None, said.append)
    assert (len(copied), copied.times) == (24, None)
    assert said[-1].startswith("sampled: 24 frames of 24, evenly over 1.30 s")


def test_it_is_told_how_many_frames_repeat(tmp_path: Path) -> None:
    path = encode(tmp_path / "slowing.mp4", FRAMES, ticks=SLOWING)
    taken = sample_file(path, 60)
    same = [np.array_equal(a, b) for a, b in zip(taken.clip.frames, taken.clip.frames[1:], strict=False)]
    assert (taken.total, taken.repeated) == (24, sum(same))
    assert sample_file(path, 5).repeated == 0
