"""The headline: analytic cases, plain loops, invariances, and known motions of the procedural world."""

from __future__ import annotations

import math
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motionbench.metrics import motion_parts
from motionbench.metrics import track_matching as tm
from motionbench.metrics.camera_motion import FRAME_RADIUS, CameraPath, fit_camera
from motionbench.metrics.group_comparison import compare_groups
from motionbench.metrics.motion_fidelity import (
    MotionFidelity,
    clip_fidelity,
    lacking_support,
    motion_fidelity,
    windowed_fidelity,
)
from motionbench.metrics.motion_parts import Group, motion_to_parts
from motionbench.metrics.motion_signals import likeness
from plain_motion import make_sample, make_tracks, straight, wandering

from motionbench.metric import Metric, MetricRuntime
from motionbench.tracks import Tracks, grid_queries

FRAMES, SIDE = 17, 64


def scene_tracks(
    camera: np.ndarray | None = None,
    things: tuple[tuple[float, float, float, np.ndarray], ...] = (),
    *,
    noise: float = 0.0,
    per_side: int = 20,
) -> tm.Motion:
    """Tracks of a 64x64 clip. camera: (T, 3) shift and log zoom of the scene; things: (x, y, radius, path (T, 2))."""
    grid = grid_queries(SIDE, SIDE, per_side).astype(np.float64)
    center = (SIDE - 1) / 2
    points = np.repeat(grid[:, None], FRAMES, axis=1)
    for x, y, radius, path in things:
        inside = np.hypot(grid[:, 0] - x, grid[:, 1] - y) < radius
        points[inside] = grid[inside][:, None] + path
    if camera is not None:
        points = (points - center) * np.exp(camera[None, :, 2:]) + center + camera[None, :, :2]
    points = points + np.random.default_rng(0).normal(0, noise, points.shape)
    seen = ((points >= -0.5) & (points <= SIDE - 0.5)).all(-1)
    return tm.tracks_to_motion(Tracks(points.astype(np.float32), seen, SIDE, SIDE))


T = np.linspace(0, 1, FRAMES)
RIGHT = np.stack([20 * T, 0 * T], axis=-1)
CURVE = np.stack([18 * T, -14 * T**2], axis=-1)


def value(g: tm.Motion, r: tm.Motion) -> float:
    found = motion_fidelity(g, r)[0]
    assert found is not None
    return found


def test_it_is_a_metric() -> None:
    assert isinstance(MotionFidelity.create(MetricRuntime()), Metric)


@pytest.mark.parametrize("radius", [5.0, 7.0, 14.0])
def test_size_and_place_of_the_thing_do_not_matter(radius: float) -> None:
    reference = scene_tracks(things=((20, 40, 9, CURVE),))
    other = scene_tracks(things=((26, 34, radius, CURVE),))
    assert value(other, reference) > 0.98
    assert tm.mf_match(other, reference) < 0.97 or radius == 7.0


def test_each_unwanted_thing_lowers_the_score() -> None:
    reference = scene_tracks(things=((20, 40, 8, CURVE),))
    drift = np.stack([10 * T, 0 * T, 0 * T], axis=-1)
    cases = {
        "nothing": reference,
        "camera drift": scene_tracks(drift, ((20, 40, 8, CURVE),)),
        "another thing moves": scene_tracks(things=((20, 40, 8, CURVE), (45, 15, 7, -RIGHT))),
        "it goes elsewhere": scene_tracks(things=((20, 40, 8, CURVE * [1, -1]),)),
        "the camera moves instead": scene_tracks(np.concatenate([CURVE, 0 * T[:, None]], axis=1)),
    }
    found = {name: value(g, reference) for name, g in cases.items()}
    assert found["nothing"] == pytest.approx(1)
    assert 0.3 < found["camera drift"] < 0.8
    assert 0.3 < found["another thing moves"] < 0.85
    assert found["it goes elsewhere"] < 0.6
    assert abs(found["the camera moves instead"]) < 0.25


def test_more_drift_costs_more() -> None:
    reference = scene_tracks(things=((20, 40, 8, CURVE),))
    found = [
        value(scene_tracks(np.stack([d * T, 0 * T, 0 * T], axis=-1), ((20, 40, 8, CURVE),)), reference)
        for d in (0, 4, 8, 12, 16)
    ]
    assert all(a > b + 0.02 for a, b in pairwise(found))


