"""Input that no metric can like: a value is finite or a null with a reason, and nothing else is raised."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from motionbench.metrics.trackers.lucas_kanade import LucasKanade

from motionbench import registry
from motionbench.clip import Clip
from motionbench.metric import MetricRuntime, Sample
from motionbench.pair import measure
from motionbench.tracks import Tracks, grid_queries

BY_TRACKS = (
    "motion_fidelity", "motion_fidelity_smm", "motion_fidelity_released", "motion_fidelity_det", "camera_agreement",
    "speed_ratio", "motion_smoothness", "dynamic_degree", "trajectory_error",
)  # fmt: skip
BY_SIGHT = ("text_alignment", "temporal_consistency", "temporal_gap", "appearance_leak")
TRACKER = LucasKanade.create("cpu")
Look = Callable[[Clip], Tracks]


def moving(frames: int = 7, height: int = 32, width: int = 32, fps: float = 8.0, things: int = 1) -> Clip:
    """Bright discs that go right before a wavy scene."""
    y, x = np.mgrid[0:height, 0:width]
    wall = 90 + 40 * np.sin(x / 3.0)[..., None] * np.cos(y / np.array([4.0, 5.0, 6.0])[:, None, None]).transpose(
        1, 2, 0
    )
    shown = []
    for t in range(frames):
        frame = wall.copy()
        for k in range(things):
            cx, cy = (5 + 9 * k + 1.5 * t) % width, (6 + 7 * k) % height
            frame[(x - cx) ** 2 + (y - cy) ** 2 < 16] = (250, 200 - 20 * k, 40 + 15 * k)
        shown.append(frame)
    return Clip(np.stack(shown).clip(0, 255).astype(np.uint8), fps)


def black(frames: int = 7) -> Clip:
    return Clip(np.zeros((frames, 32, 32, 3), np.uint8), 8.0)


def still(frames: int = 7) -> Clip:
    return Clip(np.repeat(moving(1).frames, frames, axis=0), 8.0)


@cache
def seen(clip: Clip) -> Tracks:
    return TRACKER.track(clip, grid_queries(clip.height, clip.width, 6))


@cache
def few(clip: Clip) -> Tracks:
    """Three tracks in all."""
    return TRACKER.track(clip, grid_queries(clip.height, clip.width, 3)[:3])


def lost(clip: Clip) -> Tracks:
    """No track is seen after the first frame."""
    found = seen(clip)
    return Tracks(found.points, np.arange(len(clip))[None] < np.ones((len(found.points), 1)), clip.height, clip.width)


def nowhere(clip: Clip) -> Tracks:
    """No track at all."""
    return Tracks(np.zeros((0, len(clip), 2), np.float32), np.zeros((0, len(clip)), bool), clip.height, clip.width)


def not_a_number(clip: Clip) -> Tracks:
    """A tracker that breaks down halfway."""
    found = seen(clip)
    points = found.points.copy()
    points[:, len(clip) // 2 :] = np.nan
    return Tracks(points, found.visible, clip.height, clip.width)


CASES: dict[str, tuple[Clip, Clip, Look]] = {
    "other length": (moving(4), moving(9), seen),
    "longer": (moving(12), moving(5), seen),
    "other size": (moving(7).resize(48, 48), moving(7), seen),
    "other rate": (moving(7, fps=24.0), moving(7, fps=8.0), seen),
    "other aspect": (moving(7, 24, 48), moving(7, 32, 32), seen),
    "one frame": (moving(1), moving(7), seen),
    "one frame each": (moving(1), moving(1), seen),
    "reference of one frame": (moving(7), moving(1), seen),
    "all black": (black(), moving(), seen),
    "black reference": (moving(), black(), seen),
    "both black": (black(), black(), seen),
    "static reference": (moving(), still(), seen),
    "static": (still(), moving(), seen),
    "no track survives": (moving(), moving(), lost),
    "no track": (moving(), moving(), nowhere),
    "tracker breaks down": (moving(), moving(), not_a_number),
    "more objects than tracks": (moving(things=6), moving(things=6), few),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [*BY_TRACKS, *BY_SIGHT])
def test_a_value_is_finite_or_a_null_with_a_reason(name: str, case: str) -> None:
    generated, reference, look = CASES[case]
    sample = Sample(generated, reference, "a red ball rolls", "a blue box", "single_object/0000/0", "", look)
    metric = registry.load("metrics", name).create(MetricRuntime(world="procedural"))
    measured = measure(metric, sample)
    if measured.value is None:
        assert measured.note
    else:
        assert np.isfinite(measured.value)
        low, high = metric.info.range
        assert low is None or measured.value >= low - 1e-6
        assert high is None or measured.value <= high + 1e-6


@pytest.mark.parametrize(
    ("case", "value", "reason"),
    [
        ("static reference", None, "static reference"),
        ("black reference", None, "static reference"),
        ("both black", None, "static reference"),
        ("static", 0.0, ""),
        ("all black", 0.0, ""),
        ("no track", None, "tracks of the generated clip survive"),
        ("no track survives", None, "tracks of the generated clip survive"),
        ("tracker breaks down", None, ""),
    ],
)
def test_the_headline_says_what_is_wrong(case: str, value: float | None, reason: str) -> None:
    generated, reference, look = CASES[case]
    sample = Sample(generated, reference, "a", "b", "single_object/0000/0", "", look)
    measured = registry.load("metrics", "motion_fidelity").create(MetricRuntime()).measure(sample)
    if case == "tracker breaks down":  # half of the clip is left to judge by
        assert measured.value is None or -1 <= measured.value <= 1
    else:
        assert measured.value == pytest.approx(value, abs=0.05) if value is not None else measured.value is None
        assert reason in measured.note


@pytest.mark.parametrize("other", [moving(7).resize(64, 64), moving(7, fps=24.0), moving(13).sample(7)])
def test_the_same_motion_scores_high_at_another_size_and_rate(other: Clip) -> None:
    def look(clip: Clip) -> Tracks:
        return TRACKER.track(clip, grid_queries(clip.height, clip.width, 16))

    sample = Sample(other, moving(7), "a", "b", "single_object/0000/0", "", look)
    value = registry.load("metrics", "motion_fidelity").create(MetricRuntime()).measure(sample).value
    assert value is not None
    assert value > 0.5
