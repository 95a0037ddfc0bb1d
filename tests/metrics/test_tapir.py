"""The tracker tapir on a stand-in copy of tapnet: coordinates, windows, weights, and what is said when they lack."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.metrics.trackers import tapir
from motionbench.metrics.trackers.downloads import fetch_source
from motionbench.metrics.trackers.tapir import Tapir, load_model

from motionbench.clip import Clip
from motionbench.errors import MissingExtra, MissingWeightsError
from motionbench.tracks import Tracker, grid_queries

QUERIES = grid_queries(48, 64, 4)
# A model with TAPIR's call: it follows the brightness of the frames' first pixel, so that frames can be told apart.
MODEL = """
import torch
from tapnet.torch import nets


class TAPIR(torch.nn.Module):
    def __init__(self, pyramid_level=1):
        super().__init__()
        assert pyramid_level == 1
        self.pace = torch.nn.Parameter(torch.zeros(2))
        self.asked = []

    def forward(self, video, query_points):
        assert video.min() >= -1 and video.max() <= 1 and video.shape[-3:] == (256, 256, 3)
        self.asked.append(video.shape[1])
        number = (video[0, :, 0, 0, 0] + 1) * 127.5
        xy = query_points[..., 1:].flip(-1)[:, :, None]
        tracks = xy + number[None, None, :, None] * self.pace
        tracks = tracks[:, torch.argsort(torch.randperm(tracks.shape[1]) * 0)]
        hidden = torch.where(tracks[..., 0] < 128, -9.0, 9.0)
        return {"tracks": tracks, "occlusion": hidden, "expected_dist": torch.full_like(hidden, -9.0)}
"""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local copy laid out as tapnet is, whose package fails if it is imported whole, with weights."""
    folder = tmp_path / "tapnet-copy"
    make_copy(folder)
    (folder / "checkpoints").mkdir()
    torch.save({"pace": torch.tensor([4.0, -2.0])}, folder / "checkpoints" / tapir.CHECKPOINT)
    monkeypatch.setenv(tapir.FOLDER_VARIABLE, str(folder))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    forget()
    return folder


def make_copy(folder: Path) -> None:
    code = folder / "tapnet" / "torch"
    code.mkdir(parents=True)
    (folder / "LICENSE").write_text("Apache-2.0")
    (folder / "tapnet" / "__init__.py").write_text("raise ImportError('jax')")
    (code / "nets.py").write_text("")
    (code / "tapir_model.py").write_text(MODEL)


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tapnet"]:
        del sys.modules[name]


def numbered(frames: int, height: int = 48, width: int = 64) -> Clip:
    """Every frame is as bright as its number says."""
    return Clip(np.arange(frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, height, width, 3), np.uint8), 8.0)


def test_places_are_in_the_clips_own_pixels_and_the_weights_are_used(copy: Path) -> None:
    tracker = Tapir.create("cpu")
    assert isinstance(tracker, Tracker)
    tracks = tracker.track(numbered(9), QUERIES)
    # 4 pixels a frame of a 256 x 256 frame are 1 of 64, -2 are -2 * 48 / 256
    truth = QUERIES[:, None] + np.arange(9)[None, :, None] * np.array([1.0, -0.375])
    assert np.allclose(tracks.points, truth, atol=1e-3)
    assert np.array_equal(tracks.visible[:, 1:], (truth[..., 0] < 31.5)[:, 1:])
    assert tracks.visible[:, 0].all()  # a query is a point that is seen in the first frame