@pytest.mark.parametrize("kind", ["pan", "zoom"])
def test_a_camera_move_scores_1_right_and_minus_1_reversed(kind: str) -> None:
    # Direction matching of single tracks takes a zoom out for a zoom in: mirrored tracks fit each other.
    move = np.stack([14 * T, 4 * T, 0 * T] if kind == "pan" else [0 * T, 0 * T, 0.4 * T], axis=-1)
    forth, back = scene_tracks(move, noise=0.05), scene_tracks(-move, noise=0.05)
    assert value(forth, scene_tracks(move)) > 0.98
    assert value(back, scene_tracks(move)) < -0.97
    if kind == "zoom":
        assert tm.mf(back, scene_tracks(move)) > 0.5


def test_a_fit_recovers_pan_zoom_and_roll() -> None:
    steps = FRAMES - 1
    zoom, roll, pan = 0.02, -0.03, np.array([0.5, -0.25])
    grid = grid_queries(SIDE, SIDE, 16).astype(np.float64)
    points = np.zeros((len(grid), FRAMES, 2))
    points[:, 0] = grid
    for t in range(steps):  # each step is the exact midpoint form of a similarity motion, in plain arithmetic
        for n in range(len(grid)):
            z = complex(*(points[n, t] - SIDE / 2))
            rate = complex(zoom, roll)
            z_next = ((1 + rate / 2) * z + complex(*pan)) / (1 - rate / 2)
            points[n, t + 1] = [z_next.real + SIDE / 2, z_next.imag + SIDE / 2]
    found = fit_camera(tm.tracks_to_motion(Tracks(points.astype(np.float32), np.ones((256, FRAMES), bool), SIDE, SIDE)))
    expected = [*(pan / math.hypot(SIDE, SIDE)), zoom, roll]
    assert np.allclose(found.rates, expected, atol=2e-4)
    assert found.consensus > 0.99


def test_two_things_are_paired_and_a_missing_one_costs_its_share() -> None:
    both = scene_tracks(things=((18, 44, 8, RIGHT), (42, 16, 8, -CURVE)))
    one = scene_tracks(things=((18, 44, 8, RIGHT),))
    swapped = scene_tracks(things=((18, 16, 8, RIGHT), (42, 44, 8, -CURVE)))
    assert value(swapped, both) > 0.9
    assert 0.3 < value(one, both) < 0.75


def test_noise_of_the_tracker_costs_little() -> None:
    reference = scene_tracks(things=((20, 40, 8, CURVE),), noise=0.2)
    assert value(scene_tracks(things=((24, 38, 9, CURVE),), noise=0.2), reference) > 0.93


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 20), st.integers(3, 20))
def test_symmetric_bounded_and_independent_of_order(seed: int, n: int, m: int) -> None:
    g, r = wandering(n, 9, seed), wandering(m, 9, seed + 1)
    a, b = (tm.tracks_to_motion(make_tracks(x)) for x in (g, r))
    found = value(a, b)
    assert -1 <= found <= 1
    assert value(b, a) == pytest.approx(found, abs=1e-6)
    order = np.random.default_rng(seed).permutation(n)
    assert value(tm.tracks_to_motion(make_tracks(g[order])), b) == found


def test_each_sample_is_scored_by_itself() -> None:
    metric = MotionFidelity.create(MetricRuntime())
    samples = [make_sample(make_tracks(wandering(12, 9, i)), make_tracks(wandering(12, 9, i + 1))) for i in range(3)]
    together = [metric.measure(sample) for sample in samples]
    alone = [MotionFidelity.create(MetricRuntime()).measure(sample) for sample in reversed(samples)]
    assert [asdict(m) for m in together] == [asdict(m) for m in reversed(alone)]


def plain_likeness(a: np.ndarray, b: np.ndarray, lags: tuple[int, ...] = (2, 4, 8)) -> float:
    """2 <a, b> / (<a, a> + <b, b>) of step signals (P, S, C), summed displacement by displacement."""
    cross = own = 0.0
    for lag in lags:
        windows = a.shape[1] - lag + 1
        if windows < 1:
            continue
        for p in range(a.shape[0]):
            for t in range(windows):
                for c in range(a.shape[2]):
                    da, db = sum(a[p, t : t + lag, c]), sum(b[p, t : t + lag, c])
                    cross += da * db / (lag**2 * windows)
                    own += (da**2 + db**2) / (lag**2 * windows)
    return 2 * cross / own


