"""The model-free tracker on clips whose motion is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from motionbench.metrics.trackers.lucas_kanade import LucasKanade

from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.tracks import Tracker, grid_queries

pytestmark = pytest.mark.minimums

FRAMES, SIDE = 9, 64


def texture(seed: int, size: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 1, (size // 5, size // 5, 3)).astype(np.float32)
    return np.clip(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """A 64x64 view of the image whose content moves by (x, y)."""
    matrix = np.array([[1, 0, x - 40], [0, 1, y - 40]], np.float32)
    return cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC)


def to_clip(frames: list[np.ndarray]) -> Clip:
    return Clip((np.clip(np.stack(frames), 0, 1) * 255).round().astype(np.uint8), 8.0)


def pan(velocity: tuple[float, float]) -> Clip:
    image = texture(0)
    return to_clip([shifted(image, velocity[0] * t, velocity[1] * t) for t in range(FRAMES)])


QUERIES = grid_queries(SIDE, SIDE, 12)


def test_it_is_a_tracker() -> None:
    assert isinstance(LucasKanade.create("cpu"), Tracker)


def test_a_pan_is_followed_to_a_fraction_of_a_pixel() -> None:
    tracks = LucasKanade.create("cpu").track(pan((1.3, -0.7)), QUERIES)
    truth = QUERIES[:, None] + np.arange(FRAMES)[None, :, None] * np.array([1.3, -0.7])
    inside = ((truth > 2) & (truth < SIDE - 3)).all(-1)
    assert tracks.visible[inside].mean() > 0.95
    assert np.median(np.linalg.norm(tracks.points - truth, axis=-1)[inside]) < 0.2  # 0.8 of the 4x enlarged pixels


def test_points_that_leave_the_frame_are_hidden() -> None:
    tracks = LucasKanade.create("cpu").track(pan((4, 0)), QUERIES)
    gone = QUERIES[:, 0] + 4 * (FRAMES - 1) > SIDE + 2
    assert tracks.visible[gone, -1].mean() < 0.1


def test_flicker_does_not_move_points() -> None:
    image = texture(1)
    gains = 1 + 0.2 * np.sin(np.arange(FRAMES))
    clip = to_clip([0.75 * shifted(image, 0, 0) * g for g in gains])  # nothing saturates
    tracks = LucasKanade.create("cpu").track(clip, QUERIES)
    assert np.quantile(np.abs(tracks.points - QUERIES[:, None]), 0.95) < 0.25
    assert tracks.visible.mean() > 0.95


def test_what_something_passes_over_is_hidden_and_found_again() -> None:
    scene, thing = shifted(texture(2), 0, 0), texture(3)
    frames = []
    for t in range(17):
        frame = scene.copy()
        left = 2 + 3 * t
        frame[24:40, left : left + 12] = 0.3 * thing[:16, : min(12, SIDE - left)] + np.array([0.7, 0.0, 0.0])
        frames.append(frame)
    tracks = LucasKanade.create("cpu").track(to_clip(frames), np.array([[38.0, 32.0], [10.0, 8.0]], np.float32))
    assert not tracks.visible[0, 10]  # the thing is over it
    assert tracks.visible[0, -1]
    assert np.linalg.norm(tracks.points[0, -1] - [38, 32]) < 1.5
    assert tracks.visible[1].all()


def test_the_same_clip_gives_the_same_tracks() -> None:
    a, b = (LucasKanade.create("cpu").track(pan((1, 1)), QUERIES) for _ in range(2))
    assert np.array_equal(a.points, b.points)
    assert np.array_equal(a.visible, b.visible)


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_clip_stands_still(value: int) -> None:
    tracks = LucasKanade.create("cpu").track(Clip(np.full((4, 32, 48, 3), value, np.uint8), 8.0), QUERIES[:5] / 2)
    assert np.isfinite(tracks.points).all()
    assert np.abs(tracks.points - QUERIES[:5, None] / 2).max() < 0.01


def test_one_frame_no_points_and_wrong_queries() -> None:
    tracker, clip = LucasKanade.create("cpu"), pan((1, 0))
    assert tracker.track(Clip(clip.frames[:1], 8.0), QUERIES).visible.shape == (144, 1)
    assert tracker.track(clip, np.zeros((0, 2), np.float32)).points.shape == (0, FRAMES, 2)
    with pytest.raises(ShapeError, match="queries"):
        tracker.track(clip, np.zeros((3, 3), np.float32))
