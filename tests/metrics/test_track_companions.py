"""Camera agreement, speed, smoothness, dynamics and trajectories on tracks whose answers are known."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.metrics import track_matching as tm
from motionbench.metrics.camera_agreement import CameraAgreement, camera_classes, camera_likeness, compare_components
from motionbench.metrics.camera_motion import fit_camera
from motionbench.metrics.track_statistics import DynamicDegree, MotionSmoothness, SpeedRatio, jerk, top_speeds
from motionbench.metrics.trajectory_error import TrajectoryError, course_errors, thing_courses
from plain_motion import make_sample

from motionbench import registry
from motionbench.clip import Clip
from motionbench.metric import Metric, MetricRuntime, Sample
from motionbench.tracks import Tracks, grid_queries

FRAMES, SIDE = 17, 64
T = np.linspace(0, 1, FRAMES)
STILL = np.zeros((FRAMES, 2))
SETTING = MetricRuntime()


def tracks(
    pan: tuple[float, float] = (0, 0), zoom: float = 0.0, roll: float = 0.0, path: np.ndarray = STILL, seed: int = 0
) -> Tracks:
    """A 64x64 clip: the scene is panned (pixels), zoomed (log) and rolled (radians) over the clip; a thing takes a
    path."""
    grid = grid_queries(SIDE, SIDE, 16).astype(np.float64)
    points = np.repeat(grid[:, None], FRAMES, axis=1)
    points[np.hypot(grid[:, 0] - 24, grid[:, 1] - 36) < 9] += path
    z = (points[..., 0] - 31.5) + 1j * (points[..., 1] - 31.5)
    z = z * np.exp((zoom + 1j * roll) * T) + (pan[0] + 1j * pan[1]) * T
    points = np.stack([z.real + 31.5, z.imag + 31.5], axis=-1) + np.random.default_rng(seed).normal(
        0, 0.02, points.shape
    )
    seen = ((points > -0.5) & (points < SIDE - 0.5)).all(-1)
    return Tracks(points.astype(np.float32), seen, SIDE, SIDE)


def measure(metric: Any, generated: Tracks, reference: Tracks) -> Any:
    return metric.create(SETTING).measure(make_sample(generated, reference))


@pytest.mark.parametrize("kind", [CameraAgreement, SpeedRatio, MotionSmoothness, DynamicDegree, TrajectoryError])
def test_they_are_metrics(kind: Any) -> None:
    assert isinstance(kind.create(SETTING), Metric)


@pytest.mark.parametrize("move", [{"pan": (14, 5)}, {"zoom": 0.4}, {"roll": 0.5}])
def test_the_same_camera_agrees_and_the_opposite_disagrees(move: dict[str, Any]) -> None:
    other = {k: (-v[0], -v[1]) if isinstance(v, tuple) else -v for k, v in move.items()}
    assert measure(CameraAgreement, tracks(**move, seed=1), tracks(**move)).value > 0.98
    assert measure(CameraAgreement, tracks(**other), tracks(**move)).value < -0.8


def test_two_still_cameras_agree_and_drift_lowers_it_step_by_step() -> None:
    found = [measure(CameraAgreement, tracks(pan=(d, 0)), tracks()).value for d in (0, 2, 4, 8, 16)]
    assert found[0] > 0.99
    assert all(a > b for a, b in pairwise(found))
    # 5% of the diagonal over the clip is 4.5 pixels: about half
    assert found[2] == pytest.approx(0.5, abs=0.15)


def test_a_moving_thing_is_not_the_camera() -> None:
    path = np.stack([18 * T, -10 * T], axis=-1)
    assert measure(CameraAgreement, tracks(path=path), tracks()).value > 0.97


def test_likeness_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    g, r = rng.normal(0, 0.01, (10, 4)), rng.normal(0, 0.01, (10, 4))
    cross = own = 0.0
    for lag in (1, 2, 4, 8):
        for t in range(10 - lag + 1):
            for c in range(4):
                dg, dr = sum(g[t : t + lag, c]), sum(r[t : t + lag, c])
                cross += dg * dr / lag**2 / (10 - lag + 1)
                own += (dg**2 + dr**2) / lag**2 / (10 - lag + 1)
    q = 4 * (0.05 / 10) ** 2
    assert camera_likeness(g, r) == pytest.approx((2 * cross + q) / (own + q), abs=1e-12)


def test_components_tell_correlation_and_slope() -> None:
    rng = np.random.default_rng(1)
    r = rng.normal(0, 0.01, (16, 4))
    g = r * np.array([2.0, -1.0, 0.5, 0.0])
    found = compare_components(g, r)
    assert found["pan"] == {"correlation": pytest.approx(1), "slope": pytest.approx(2)}
    assert found["tilt"] == {"correlation": pytest.approx(-1), "slope": pytest.approx(-1)}
    assert found["zoom"]["slope"] == pytest.approx(0.5)
    assert found["roll"] == {"correlation": None, "slope": pytest.approx(0)}


@pytest.mark.parametrize(
    ("move", "words"),
    [
        ({}, ["static"]),
        ({"pan": (-10, 0)}, ["pan_right"]),
        ({"pan": (10, 0)}, ["pan_left"]),
        ({"pan": (0, -10)}, ["tilt_down"]),
        ({"pan": (0, 10)}, ["tilt_up"]),
        ({"zoom": 0.3}, ["zoom_in"]),
        ({"zoom": -0.3}, ["zoom_out"]),
        ({"roll": 0.4}, ["roll_left"]),
        ({"roll": -0.4}, ["roll_right"]),
    ],
)
def test_classes_name_the_camera(move: dict[str, Any], words: list[str]) -> None:
    motion = tm.tracks_to_motion(tracks(**move))
    found = camera_classes(fit_camera(motion), motion.size)
    assert set(words) <= set(found)
    if "roll" not in move:  # turning by half a radian also moves the edges inward
        assert found == words


def test_speed_ratio_is_log2_and_a_still_clip_is_far_below_0() -> None:
    path = np.stack([16 * T, 8 * T], axis=-1)
    assert measure(SpeedRatio, tracks(path=path / 2), tracks(path=path)).value == pytest.approx(-1, abs=0.1)
    still = measure(SpeedRatio, tracks(), tracks(path=path))
    assert still.value < -3
    assert "nothing moves" in still.note
    assert measure(SpeedRatio, tracks(path=path), tracks()).value is None


def test_smoothness_sees_shaking_and_a_copy_is_0() -> None:
    path = np.stack([16 * T, 8 * T], axis=-1)
    shaking = path + np.random.default_rng(0).normal(0, 1, path.shape)
    assert measure(MotionSmoothness, tracks(path=path), tracks(path=path)).value == pytest.approx(0, abs=1e-9)
    assert measure(MotionSmoothness, tracks(path=shaking), tracks(path=path)).value > 1


def test_jerk_equals_plain_loops() -> None:
    motion = tm.tracks_to_motion(tracks(path=np.stack([10 * np.sin(5 * T), 5 * T**3], axis=-1)))
    total, count = 0.0, 0
    for points, weights in zip(motion.points, motion.weights, strict=True):
        for t in range(FRAMES - 3):
            if weights[t] and weights[t + 1] and weights[t + 2]:
                third = points[t + 3] - 3 * points[t + 2] + 3 * points[t + 1] - points[t]
                total, count = total + float(third @ third), count + 1
    assert jerk(motion) == pytest.approx((total / count) ** 0.5, abs=1e-12)


def test_dynamic_degree_is_the_speed_of_the_fastest() -> None:
    measured = measure(DynamicDegree, tracks(pan=(20, 0)), tracks())
    assert measured.value == pytest.approx(100 * 1.25 / np.hypot(SIDE, SIDE), rel=0.05)
    assert measured.details["vbench_dynamic"] is False  # VBench asks for 6/256 of the side a frame: 1.5 pixels
    assert measure(DynamicDegree, tracks(pan=(32, 0)), tracks()).details["vbench_dynamic"] is True
    assert measure(DynamicDegree, tracks(), tracks()).value < 0.15
    assert len(top_speeds(tm.tracks_to_motion(tracks()))) == FRAMES - 1


def test_courses_are_the_paths_of_things() -> None:
    path = np.stack([18 * T, -12 * T**2], axis=-1)
    (course,) = thing_courses(tm.tracks_to_motion(tracks(path=path)))
    assert np.abs((course - course[0]) * np.hypot(SIDE, SIDE) - path).max() < 0.3


def test_errors_pair_courses_and_charge_a_missing_one() -> None:
    a, b = np.stack([T, 0 * T], axis=-1), np.stack([0 * T, T], axis=-1) + 2
    assert course_errors([b, a], [a, b]) == ([0, 0], [0, 0])
    placed, aligned = course_errors([a + 0.5], [a, b])
    assert placed[0] == pytest.approx(np.hypot(0.5, 0.5))
    assert aligned[0] == pytest.approx(0)
    assert placed[1] == pytest.approx(float(T.mean()))  # against standing at its start


def test_trajectory_error_needs_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = np.stack([18 * T, -12 * T], axis=-1)
    generated = tracks(path=path + np.array([4.0, 3.0]) * (T > 0)[:, None])
    no_truth = measure(TrajectoryError, generated, tracks(path=path))
    assert no_truth.value is None
    assert "ground truth" in no_truth.note

    class World:
        height = width = SIDE

        def true_tracks(self, reference: Path, queries: np.ndarray) -> Tracks:
            return tracks(path=path)

    monkeypatch.setattr(registry, "load", lambda group, name: World)
    sample = make_sample(generated, tracks(path=path))
    held = Clip(sample.reference.frames, 8.0, tmp_path / "0001.mp4")
    known = Sample(sample.generated, held, "", "", "", "", sample.tracks)
    measured = TrajectoryError.create(SETTING).measure(known)
    assert measured.value == pytest.approx(100 * 5 * 16 / 17 / np.hypot(SIDE, SIDE), rel=0.1)
