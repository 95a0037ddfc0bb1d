"""Motion fields in place, and the windows in which they are read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from motionbench.metrics import track_matching as tm
from motionbench.metrics.motion_field import field_likeness, motion_to_field
from motionbench.metrics.track_windows import (
    clip_windows,
    count_windows,
    sample_motions,
    tracks_to_windows,
    window_spans,
    window_tracks,
)
from plain_motion import make_sample, make_tracks, straight, wandering

from motionbench.clip import Clip


def motion(points: np.ndarray) -> tm.Motion:
    return tm.tracks_to_motion(make_tracks(points))


def test_the_field_is_the_gaussian_mean_of_the_steps_near_each_place() -> None:
    found = motion(wandering(15, 4, 2))
    field = motion_to_field(found)
    for place in (0, 27, 36, 63):
        at = [(place % 8 + 0.5) / 8 * found.size[0], (place // 8 + 0.5) / 8 * found.size[1]]
        for step in range(3):
            mass, total = 0.0, np.zeros(2)
            for points in found.points:
                middle = (points[step] + points[step + 1]) / 2
                weight = math.exp(-((middle - at) ** 2).sum() / (2 * 0.12**2))
                mass += weight
                total += weight * (points[step + 1] - points[step])
            assert field.steps[place, step] == pytest.approx(total / max(mass, 1e-9), abs=1e-9)
            even = 15 * 2 * math.pi * 0.12**2 / (found.size[0] * found.size[1])  # what an even spread would have here
            assert field.seen[place, step] == (mass > 0.1 * even)


def test_a_track_that_is_soon_lost_tells_what_moved_as_long_as_it_is_seen() -> None:
    points = straight(40, 9, (20, 5))
    seen = np.zeros((40, 9), bool)
    seen[:, :3] = True  # a thing so fast or blurred that no track lasts
    lost = tm.tracks_to_motion(make_tracks(points, seen))
    assert (len(lost.points), len(lost.steps_seen.points)) == (0, 40)
    field, whole = motion_to_field(lost), motion_to_field(motion(points))
    assert np.array_equal(field.seen[:, :2], whole.seen[:, :2])
    assert np.allclose(field.steps[:, :2], whole.steps[:, :2])
    assert not field.seen[:, 2:].any()
    assert field_likeness(field, whole) == pytest.approx(1)


def test_a_field_fits_itself_its_opposite_and_nothing_that_moves_elsewhere() -> None:
    left, right = np.random.default_rng(0).uniform([40, 40], [200, 440], (2, 60, 1, 2))
    right += np.array([550, 0])
    course = np.arange(9)[:, None] * [3.0, 1.0]
    still = np.zeros((9, 1))
    both = motion_to_field(motion(np.concatenate([left + course, right + still])))
    other = motion_to_field(motion(np.concatenate([left + still, right + course])))
    back = motion_to_field(motion(np.concatenate([left + course[::-1], right + still])))
    assert field_likeness(both, both) == pytest.approx(1)
    assert field_likeness(both, back) == pytest.approx(-1, abs=0.02)
    assert field_likeness(both, other) == pytest.approx(0, abs=0.1)  # where the two sides meet
    assert field_likeness(both, motion_to_field(motion(np.concatenate([left, right]) + still))) == 0


def test_no_tracks_cover_nothing_and_move_nothing() -> None:
    field = motion_to_field(motion(np.zeros((0, 9, 2))))
    assert (field.covered, field.amplitude) == (0, 0)


@pytest.mark.parametrize(
    ("frames", "n"), [(1, 1), (2, 1), (9, 1), (12, 1), (13, 2), (17, 2), (24, 3), (49, 3), (81, 3)]
)
def test_windows_share_a_frame_and_lose_no_step(frames: int, n: int) -> None:
    assert count_windows(frames) == n
    spans = window_spans(frames, n)
    steps = [(t, t + 1) for first, end in spans for t in range(first, end - 1)]
    assert steps == [(t, t + 1) for t in range(frames - 1)]
    assert min(end - first for first, end in spans) >= min(frames, 6)


def test_each_window_is_tracked_afresh_and_reversing_the_clips_reverses_the_windows() -> None:
    clip = Clip(np.random.default_rng(0).integers(0, 255, (17, 8, 8, 3), np.uint8), 8.0)
    asked: list[int] = []
    sample = make_sample(make_tracks(straight(10, 17, (3, 0))), make_tracks(straight(10, 17, (3, 0))))
    look = sample.tracks
    object.__setattr__(sample, "tracks", lambda window: (asked.append(len(window)), look(window))[1])
    windows, whole = sample_motions(sample)
    assert [len(g.points[0]) for g, _ in windows] == [9, 9]
    assert [len(side.points[0]) for side in whole] == [17, 17]
    assert asked == [9, 9, 17, 9, 9, 17]  # one clip after the other
    forth, back = clip_windows(clip, 2), clip_windows(Clip(clip.frames[::-1].copy(), 8.0), 2)
    assert all(np.array_equal(a.frames[::-1], b.frames) for a, b in zip(forth, reversed(back), strict=True))


def test_whole_tracks_are_cut_where_windows_are() -> None:
    tracks = make_tracks(wandering(10, 17, 3))
    clip = Clip(np.random.default_rng(0).integers(0, 255, (17, 8, 8, 3), np.uint8), 8.0)
    found = window_tracks(clip, tracks)
    assert found[clip.sha256] is tracks
    first, second = (found[window.sha256] for window in clip_windows(clip, 2))
    assert np.array_equal(first.points, tracks.points[:, :9])
    assert np.array_equal(second.points, tracks.points[:, 8:])
    windows = tracks_to_windows(tracks, tracks)
    assert [g.points.shape for g, _ in windows] == [(10, 9, 2), (10, 9, 2)]
