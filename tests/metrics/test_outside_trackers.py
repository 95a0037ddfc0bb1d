"""The trackers truth and cotracker3: the first on a stand-in world, the second on a stand-in hub repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.metrics.trackers import cotracker3
from motionbench.metrics.trackers.cotracker3 import CoTracker3, load_predictor
from motionbench.metrics.trackers.truth import TruthTracker

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingInputError, MissingWeightsError
from motionbench.tracks import Tracker, Tracks, grid_queries

QUERIES = grid_queries(48, 64, 4)


class World:
    width, height = 64, 48

    def true_tracks(self, reference: Path, queries: np.ndarray) -> Tracks:
        points = queries[:, None] + np.arange(9)[None, :, None] * np.array([1.0, 0.5])
        return Tracks(points.astype(np.float32), np.ones(points.shape[:2], bool), 48, 64)


def blank(frames: int, height: int = 48, width: int = 64, path: Path | None = None) -> Clip:
    return Clip(np.zeros((frames, height, width, 3), np.uint8), 8.0, path)


def test_truth_is_scaled_and_sampled_like_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda group, name: World)
    tracker = TruthTracker.create("cpu")
    assert isinstance(tracker, Tracker)
    same = tracker.track(blank(9, path=Path("a.mp4")), QUERIES)
    assert np.allclose(same.points[:, -1], QUERIES + np.array([8.0, 4.0]), atol=1e-4)
    large = tracker.track(blank(5, 96, 128, Path("a.mp4")), (QUERIES + 0.5) * 2 - 0.5)
    assert np.allclose(large.points[:, -1], (QUERIES + np.array([8.5, 4.5])) * 2 - 0.5, atol=1e-4)
    assert large.points.shape[1] == 5


def test_truth_knows_nothing_of_a_clip_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda group, name: World)
    with pytest.raises(MissingInputError, match="ground truth"):
        TruthTracker.create("cpu").track(blank(9), QUERIES)


HUB = '''
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.pace = torch.nn.Parameter(torch.zeros(2))


class Predictor(torch.nn.Module):
    """Moves every query by a learned pace; says what it was asked."""

    def __init__(self):
        super().__init__()
        self.model = Model()
        self.asked = []

    def forward(self, video, queries=None):
        self.asked.append((video.shape[1], queries.shape[1], float(video.max())))
        t = torch.arange(video.shape[1])[None, :, None, None]
        tracks = queries[:, None, :, 1:] + t * self.model.pace
        visible = tracks[..., 0] < 40
        return tracks, visible


def cotracker3_offline(*, pretrained=True):
    if pretrained:
        raise OSError("no network")
    return Predictor()
'''


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local copy of a repository that speaks like CoTracker's, with weights in its checkpoints folder."""
    folder = tmp_path / "co-tracker"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hubconf.py").write_text(HUB)
    torch.save({"pace": torch.tensor([0.5, -0.25])}, folder / "checkpoints" / cotracker3.CHECKPOINT)
    monkeypatch.setenv(cotracker3.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return folder


def test_a_local_folder_is_honored_and_its_weights_are_loaded(repository: Path) -> None:
    tracker = CoTracker3.create("cpu")
    assert isinstance(tracker, Tracker)
    tracks = tracker.track(blank(9), QUERIES)
    assert np.allclose(tracks.points[:, -1], QUERIES + np.array([4.0, -2.0]), atol=1e-5)


def test_long_clips_and_many_points_go_in_pieces_that_join(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cotracker3, "WINDOW", 8)
    monkeypatch.setattr(cotracker3, "POINTS", 6)
    tracker = CoTracker3.create("cpu")
    tracks = tracker.track(blank(20), QUERIES)
    truth = QUERIES[:, None] + np.arange(20)[None, :, None] * np.array([0.5, -0.25])
    assert np.allclose(tracks.points, truth, atol=1e-4)
    assert max(frames for frames, _, _ in tracker.predictor.asked) == 8
    assert max(points for _, points, _ in tracker.predictor.asked) == 6
    seen = truth[..., 0] < 40
    assert not (tracks.visible & ~seen)[:, 1:].any()


def test_no_points_or_one_frame_asks_nothing(repository: Path) -> None:
    tracker = CoTracker3.create("cpu")
    assert tracker.track(blank(9), np.zeros((0, 2), np.float32)).points.shape == (0, 9, 2)
    assert tracker.track(blank(1), QUERIES).points.shape == (16, 1, 2)
    assert tracker.predictor.asked == []


def test_absent_weights_name_the_command(repository: Path) -> None:
    (repository / "checkpoints" / cotracker3.CHECKPOINT).unlink()
    with pytest.raises(MissingWeightsError, match=rf"no network.*{cotracker3.REVISION}.*{cotracker3.FOLDER_VARIABLE}"):
        load_predictor("cpu")


def test_weights_of_another_origin_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.delenv(cotracker3.FOLDER_VARIABLE)
    cached = tmp_path / "torch" / "hub" / "checkpoints" / cotracker3.CHECKPOINT
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"something else")
    with pytest.raises(MissingWeightsError, match="not the file"):
        load_predictor("cpu")
