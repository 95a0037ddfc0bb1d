from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motionbench.clip import Clip, nearest_indices
from motionbench.errors import ShapeError


def ramp(count: int, height: int = 4, width: int = 6) -> Clip:
    """Frame t is t everywhere."""
    return Clip(np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, height, width, 3), np.uint8), 8.0)


@given(st.integers(1, 300), st.integers(1, 300))
def test_nearest_indices_are_the_rounded_even_steps(length: int, frames: int) -> None:
    got = nearest_indices(length, frames).tolist()
    if frames == 1:
        assert got == [0]
        return
    exact = [Fraction(i * (length - 1), frames - 1) for i in range(frames)]
    assert got == [int(position + Fraction(1, 2)) for position in exact]
    assert (got[0], got[-1]) == (0, length - 1)


def test_sampling_takes_frames_and_never_blends() -> None:
    assert ramp(9).sample(5).frames[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert ramp(3).sample(5).frames[:, 0, 0, 0].tolist() == [0, 1, 1, 2, 2]
    assert ramp(5).sample(1).frames[:, 0, 0, 0].tolist() == [0]


def test_sampling_keeps_the_time_from_first_to_last_frame() -> None:
    clip = ramp(9)
    for frames in (2, 5, 17):
        sampled = clip.sample(frames)
        assert (frames - 1) / sampled.fps == pytest.approx(8 / clip.fps)
    assert clip.sample(9) is clip


def test_resize_to_half_is_the_mean_of_each_square() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 8, 12, 3), np.uint8)
    got = Clip(pixels, 8.0).resize(4, 6).frames
    mean = pixels.reshape(2, 4, 2, 6, 2, 3).astype(float).mean(axis=(2, 4))
    np.testing.assert_allclose(got, mean, atol=0.5 + 1e-6)  # only rounding


def test_resize_keeps_a_constant_picture_and_its_size_free() -> None:
    clip = ramp(3)
    assert clip.resize(4, 6) is clip
    bigger = clip.resize(9, 13)
    assert bigger.frames.shape == (3, 9, 13, 3)
    assert (bigger.frames == np.arange(3)[:, None, None, None]).all()
    with pytest.raises(ShapeError, match="positive"):
        clip.resize(0, 4)


def test_even_cuts_one_odd_row_or_column_and_moves_nothing() -> None:
    clip = Clip(np.random.default_rng(0).integers(0, 255, (3, 5, 7, 3), np.uint8), 8.0)
    assert np.array_equal(clip.even().frames, clip.frames[:, :4, :6])
    assert clip.even().even().frames.shape == (3, 4, 6, 3)
    fine = ramp(2)
    assert fine.even() is fine


def test_cover_cuts_the_center_to_the_aspect() -> None:
    pixels = np.zeros((1, 6, 12, 3), np.uint8)
    pixels[:, :, 3:9] = 200
    square = Clip(pixels, 8.0).cover(6, 6)
    assert (square.frames == 200).all()
    assert Clip(pixels, 8.0).cover(3, 3).frames.shape == (1, 3, 3, 3)
    assert (Clip(pixels.transpose(0, 2, 1, 3).copy(), 8.0).cover(3, 3).frames == 200).all()


def test_frames_of_another_shape_are_refused_with_the_mend() -> None:
    with pytest.raises(ShapeError, match="transpose to channels last"):
        Clip(np.zeros((16, 3, 64, 64), np.uint8), 8.0)
    with pytest.raises(ShapeError, match="uint8"):
        Clip(np.zeros((2, 4, 4, 3), np.float32), 8.0)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="fps"):
        Clip(np.zeros((2, 4, 4, 3), np.uint8), float("nan"))


def test_sha256_depends_on_pixels_and_rate_only() -> None:
    clip = ramp(3)
    assert clip.sha256 == Clip(clip.frames.copy(), 8.0).sha256
    assert clip.sha256 != Clip(clip.frames, 9.0).sha256
    assert clip.sha256 != Clip(clip.frames + 1, 8.0).sha256


def test_importing_the_hub_nouns_loads_numpy_and_no_video_or_torch() -> None:
    modules = "clip, video, split, store, runner, plan, device, environment, attempt, adapters, files, ray_engine"
    heavy = "{'torch', 'av', 'cv2', 'decord', 'pandas', 'ray', 'diffusers'}"
    code = f"import sys\nfrom motionbench import {modules}\nprint(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