def test_long_clips_go_in_windows_that_all_begin_with_the_first_frame(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Tapir.create("cpu").track(numbered(30), QUERIES)
    monkeypatch.setattr(tapir, "WINDOW", 10)
    monkeypatch.setattr(tapir, "CONTEXT", 3)
    tracker = Tapir.create("cpu")
    pieces = tracker.track(numbered(30), QUERIES)
    assert max(tracker.model.asked) == 10
    assert np.allclose(pieces.points, whole.points, atol=1e-4)
    assert np.array_equal(pieces.visible, whole.visible)


def test_no_points_or_one_frame_asks_nothing(copy: Path) -> None:
    tracker = Tapir.create("cpu")
    assert tracker.track(numbered(9), np.zeros((0, 2), np.float32)).points.shape == (0, 9, 2)
    assert tracker.track(numbered(1), QUERIES).points.shape == (16, 1, 2)
    assert tracker.model.asked == []


def test_nobody_elses_dice_are_thrown(copy: Path) -> None:
    tracker = Tapir.create("cpu")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tracker.track(numbered(5), QUERIES)
    assert torch.equal(torch.rand(3), expected)


def test_absent_weights_name_the_command_and_the_folder(copy: Path) -> None:
    (copy / "checkpoints" / tapir.CHECKPOINT).unlink()
    with pytest.raises(MissingWeightsError, match=rf"motionbench prefetch tapir.*{tapir.FOLDER_VARIABLE}"):
        load_model("cpu")


def test_absent_code_names_the_command(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(tapir.FOLDER_VARIABLE)
    cached = tmp_path / "torch" / "hub" / "checkpoints"
    cached.mkdir(parents=True)
    (copy / "checkpoints" / tapir.CHECKPOINT).rename(cached / tapir.CHECKPOINT)
    with pytest.raises(MissingWeightsError, match="motionbench prefetch tapir"):
        load_model("cpu")


@pytest.mark.parametrize("content", [b"no checkpoint", {"other": torch.zeros(1)}, {"pace": Path("an object")}])
def test_a_file_that_holds_no_such_weights_is_refused_and_never_run(copy: Path, content: object) -> None:
    path = copy / "checkpoints" / tapir.CHECKPOINT
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(MissingWeightsError, match="motionbench prefetch tapir"):
        load_model("cpu")


def test_what_its_code_needs_is_named(copy: Path) -> None:
    (copy / "tapnet" / "torch" / "nets.py").write_text("import nothing_of_that_name")
    with pytest.raises(MissingExtra, match=r"pip install 'motionbench-transfer\[tapir\]'"):
        load_model("cpu")


@pytest.fixture
def published(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Archive and checkpoint at addresses on this machine, nothing of them where they would be looked for."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as held:
        for path in sorted(p for p in copy.rglob("*") if p.is_file() and "checkpoints" not in p.parts):
            held.write(path, Path("tapnet-abc") / path.relative_to(copy))
        held.writestr("tapnet-abc/tapnet/torch/../../../outside.py", "wrong")
    monkeypatch.setattr(tapir, "SOURCE_URL", archive.as_uri())
    monkeypatch.setattr(tapir, "CHECKPOINT_URL", (copy / "checkpoints" / tapir.CHECKPOINT).as_uri())
    monkeypatch.delenv(tapir.FOLDER_VARIABLE)
    return archive


def test_prefetch_gets_code_and_weights_once_and_then_all_works_offline(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Apache-2.0" in Tapir.prefetch()
    hub = tmp_path / "torch" / "hub"
    files = {p.relative_to(hub / tapir.SOURCE_FOLDER).as_posix() for p in (hub / tapir.SOURCE_FOLDER).rglob("*.py")}
    assert files == {"tapnet/torch/nets.py", "tapnet/torch/tapir_model.py"}
    assert not list(tmp_path.rglob("outside.py"))
    published.unlink()
    monkeypatch.setattr(tapir, "CHECKPOINT_URL", "file:///nothing")
    forget()
    assert "Apache-2.0" in Tapir.prefetch()
    assert Tapir.create("cpu").track(numbered(5), QUERIES).points.shape == (16, 5, 2)


def test_without_network_prefetch_says_what_could_not_be_fetched(published: Path, tmp_path: Path) -> None:
    published.unlink()
    with pytest.raises(MissingWeightsError, match="cannot be fetched"):
        Tapir.prefetch()
    assert not (tmp_path / "torch" / "hub" / tapir.SOURCE_FOLDER).exists()


def test_an_archive_without_the_wanted_part_leaves_nothing(published: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match="not the archive"):
        fetch_source(published.as_uri(), tmp_path / "there", ("LICENSE", "elsewhere/"))
    assert not (tmp_path / "there").exists()
