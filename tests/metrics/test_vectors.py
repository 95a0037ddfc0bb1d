"""The test vectors of the metric's specification, for the track-level formulas and for the headline.

Where the headline departs from what a vector states for `mf`, the test says so and why. Vectors 14 and 16 are in
test_legacy.py and test_text_and_time.py.
"""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from motionbench.metrics import legacy
from motionbench.metrics import track_matching as tm
from motionbench.metrics.motion_fidelity import MotionFidelity, motion_fidelity
from plain_motion import HEIGHT, WIDTH, make_sample, make_tracks, straight, wandering

from motionbench.metric import MetricRuntime
from motionbench.tracks import Tracks, grid_queries

METRIC = MotionFidelity.create(MetricRuntime())


def motion(points: np.ndarray, visible: np.ndarray | None = None) -> tm.Motion:
    return tm.tracks_to_motion(make_tracks(points, visible))


def headline(g: np.ndarray | tm.Motion, r: np.ndarray | tm.Motion) -> float | None:
    a, b = (x if isinstance(x, tm.Motion) else motion(x) for x in (g, r))
    return motion_fidelity(a, b)[0]


def scores(g: np.ndarray, r: np.ndarray) -> list[float | None]:
    """mf, mf_match, headline."""
    return [tm.mf(motion(g), motion(r)), tm.mf_match(motion(g), motion(r)), headline(g, r)]


@pytest.mark.parametrize("tracks", [straight(20, 9, (6, 2)), wandering(20, 9, 1)], ids=["together", "each alone"])
def test_vector_1_a_clip_scores_1_against_itself(tracks: np.ndarray) -> None:
    assert scores(tracks, tracks) == pytest.approx([1, 1, 1], abs=1e-9)


def test_vector_1_the_released_script_does_not_score_a_copy_1() -> None:
    tracks = wandering(20, 9, 1)
    assert legacy.released_fidelity(tracks, tracks)[0] < 0.95


def test_vector_2_a_constant_shift_changes_nothing() -> None:
    tracks = wandering(12, 9, 2)
    assert scores(tracks + np.array([90.0, -60.0]), tracks) == pytest.approx([1, 1, 1], abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180])
def test_vector_3_a_rotated_direction_scores_its_cosine(degrees: float) -> None:
    angle = math.radians(degrees)
    turned = straight(15, 9, (8 * math.cos(angle), 8 * math.sin(angle)))
    assert scores(turned, straight(15, 9, (8, 0))) == pytest.approx([math.cos(angle)] * 3, abs=1e-4)


def test_vector_4_a_straight_line_backwards_scores_minus_1() -> None:
    tracks = straight(15, 9, (7, 3))
    assert scores(tracks[:, ::-1], tracks) == pytest.approx([-1, -1, -1], abs=1e-6)


@pytest.mark.parametrize("s", [0.5, 2.0, 3.0])
def test_vector_5_speed_is_reported_and_costs_the_headline(s: float) -> None:
    # Departure: mf sees directions only, so that a tenfold slower clip is perfect and a still one suddenly 0. The
    # headline falls off smoothly, 2s / (1 + s^2), which is also what "path scaled" asks of it in the exam.
    slow, fast = straight(15, 9, (8, 4)), straight(15, 9, (8 * s, 4 * s))
    assert scores(fast, slow) == pytest.approx([1, 1, 2 * s / (1 + s**2)], abs=1e-4)
    assert tm.log_speed_ratio(motion(fast), motion(slow)) == pytest.approx(math.log2(s), abs=1e-4)


def test_vector_6_a_still_clip_scores_0() -> None:
    tracks = straight(15, 9, (8, 4))
    assert scores(np.repeat(tracks[:, :1], 9, axis=1), tracks) == [0, 0, 0]


def test_vector_6_a_still_reference_is_a_null_with_a_reason() -> None:
    tracks = make_tracks(straight(15, 9, (8, 4)))
    still = make_tracks(straight(15, 9, (0, 0)))
    measured = METRIC.measure(make_sample(tracks, still))
    assert (measured.value, measured.note) == (None, "static reference")
    assert tm.mf(tm.tracks_to_motion(tracks), tm.tracks_to_motion(still)) is None
    assert tm.mf_match(tm.tracks_to_motion(tracks), tm.tracks_to_motion(still)) is None