def test_likeness_equals_plain_loops() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.3, 1, (3, 11, 2)), rng.normal(0.3, 1, (3, 11, 2))
    ones = np.ones((3, 11))
    assert likeness(a, ones, b, ones) == pytest.approx(plain_likeness(a, b), abs=1e-12)


def test_group_fields_equal_plain_loops() -> None:
    rng = np.random.default_rng(1)
    a, b = (
        Group(rng.normal(0, 0.7, (n, 2)), rng.normal(0, 1, (n, 9, 2)), np.ones((n, 9)), np.arange(n)) for n in (4, 6)
    )
    places = [*a.layout, *b.layout]

    def field(group: Group) -> np.ndarray:
        rows = []
        for place in places:
            weights = [math.exp(-((place - at) ** 2).sum() / (2 * 0.35**2)) for at in group.layout]
            rows.append(sum(w * s for w, s in zip(weights, group.steps, strict=True)) / sum(weights))
        return np.array(rows)

    scale = np.sqrt([1 / 4] * 4 + [1 / 6] * 6)[:, None, None]  # both sides count alike
    found = compare_groups(a, b)
    fa, fb = field(a), field(b)
    assert found.similarity == pytest.approx(plain_likeness(fa * scale, fb * scale), abs=1e-9)
    course_a, course_b = ((f * scale**2).sum(0, keepdims=True) / (scale**2).sum() for f in (fa, fb))
    assert found.course == pytest.approx(plain_likeness(course_a, course_b), abs=1e-9)
    inner = plain_likeness((fa - course_a) * scale, (fb - course_b) * scale)
    assert found.inner == pytest.approx(inner, abs=1e-9)


def test_a_signal_fits_itself_and_its_opposite_at_the_ends_of_the_range() -> None:
    signal, ones = np.array([[[1.0, 0.2], [0.8, 0.0]]]), np.ones((1, 2))
    assert likeness(signal, ones, signal, ones) == pytest.approx(1)
    assert likeness(-signal, ones, signal, ones) == pytest.approx(-1)
    assert likeness(0 * signal, ones, 0 * signal, ones) == 0


def test_parts_are_what_was_put_in() -> None:
    pan = np.stack([8 * T, 0 * T, 0 * T], axis=-1)
    parts = motion_to_parts(scene_tracks(pan, ((18, 44, 8, RIGHT), (42, 16, 8, -CURVE))))[0]
    assert len(parts.groups) == 2
    assert parts.scatter is None
    assert np.allclose(parts.camera.rates[:, 0] * math.hypot(SIDE, SIDE), 0.5, atol=0.01)
    assert pytest.approx(math.sqrt((SIDE**2 + SIDE**2) / 12) / math.hypot(SIDE, SIDE)) == FRAME_RADIUS


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_clips_are_scored_or_null_never_nan(frames: int) -> None:
    tracks = make_tracks(straight(10, frames, (30, 0)))
    measured = MotionFidelity.create(MetricRuntime()).measure(make_sample(tracks, tracks))
    if frames == 1:
        assert measured.value is None
    else:
        assert measured.value == pytest.approx(1)


@pytest.mark.parametrize("kept", [0, 1])
def test_too_few_tracks_on_either_side_are_a_null_with_the_reason(kept: int) -> None:
    tracks = make_tracks(straight(40, 9, (30, 0)))
    few = [make_tracks(straight(40, 9, (30, 0)), np.repeat(np.arange(40)[:, None] < n, 9, axis=1)) for n in (kept, 2)]
    metric = MotionFidelity.create(MetricRuntime())
    for name, sample in (("reference", make_sample(tracks, few[0])), ("generated", make_sample(few[0], tracks))):
        measured = metric.measure(sample)
        assert measured.value is None
        assert name in measured.note
        assert f"{kept} of 40" in measured.note
    assert metric.measure(make_sample(few[1], tracks)).value == pytest.approx(1)


def test_support_says_what_a_value_rests_on() -> None:
    grid = grid_queries(SIDE, SIDE, 20)[:, None] + np.stack([4 * T, 0 * T], axis=-1)
    seen = np.ones((400, FRAMES), bool)
    seen[:200, 10:] = False  # the upper half is lost in the second window
    sides = make_tracks(grid, seen, SIDE, SIDE), make_tracks(grid, None, SIDE, SIDE)
    details = MotionFidelity.create(MetricRuntime()).measure(make_sample(*sides)).details
    assert details["points"] == [400, 400]
    assert details["tracks"] == [200, 400]
    assert details["covered"][0] < 0.95 <= details["covered"][1]
    assert details["camera"] == [1, 1]
    assert len(details["windows"]) == 2


