"""Legacy formulas against plain loops, and the faults for which they are legacy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motionbench.metrics import legacy
from motionbench.metrics import track_matching as tm
from motionbench.metrics.motion_fidelity import motion_fidelity
from plain_motion import make_sample, make_tracks, plain_released, straight, wandering

from motionbench.errors import ShapeError
from motionbench.metric import MetricRuntime
from motionbench.tracks import grid_queries


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(2, 7))
def test_released_equals_the_script_in_plain_loops(seed: int, n: int, frames: int) -> None:
    g, r = wandering(n, frames, seed), wandering(n, frames, seed + 1)
    assert legacy.released_fidelity(g, r)[0] == pytest.approx(plain_released(g, r), abs=1e-9)


def test_smm_is_symmetric_and_scores_a_copy_1() -> None:
    g, r = wandering(8, 9, 1), wandering(11, 9, 2)
    assert legacy.smm_fidelity(g, g)[0] == pytest.approx(1)
    assert legacy.smm_fidelity(g, r)[0] == pytest.approx(legacy.smm_fidelity(r, g)[0], abs=1e-12)


def test_still_steps_are_counted_and_reported_not_nan() -> None:
    tracks = make_tracks(straight(5, 9, (4, 0)))
    still = make_tracks(straight(5, 9, (0, 0)))
    for metric in (legacy.MotionFidelitySmm, legacy.MotionFidelityReleased):
        measured = metric.create(MetricRuntime()).measure(make_sample(still, tracks))
        assert measured.details["still_steps"] == 40
        assert "NaN" in measured.note
        assert measured.value is not None
        assert np.isfinite(measured.value)


def test_the_script_needs_equally_many_tracks() -> None:
    with pytest.raises(ShapeError, match="equally many"):
        legacy.released_fidelity(straight(5, 9, (4, 0)), straight(6, 9, (4, 0)))
    measured = legacy.MotionFidelityReleased.create(MetricRuntime()).measure(
        make_sample(make_tracks(straight(5, 9, (4, 0))), make_tracks(straight(6, 9, (4, 0))))
    )
    assert measured.value is None


def test_det_counts_the_first_position_as_a_step() -> None:
    # Two opposite motions from the same place: steps give -1, the position +1 of T terms.
    right, left = make_tracks(straight(1, 10, (5, 0))), make_tracks(straight(1, 10, (-5, 0)))
    assert legacy.det_fidelity(right, left)[0] == pytest.approx((-9 + 1) / 10, abs=1e-6)


def test_det_samples_the_longer_clip() -> None:
    short, long = make_tracks(straight(6, 9, (8, 2))), make_tracks(straight(6, 17, (4, 1)))
    assert legacy.det_fidelity(long, short)[0] == pytest.approx(1, abs=1e-5)


def test_vector_14_dets_frechet_is_blind_to_order_and_below_1_for_a_copy() -> None:
    t = np.arange(49)
    track = np.stack([250 + 4 * t, 240 + 20 * np.sin(2 * np.pi * t / 49)], axis=-1) / np.array([832, 480])
    itself, reversed_ = legacy.det_frechet(track, track), legacy.det_frechet(track, track[::-1])
    assert itself == pytest.approx(reversed_, abs=1e-12)
    assert itself == pytest.approx(0.917, abs=0.01)


def test_the_released_script_rewards_camera_drift_and_the_headline_does_not() -> None:
    frames, per_side = 25, 24
    grid = grid_queries(480, 832, per_side).astype(np.float64)
    on_object = (abs(grid[:, 0] - 250) < 150) & (abs(grid[:, 1] - 240) < 75)
    t = np.arange(frames)
    path = np.stack([6 * t, 0 * t], axis=-1)

    def clip(drift: float, seed: int) -> np.ndarray:
        points = np.repeat(grid[:, None], frames, axis=1)
        points[on_object] += path
        points[..., 0] += drift * t
        return points + np.random.default_rng(seed).normal(0, 0.05, points.shape)

    reference, perfect, drifting = clip(0, 1), clip(0, 2), clip(3, 3)
    released = [legacy.released_fidelity(g, reference)[0] for g in (perfect, drifting)]
    assert released[1] > released[0] + 0.1
    new = [
        motion_fidelity(tm.tracks_to_motion(make_tracks(g)), tm.tracks_to_motion(make_tracks(reference)))[0]
        for g in (perfect, drifting)
    ]
    assert new[0] == pytest.approx(1, abs=0.01)
    assert new[1] < 0.8