@pytest.mark.parametrize("sigma", [0.005, 0.05, 0.5])
def test_vector_7_jitter_is_no_motion_but_fools_the_legacy_formula(sigma: float) -> None:
    grid = grid_queries(HEIGHT, WIDTH, 25).astype(np.float64)[:, None]
    a, b = (grid + np.random.default_rng(seed).normal(0, sigma, (625, 49, 2)) for seed in (1, 2))
    assert scores(a, b) == [None, None, None]
    floor = math.sqrt(math.log(625) / 48)
    assert legacy.smm_fidelity(a, b)[0] == pytest.approx(floor, rel=0.12)


def test_vector_8_one_right_track_among_still_ones_earns_next_to_nothing() -> None:
    # Departure: mf is 1 here (the one track is right, and every reference track finds it). mf_match is 2 / (1 + M). The
    # headline sees that the scene does not pan as it should, but for one place of the frame.
    count = 24
    reference = straight(count, 9, (8, 0))
    one = np.repeat(reference[:, :1], 9, axis=1)
    one[0] = reference[0]
    found = scores(one, reference)
    assert found[:2] == pytest.approx([1, 2 / (1 + count)], abs=1e-6)
    assert 0 <= found[2] < 0.12


def test_vector_9_the_order_of_tracks_does_not_matter() -> None:
    g, r = wandering(4, 7, 3), wandering(4, 7, 4)
    expected = scores(g, r)
    for order in permutations(range(4)):
        assert scores(g[list(order)], r) == expected
        assert scores(g, r[list(order)]) == expected


@pytest.mark.parametrize(("long", "short"), [(49, 25), (33, 17), (25, 17)])
def test_vector_10_another_number_of_frames_at_constant_velocity_changes_nothing(long: int, short: int) -> None:
    r = straight(12, short, (96 / (short - 1), 48 / (short - 1)))
    g = straight(12, long, (96 / (long - 1), 48 / (long - 1)))
    details = METRIC.measure(make_sample(make_tracks(g), make_tracks(r)))
    assert details.value == pytest.approx(1, abs=1e-3)
    assert details.details["mf"] == pytest.approx(1, abs=1e-3)
    assert details.details["mf_match"] == pytest.approx(1, abs=1e-3)


def test_vector_11_hidden_from_a_frame_on_equals_the_clip_cut_there() -> None:
    g, r, cut = wandering(10, 12, 5), wandering(10, 12, 6), 8
    visible = np.ones((10, 12), bool)
    visible[:, cut:] = False
    hidden = motion(g, visible), motion(r, visible)
    short = motion(g[:, :cut]), motion(r[:, :cut])
    for formula in (tm.mf, tm.mf_match, lambda a, b: motion_fidelity(a, b)[0]):
        assert formula(*hidden) == pytest.approx(formula(*short), abs=1e-9)


def test_vector_12_a_stretched_clip_moves_in_another_direction() -> None:
    # The convention: lengths over the diagonal of the clip as it is, both axes alike. Stretching is not undone.
    tracks = straight(12, 9, (6, 6))
    stretched = Tracks((tracks * np.array([0.5, 1.0])).astype(np.float32), np.ones((12, 9), bool), HEIGHT, WIDTH // 2)
    doubled = Tracks((tracks * 2).astype(np.float32), np.ones((12, 9), bool), 2 * HEIGHT, 2 * WIDTH)
    reference = motion(tracks)
    cosine = 1.5 / math.sqrt(1.25 * 2)
    assert tm.mf(tm.tracks_to_motion(stretched), reference) == pytest.approx(cosine, abs=1e-5)
    assert headline(tm.tracks_to_motion(stretched), reference) < 0.97
    assert tm.mf(tm.tracks_to_motion(doubled), reference) == pytest.approx(1, abs=1e-9)
    assert headline(tm.tracks_to_motion(doubled), reference) == pytest.approx(1, abs=1e-6)


def test_vector_13_swapping_the_clips_changes_nothing() -> None:
    g, r = wandering(9, 8, 7), wandering(14, 8, 8)
    assert scores(g, r) == pytest.approx(scores(r, g), abs=1e-9)


def test_vector_15_a_zero_step_counts_nothing_rather_than_nan() -> None:
    tracks = straight(10, 9, (8, 0))
    pause = tracks.copy()
    pause[:, 5:] -= np.array([8.0, 0.0])  # one step of eight is still
    assert tm.mf(motion(pause), motion(tracks)) == pytest.approx(7 / 8, abs=1e-6)
    assert tm.mf_match(motion(pause), motion(tracks)) == pytest.approx(7 / 8, abs=1e-6)
    value = headline(pause, tracks)
    assert value is not None
    assert 0.85 < value < 1