def turning_ground(sign: float, seed: int = 0) -> tm.Motion:
    """A ground that turns about a far point, seen at an angle, below a sky without tracks: no similarity fits."""
    rng = np.random.default_rng(seed)
    start = np.stack([rng.uniform(0, SIDE, 300), rng.uniform(20, SIDE, 300)], axis=-1)
    depth = 1 + 6 * ((start[:, 1] - 20) / (SIDE - 20)) ** 3  # near things pass faster
    shift = np.stack([-depth, 0.25 * depth * (start[:, 0] - 32) / 32], axis=-1)
    points = start[:, None] + sign * shift[:, None] * T[:, None] * 1.5
    return tm.tracks_to_motion(Tracks(points.astype(np.float32), np.ones((300, FRAMES), bool), SIDE, SIDE))


def test_what_fits_no_camera_is_compared_as_one_field() -> None:
    reference, again = turning_ground(1), turning_ground(1, seed=1)
    assert value(again, reference) > 0.95
    assert value(turning_ground(-1, seed=1), reference) < -0.8


def test_a_camera_that_was_fitted_on_one_side_only_is_no_likeness_of_0(monkeypatch: pytest.MonkeyPatch) -> None:
    pan = np.stack([14 * T, 4 * T, 0 * T], axis=-1)
    g, r = scene_tracks(pan, noise=0.05), scene_tracks(pan)
    real = motion_parts.fit_camera
    unknown = CameraPath(np.zeros((FRAMES - 1, 4)), real(r).seen, np.zeros((len(g.points), FRAMES - 1)), 0.0)
    monkeypatch.setattr(motion_parts, "fit_camera", lambda motion: unknown if motion is g else real(motion))
    assert value(g, r) > 0.95


def test_a_window_weighs_as_much_as_moves_in_it() -> None:
    move = np.stack([20 * T, 0 * T, 0 * T], axis=-1)
    slow = np.stack([5 * T, 0 * T, 0 * T], axis=-1)
    fast_right, slow_wrong = (scene_tracks(move), scene_tracks(move)), (scene_tracks(-slow), scene_tracks(slow))
    still = scene_tracks(), scene_tracks()
    assert windowed_fidelity([fast_right, slow_wrong])[0] == pytest.approx((20 - 5) / 25, abs=0.01)
    assert windowed_fidelity([fast_right, still])[0] == pytest.approx(1)
    moves_alone = scene_tracks(slow), scene_tracks()  # where the reference stands still
    assert windowed_fidelity([fast_right, moves_alone])[0] == pytest.approx(20 / 25, abs=0.01)
    assert windowed_fidelity([still, moves_alone])[0] is None


def test_a_window_without_tracks_tells_nothing_and_most_of_them_are_a_null() -> None:
    right = scene_tracks(np.stack([20 * T, 0 * T, 0 * T], axis=-1))
    gone = right.keep(np.zeros(len(right.points), bool))
    assert windowed_fidelity([(right, right), (gone, right)])[0] == pytest.approx(1)
    assert lacking_support([(right, right), (gone, right)]) == ""
    assert lacking_support([(right, right), (right, gone), (right, gone)]).startswith("too few tracks of the reference")


def test_what_is_slow_in_every_window_still_moves() -> None:
    points = grid_queries(SIDE, SIDE, 20)[:, None] + np.arange(25)[:, None] * [0.15, 0.0]  # 0.0017 diagonals a step
    slow = make_tracks(points, None, SIDE, SIDE)
    still = make_tracks(np.repeat(points[:, :1], 25, axis=1), None, SIDE, SIDE)
    metric = MotionFidelity.create(MetricRuntime())
    assert metric.measure(make_sample(slow, slow)).value == pytest.approx(1)
    assert metric.measure(make_sample(slow, still)).note == "static reference"


def test_the_whole_clips_parts_count_where_they_tell_more_than_the_windows() -> None:
    move = np.stack([20 * T, 0 * T, 0 * T], axis=-1)
    right, wrong = scene_tracks(move), scene_tracks(np.stack([0 * T, 20 * T, 0 * T], axis=-1))
    value, _, parts = clip_fidelity([(wrong, right)], (right, right))
    assert value == pytest.approx(1)
    assert parts[0].kind == "camera"
    assert clip_fidelity([(right, right)], (wrong, right))[::2] == (pytest.approx(1), [])
    assert clip_fidelity([(right, scene_tracks())], (right, right))[0] is None
