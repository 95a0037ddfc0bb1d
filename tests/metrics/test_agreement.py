"""Agreement of trackers on tracks whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.metrics.agreement import compare_tracks, measure_agreement
from motionbench.metrics.metrics_command import app
from typer.testing import CliRunner

from motionbench import registry
from motionbench.clip import Clip
from motionbench.tracks import Tracks, grid_queries

QUERIES = grid_queries(256, 256, 5)


def tracks(shift: float = 0.0, path: float = 0.0, hidden: int = 0) -> Tracks:
    points = np.repeat(QUERIES[:, None], 6, axis=1)
    points[:, 1:, 0] += shift
    points[:, :, 1] += np.linspace(0, path, 6)
    visible = np.ones((25, 6), bool)
    visible[:hidden, 1:] = False
    return Tracks(points.astype(np.float32), visible, 256, 256)


def test_the_same_tracks_agree_wholly() -> None:
    found = compare_tracks(tracks(), tracks())
    assert found == {
        "within": 1, "median_distance": 0, "visibility": 1, "moving": 1, "still_called_moving": 0,
    }  # fmt: skip


def test_a_shift_of_three_pixels_is_within_three_of_five_thresholds() -> None:
    found = compare_tracks(tracks(shift=3.0), tracks())
    assert found["within"] == pytest.approx(3 / 5)
    assert found["median_distance"] == pytest.approx(300 / np.hypot(256, 256), rel=1e-4)


def test_hidden_points_and_false_motion_are_counted() -> None:
    assert compare_tracks(tracks(hidden=5), tracks())["visibility"] == pytest.approx(20 / 25)
    found = compare_tracks(tracks(path=20.0), tracks())
    assert found["moving"] == 0
    assert found["still_called_moving"] == 1


def test_nothing_to_tell_is_none_not_nan() -> None:
    empty = Tracks(np.zeros((0, 4, 2), np.float32), np.zeros((0, 4), bool), 64, 64)
    assert set(compare_tracks(empty, empty).values()) == {None}


class Fake:
    name, version = "fake", 1

    @classmethod
    def create(cls, device: str) -> Any:
        return cls()

    def track(self, clip: Clip, queries: np.ndarray) -> Tracks:
        points = np.repeat(queries[:, None], len(clip), axis=1).astype(np.float32)
        return Tracks(points, np.ones(points.shape[:2], bool), clip.height, clip.width)


class Other(Fake):
    name = "other"


def test_every_pair_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda group, name: {"fake": Fake, "other": Other}[name])
    clips = [Clip(np.full((4, 16, 16, 3), i, np.uint8), 8.0) for i in range(3)]
    (found,) = measure_agreement(clips, ["fake", "other"], device="cpu", grid=4)
    assert (found.first, found.second, found.n) == ("fake", "other", 3)
    assert found.within == found.visibility == 1


def test_the_command_tells_the_trackers_error_against_the_truth() -> None:
    result = CliRunner().invoke(
        app, ["agreement", "--split", "mini", "--category", "camera", "--tracker", "lk", "--device", "cpu", "--json"]
    )
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert (found["first"], found["second"], found["n"]) == ("lk", "truth", 1)
    assert found["within"] > 0.6


def test_a_clip_without_truth_has_none() -> None:
    from motionbench.metrics.agreement import true_tracks

    assert true_tracks(Clip(np.zeros((4, 16, 16, 3), np.uint8), 8.0), 4) is None
    assert true_tracks(Clip(np.zeros((4, 16, 16, 3), np.uint8), 8.0, Path("nowhere.mp4")), 4) is None
