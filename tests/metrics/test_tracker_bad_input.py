"""What trackers do with clips and questions that are no proper ones: clear results or errors, and bounded memory."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.tracks import Tracks, grid_queries

OURS = [name for name in ("lk", "tiny", "real") if name in registry.names("trackers")]
LEARNED = [name for name in OURS if name != "lk"]


@cache
def tracker(name: str) -> Any:
    return registry.load("trackers", name).create("cpu")


def texture(seed: int, height: int, width: int, cells: int = 9) -> NDArray[np.uint8]:
    """A smooth random picture."""
    coarse = np.random.default_rng(seed).integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def panning(seed: int = 0, frames: int = 9, height: int = 64, width: int = 64, step: int = 1) -> Clip:
    """A picture that goes left by `step` pixels a frame."""
    whole = texture(seed, height, width + step * frames)
    return Clip(np.stack([whole[:, step * t : step * t + width] for t in range(frames)]), 8.0)


def inner_grid(clip: Clip, per_side: int = 4) -> NDArray[np.float32]:
    """Points of the middle, which stay in the frame."""
    grid = grid_queries(clip.height, clip.width, per_side)
    middle = np.float32([clip.width - 1, clip.height - 1]) / 2
    return (middle + (grid - middle) / 2).astype(np.float32)


def check(tracks: Tracks, clip: Clip, queries: NDArray[np.float32]) -> None:
    """Of the right shape, finite, and beginning where it was asked."""
    assert tracks.points.shape == (len(queries), len(clip), 2)
    assert (tracks.height, tracks.width) == (clip.height, clip.width)
    assert np.isfinite(tracks.points).all()
    np.testing.assert_array_equal(tracks.points[:, 0], queries)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames(name: str, frames: int) -> None:
    clip = panning(frames=frames)
    queries = inner_grid(clip)
    found = tracker(name).track(clip, queries)
    check(found, clip, queries)
    assert found.visible[:, 0].all()
    expected = queries[:, 0] - (frames - 1)
    np.testing.assert_allclose(found.points[:, -1, 0], expected, atol=0.5)  # a pixel at 64x64 is what they can tell


@pytest.mark.parametrize("name", OURS)
def test_frames_of_16_by_16(name: str) -> None:
    clip = panning(frames=6, height=16, width=16)
    queries = inner_grid(clip)
    found = tracker(name).track(clip, queries)
    check(found, clip, queries)
    errors = np.abs(found.points[:, :, 0] - queries[:, :1] + np.arange(6))[found.visible]
    assert np.median(errors) < 0.5


@pytest.mark.parametrize("name", OURS)
def test_frames_of_4k(name: str) -> None:
    clip = panning(frames=3, height=2160, width=3840, step=40)
    queries = inner_grid(clip, 3)
    found = tracker(name).track(clip, queries)
    check(found, clip, queries)
    errors = np.abs(found.points[:, :, 0] - queries[:, :1] + 40 * np.arange(3))[found.visible]
    assert np.median(errors) < 0.006 * 3840  # 0.4 pixels of 64


MEMORY = """
import resource, sys
import numpy as np
from motionbench import registry
from motionbench.clip import Clip
from motionbench.tracks import grid_queries
name, frames, height, width, per_side = sys.argv[1], *map(int, sys.argv[2:])
tracker = registry.load("trackers", name).create("cpu")
row = np.random.default_rng(0).integers(0, 256, (height // 16 or 1, width // 16 or 1, 3), dtype=np.uint8)
still = np.kron(row, np.ones((16, 16, 1), np.uint8))[:height, :width]
queries = grid_queries(height, width, per_side)
tracker.track(Clip(np.repeat(still[None], 2, axis=0), 8.0), queries)
clip = Clip(np.repeat(still[None], frames, axis=0), 8.0)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
found = tracker.track(clip, queries)
assert found.points.shape == (per_side ** 2, frames, 2), found.points.shape
print(peak() - before)
"""


def megabytes(name: str, frames: int, height: int, width: int, per_side: int) -> float:
    """By how much tracking a still clip raises the peak of a fresh process's memory, the clip itself not counted."""
    words = [sys.executable, "-c", MEMORY, name, *map(str, (frames, height, width, per_side))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_memory_does_not_grow_with_the_pixels_of_large_frames(name: str) -> None:
    assert megabytes(name, 12, 2160, 3840, 2) < 500  # as numbers of four bytes, twelve such frames are 1.2 GB


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_memory_does_not_grow_with_the_length_of_a_clip(name: str) -> None:
    assert megabytes(name, 2000, 64, 64, 4) < 1500


@pytest.mark.parametrize("name", OURS)
def test_all_black(name: str) -> None:
    clip = Clip(np.zeros((8, 64, 64, 3), np.uint8), 8.0)
    queries = inner_grid(clip)
    check(tracker(name).track(clip, queries), clip, queries)


@pytest.mark.parametrize("name", OURS)
def test_what_shines_through_a_still_overlay_is_followed(name: str) -> None:
    clip = panning(frames=8)
    mark = texture(7, 24, 24, 3)
    veiled = clip.frames.copy()
    veiled[:, 36:60, 36:60] = (0.7 * veiled[:, 36:60, 36:60] + 0.3 * mark).astype(np.uint8)
    queries = inner_grid(clip, 6)
    found = tracker(name).track(Clip(veiled, 8.0), queries)
    check(found, clip, queries)
    clear = (queries < 32).any(axis=1) & (queries[:, 0] < 44)  # never under it
    errors = np.abs(found.points[clear][:, :, 0] - queries[clear, :1] + np.arange(8))[found.visible[clear]]
    assert found.visible[clear].mean() > 0.7
    assert np.median(errors) < 0.5


@pytest.mark.parametrize("name", OURS)
def test_a_hard_cut_ends_every_track(name: str) -> None:
    first, second = panning(seed=1, frames=6), panning(seed=2, frames=5)
    both = Clip(np.concatenate([first.frames, second.frames]), 8.0)
    queries = inner_grid(both)
    found, alone = tracker(name).track(both, queries), tracker(name).track(first, queries)
    check(found, both, queries)
    assert not found.visible[:, 6:].any()
    np.testing.assert_array_equal(found.points[:, :6], alone.points)  # nor does the second shot reach into the first
    np.testing.assert_array_equal(found.visible[:, :6], alone.visible)
    np.testing.assert_array_equal(found.points[:, 6:], np.repeat(alone.points[:, -1:], 5, axis=1))


@pytest.mark.parametrize("name", OURS)
def test_points_outside_the_frame_are_hidden_and_change_no_other(name: str) -> None:
    clip = panning()
    inside = inner_grid(clip)
    outside = np.float32([[-20, 5], [5, 64.2], [1000, -1000]])
    found = tracker(name).track(clip, np.concatenate([outside, inside]))
    check(found, clip, np.concatenate([outside, inside]))
    assert not found.visible[:3].any()
    alone = tracker(name).track(clip, inside)
    np.testing.assert_array_equal(found.points[3:], alone.points)
    np.testing.assert_array_equal(found.visible[3:], alone.visible)
    nobody = tracker(name).track(clip, outside)
    assert not nobody.visible.any()


@pytest.mark.parametrize("name", OURS)
def test_no_query_is_no_track(name: str) -> None:
    clip = panning(frames=3)
    found = tracker(name).track(clip, np.zeros((0, 2), np.float32))
    assert (found.points.shape, found.visible.shape) == ((0, 3, 2), (0, 3))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    "queries", [np.zeros((4, 3)), np.zeros(4), np.float32([[np.nan, 1]]), np.float32([[np.inf, 1]])]
)
def test_malformed_queries_are_refused(name: str, queries: NDArray[np.float32]) -> None:
    with pytest.raises(ShapeError, match=r"queries must be \(N, 2\)"):
        tracker(name).track(panning(frames=2), queries.astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", LEARNED)
def test_a_clip_longer_than_a_window_is_followed_to_its_end(name: str) -> None:
    follow_swaying(name, 300)


def test_windows_of_tiny_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motionbench.metrics.trackers.learned.LearnedTracker.longest", 30)
    follow_swaying("tiny", 70)


def follow_swaying(name: str, frames: int) -> None:
    """A picture that sways is followed to the end of a long clip."""
    whole = texture(3, 64, 80)
    sway = np.round(6 + 6 * np.sin(np.arange(frames) / 9)).astype(int)
    clip = Clip(np.stack([whole[:, x : x + 64] for x in sway]), 8.0)
    queries = inner_grid(clip, 3)
    found = tracker(name).track(clip, queries)
    check(found, clip, queries)
    expected = queries[:, :1] - (sway - sway[0])
    assert found.visible.mean() > 0.95
    assert np.abs(found.points[..., 0] - expected)[found.visible].max() < 1.5
