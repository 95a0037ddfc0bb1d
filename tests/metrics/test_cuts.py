"""Hard cuts: found between any two pictures, and nowhere in a clip that only moves, changes its light, or boils."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from motionbench.metrics.trackers.cuts import cuts, first_cut
from motionbench.metrics.trackers.following import windows
from numpy.typing import NDArray

from motionbench.split import read_split

Pixels = NDArray[np.uint8]


def texture(seed: int, side: int = 96, cells: int = 12) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def shot(seed: int, frames: int, step: int = 1) -> Pixels:
    """A picture that goes by."""
    whole = texture(seed, 64 + step * frames)
    return np.stack([whole[step * t : step * t + 64, :64] for t in range(frames)])


@pytest.mark.parametrize("lengths", [(1, 5), (5, 1), (1, 1), (2, 2), (6, 6), (3, 4, 5)])
def test_every_cut_is_found(lengths: tuple[int, ...]) -> None:
    clip = np.concatenate([shot(seed, length) for seed, length in enumerate(lengths)])
    assert cuts(clip) == list(np.cumsum(lengths)[:-1])


def test_a_cut_to_black_and_from_black() -> None:
    black = np.zeros((4, 64, 64, 3), np.uint8)
    assert first_cut(np.concatenate([shot(1, 4), black])) == 4
    assert first_cut(np.concatenate([black, shot(1, 4)])) == 4
    assert first_cut(black) is None


def test_a_change_of_light_is_no_cut() -> None:
    clip = shot(2, 8).astype(float)
    clip[4:] = 30 + 0.4 * clip[4:]
    assert first_cut(clip.astype(np.uint8)) is None


@pytest.mark.parametrize("flash", [0, 255])
def test_a_flash_is_no_cut(flash: int) -> None:
    clip = shot(3, 8)
    clip[4] = flash
    assert first_cut(clip) is None


@pytest.mark.parametrize("step", [5, 12])
def test_fast_motion_is_no_cut(step: int) -> None:
    assert first_cut(shot(4, 8, step)) is None


def test_noise_that_never_repeats_has_no_cuts() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (9, 64, 64, 3), dtype=np.uint8)
    boiling = np.stack([texture(100 + t, 64) for t in range(9)])
    assert cuts(noise) == []
    assert cuts(boiling) == []


def test_one_frame_has_no_cut() -> None:
    assert cuts(shot(6, 1)) == []


def test_no_reference_of_the_embedded_world_is_cut() -> None:
    split = read_split("mini")
    assert [case.id for case in split.cases if cuts(split.read_reference(case).frames)] == []


def test_windows_answer_every_frame_once_and_show_what_came_before() -> None:
    made = list(windows(50, 12, 3))
    assert [t for _, start, stop in made for t in range(start, stop)] == list(range(1, 50))
    assert all(1 + stop - before <= 12 for before, _, stop in made)
    assert all(start - before == min(3, start - 1) for before, start, _ in made)
