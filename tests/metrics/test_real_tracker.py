"""The tracker `real` with the weights that are shipped: geometry, digits, and clips whose motion is known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from motionbench.metrics.motion_fidelity import MotionFidelity
from motionbench.metrics.trackers.frame_features import TrackerConfig
from motionbench.metrics.trackers.learned import load_tracker
from motionbench.metrics.trackers.map_reading import Patches, _read_squares, read_features
from motionbench.metrics.trackers.real import CELLS, COARSEST, RealTracker
from motionbench.metrics.trackers.tracker_net import TrackerNet

from motionbench.clip import Clip
from motionbench.pair import measure, to_sample
from motionbench.registry import load
from motionbench.track_cache import TrackCache
from motionbench.tracks import grid_queries


@pytest.fixture(scope="module")
def real() -> RealTracker:
    return RealTracker.create("cpu")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def panning(frames: int, height: int, width: int, step: float) -> Clip:
    """A soft random picture that moves `step` pixels to the left a frame, resampled with cubic splines."""
    import cv2

    picture = np.random.default_rng(4).uniform(0, 255, (height // 4 + 8, width // 2, 3)).astype(np.float32)
    picture = cv2.resize(picture, (width * 2, height + 32), interpolation=cv2.INTER_CUBIC)
    shown = []
    for t in range(frames):
        moved = np.float32([[1, 0, -step * t], [0, 1, 0]])
        shown.append(cv2.warpAffine(picture, moved, (width, height), flags=cv2.INTER_CUBIC))
    return Clip(np.clip(np.stack(shown), 0, 255).astype(np.uint8), 16.0)


def test_it_is_installed_and_weighs_less_than_eight_megabytes(real):
    assert load("trackers", "real") is RealTracker
    assert (RealTracker.folder / "model.safetensors").stat().st_size < 8e6
    assert real.model.config.stem == 4


@pytest.mark.parametrize(("height", "width"), [(256, 256), (480, 832), (832, 480), (16, 16), (2160, 3840), (100, 1000)])
def test_every_aspect_is_seen_with_about_the_same_number_of_cells(real, height, width):
    tall, wide = real.cells(height, width)
    assert tall % COARSEST == wide % COARSEST == 0
    wanted = min(max(height * width / 16, CELLS[0]), CELLS[1])
    assert abs(tall * wide / wanted - 1) < 0.06
    if max(height, width) <= 3 * min(height, width):
        assert wide / tall == pytest.approx(width / height, rel=0.06)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (72, 128), (128, 72)])
def test_a_pan_is_followed_to_a_fraction_of_a_pixel(real, height, width):
    clip = panning(8, height, width, 1.5)
    queries = grid_queries(height, width, 6)
    found = real.track(clip, queries)
    true = queries[:, None] - np.array([1.5, 0]) * np.arange(8)[None, :, None]
    inside = true[..., 0] > 2
    off = np.linalg.norm(found.points - true, axis=-1)[inside]
    assert np.median(off) < 0.25
    assert np.mean(off < 1) > 0.97
    assert found.visible[inside].mean() > 0.97
    assert not found.visible[true[..., 0] < -2].any()


def test_any_number_of_threads_finds_the_same_bits(threads):
    clip, found = panning(5, 64, 96, 2.0), []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        found.append(RealTracker.create("cpu").track(clip, grid_queries(64, 96, 10)))
    for other in found[1:]:
        assert np.array_equal(other.points, found[0].points)
        assert np.array_equal(other.visible, found[0].visible)


def test_a_window_of_a_clip_that_was_seen_is_followed_to_the_same_bits(real):
    clip, queries = panning(7, 64, 96, 2.0), grid_queries(64, 96, 3)
    real.track(clip, queries)
    window = Clip(clip.frames[2:5], clip.fps)
    again, fresh = (tracker.track(window, queries) for tracker in (real, RealTracker.create("cpu")))
    assert np.array_equal(again.points, fresh.points)
    assert np.array_equal(again.visible, fresh.visible)


def test_places_are_those_that_version_2_always_found(real):
    """As it was before features were shared; a change of these is a change of version."""
    found = real.track(panning(6, 72, 128, 3.0), grid_queries(72, 128, 3)).points[:, -1]
    known = [
        [5.7657, 11.5494], [48.5094, 11.5119], [91.0952, 11.5203], [5.8149, 35.4947], [48.4646, 35.4584],
        [91.1539, 35.5321], [5.7657, 59.4514], [48.4790, 59.4882], [91.1537, 59.4843],
    ]  # fmt: skip
    assert np.allclose(found, known, atol=1e-3)


@pytest.mark.slow
def test_the_headline_is_what_it_was_before_features_were_shared(tmp_path):
    pair = panning(13, 72, 128, 2.0), panning(13, 72, 128, 3.0)
    eyes = TrackCache("real", device="cpu", grid=20, folder=tmp_path)
    assert measure(MotionFidelity(), to_sample(*pair, eyes)).value == pytest.approx(0.923037, abs=1e-4)


def test_a_point_goes_its_way_whoever_else_is_asked_for(real):
    clip, queries = panning(5, 64, 96, 2.0), grid_queries(64, 96, 6)
    together, alone = real.track(clip, queries), real.track(clip, queries[14:15])
    assert np.allclose(together.points[14], alone.points[0], atol=2e-3)


def test_reading_by_squares_is_reading_by_corners():
    maps, places = torch.randn(2, 3, 8, 9, 5), torch.rand(2, 4, 3, 2) * 10 - 1
    index, fraction = Patches.around(places, 2, 8, 9)
    index = index + torch.arange(6).view(2, 1, 3, 1, 1) * 72
    squares = _read_squares(maps.reshape(-1, 5), index, fraction)
    assert torch.allclose(squares, read_features(maps, places, 2), atol=1e-6)


def test_tiny_keeps_its_shape():
    """The stem and the features at half a cell are absent by default: the weights of `tiny` load as before."""
    assert TrackerConfig() == load_tracker(load("trackers", "tiny").folder, "cpu").config
    assert sum(p.numel() for p in TrackerNet(TrackerConfig()).parameters()) == 575_400
