"""Track-level formulas against plain loops, and their invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motionbench.metrics import track_matching as tm
from plain_motion import (
    DIAGONAL,
    make_tracks,
    plain_mf,
    plain_mf_match,
    plain_moves,
    plain_similarity,
    straight,
    wandering,
)

from motionbench.tracks import Tracks

SEEDS = st.integers(0, 10_000)


def motion(points: np.ndarray, visible: np.ndarray | None = None) -> tm.Motion:
    return tm.tracks_to_motion(make_tracks(points, visible))


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 5), st.integers(2, 7))
def test_formulas_equal_plain_loops(seed: int, n: int, m: int, frames: int) -> None:
    g, r = wandering(n, frames, seed).astype(np.float32), wandering(m, frames, seed + 1).astype(np.float32)
    if not any(map(plain_moves, r)):
        assert tm.mf(motion(g), motion(r)) is None
    elif not any(map(plain_moves, g)):
        assert tm.mf(motion(g), motion(r)) == 0
    else:
        assert tm.mf(motion(g), motion(r)) == pytest.approx(plain_mf(g, r), abs=1e-6)
        assert tm.mf_match(motion(g), motion(r)) == pytest.approx(plain_mf_match(g, r), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.floats(-50, 50), st.floats(-50, 50))
def test_formulas_ignore_place_and_are_symmetric(seed: int, dx: float, dy: float) -> None:
    g, r = wandering(6, 8, seed), wandering(9, 8, seed + 1)
    moved = motion(g + np.array([dx, dy]))
    for formula in (tm.mf, tm.mf_match):
        value = formula(motion(g), motion(r))
        assert formula(moved, motion(r)) == pytest.approx(value, abs=1e-4)
        assert formula(motion(r), motion(g)) == pytest.approx(value, abs=1e-9)


def test_weights_follow_visibility_as_in_plain_loops() -> None:
    rng = np.random.default_rng(3)
    g, r = wandering(4, 10, 11).astype(np.float32), wandering(5, 10, 12).astype(np.float32)
    vg, vr = rng.random((4, 10)) < 0.9, rng.random((5, 10)) < 0.9
    a = tm.Motion(g / DIAGONAL, (vg[:, 1:] & vg[:, :-1]).astype(float), (1.0, 1.0))
    b = tm.Motion(r / DIAGONAL, (vr[:, 1:] & vr[:, :-1]).astype(float), (1.0, 1.0))
    found = tm.direction_similarity(a, b)
    for n in range(4):
        for m in range(5):
            assert found[n, m] == pytest.approx(plain_similarity(g[n], vg[n], r[m], vr[m]), abs=1e-5)


def test_tracks_hidden_most_of_the_time_are_left_out() -> None:
    points, visible = straight(3, 9, (5, 0)), np.ones((3, 9), bool)
    visible[0, 3:] = False  # 2 of 8 steps
    visible[1, 6:] = False  # 5 of 8
    assert len(motion(points, visible).points) == 2


def test_points_that_are_not_finite_count_as_hidden() -> None:
    points = straight(3, 9, (5, 0))
    points[0, 4] = np.nan
    points[1] = np.inf
    found = motion(points)
    assert np.isfinite(found.points).all()
    assert len(found.points) == 2


def test_hidden_points_are_held_at_the_last_visible_place() -> None:
    points = np.arange(12, dtype=float).reshape(1, 6, 2)
    visible = np.array([[False, True, False, False, True, False]])
    held = tm.hold_hidden(points, visible)
    assert held[0, :, 0].tolist() == [2, 2, 2, 2, 8, 8]


def test_range_ignores_jitter_that_a_path_length_would_add_up() -> None:
    jitter = np.random.default_rng(0).normal(0, 1.0, (200, 81, 2)) + 300  # 1 px at 960 px of diagonal
    assert len(tm.moving(motion(jitter)).points) == 0


def test_direction_cosine_and_speed_ratio_have_their_textbook_values() -> None:
    a, b = motion(straight(9, 9, (3, 4))), motion(straight(9, 9, (10, 0)))
    assert tm.direction_cosine(a, b) == pytest.approx(0.6, abs=1e-5)
    assert tm.log_speed_ratio(a, b) == pytest.approx(-1, abs=1e-5)
    still = motion(straight(9, 9, (0, 0)))
    assert tm.direction_cosine(still, b) is None
    assert tm.log_speed_ratio(still, b) is None


def test_resampling_reads_positions_between_frames() -> None:
    found = tm.resample_motion(motion(straight(4, 9, (8, 0))), 5)
    assert found.points.shape == (4, 5, 2)
    steps = np.diff(found.points, axis=1)
    assert np.allclose(steps[..., 0], 16 / math.hypot(480, 832), atol=1e-7)
    assert (found.weights == 1).all()


def test_resampling_hides_a_step_that_touches_a_hidden_one() -> None:
    visible = np.ones((1, 9), bool)
    visible[0, 3] = False
    found = tm.resample_motion(motion(straight(1, 9, (8, 0)), visible), 5)
    assert found.weights[0].tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize("shape", [(0, 9), (5, 1), (0, 1)])
def test_no_tracks_or_one_frame_is_no_motion(shape: tuple[int, int]) -> None:
    empty = tm.tracks_to_motion(Tracks(np.zeros((*shape, 2), np.float32), np.ones(shape, bool), 48, 64))
    assert tm.mf(motion(straight(3, 9, (5, 0))), empty) is None
    assert tm.mf_match(motion(straight(3, 9, (5, 0))), empty) is None
