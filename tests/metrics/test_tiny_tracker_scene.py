"""The step after the tiny tracker's network: scene points stay with the scene, things keep their own tracks."""

import numpy as np
import pytest
from motionbench.metrics.trackers.tiny_scene import (
    AGREE,
    ScenePath,
    fit_scene,
    frames_seen_away,
    looks_better,
    may_move,
    put_on_scene,
)

from motionbench.tracks import grid_queries

T = 9
GRID = grid_queries(64, 64, 8)


def _camera(shift: complex, turn: complex) -> ScenePath:
    time = np.linspace(0, 1, T)
    return ScenePath(shift * time, turn * time, 1.0, 64)


@pytest.mark.parametrize("camera", [_camera(0, 0), _camera(9 - 4j, 0), _camera(2 + 1j, 0.3 + 0.2j)])
def test_camera_is_found_under_noise_and_a_thing_that_crosses(camera):
    true = camera.places(GRID).astype(np.float32)
    rng = np.random.default_rng(0)
    found = true + rng.normal(0, 0.1, true.shape).astype(np.float32)
    found[:, 0] = GRID
    thing = (np.abs(GRID - 31.5) < 12).all(axis=1)  # 16 of 64 points move by themselves
    found[thing] += np.linspace(0, 15, T, dtype=np.float32)[None, :, None]
    scene = fit_scene(found, np.ones(found.shape[:2], np.float32), 64)
    assert scene.agree > AGREE
    assert np.abs(scene.places(GRID) - true).max() < 0.25  # px; noise 0.1 px on 48 points


def test_a_still_scene_is_exactly_still_and_a_slow_pan_is_not():
    rng = np.random.default_rng(1)
    still = np.repeat(GRID[:, None], T, axis=1) + rng.normal(0, 0.1, (64, T, 2)).astype(np.float32)
    still[:, 0] = GRID
    sure = np.ones((64, T), np.float32)
    assert np.array_equal(fit_scene(still, sure, 64).places(GRID), np.repeat(GRID[:, None], T, axis=1))
    pan = _camera(1.0, 0).places(GRID).astype(np.float32)
    assert np.abs(fit_scene(pan, sure, 64).places(GRID) - pan).max() < 0.05


def test_motion_without_any_common_share_is_no_scene():
    rng = np.random.default_rng(2)
    steps = np.cumsum(rng.normal(0, 4, (64, T, 2)), axis=1).astype(np.float32)
    steps[:, 0] = 0
    assert fit_scene(GRID[:, None] + steps, np.ones((64, T), np.float32), 64).agree < AGREE


def test_only_points_seen_away_for_long_may_move():
    off = np.zeros((4, T))
    off[1, 3:6] = 8.0  # dragged for three frames, unsure meanwhile
    off[2, 1:] = np.linspace(0.5, 12, T - 1)  # a thing that leaves
    off[3, 2:8:2] = 2.0  # a thing that shakes
    sure = np.ones((4, T))
    sure[1, 3:6] = 0.2
    assert may_move(frames_seen_away(off, sure)).tolist() == [False, False, True, True]


def test_a_point_that_looks_as_well_at_its_start_does_not_move():
    away = np.zeros((2, T))
    away[:, 4:] = 1.0
    own = np.full((2, T), 0.6)
    scene = np.where(np.arange(T) < 4, 0.0, np.array([[0.1], [0.6]]))  # what happens before it leaves does not count
    assert looks_better(away, own, scene).tolist() == [True, False]


def _dragged_and_moving() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    start = np.array([[20.0, 20.0], [40.0, 40.0]], np.float32)
    places = np.repeat(start[:, None], T, axis=1).astype(np.float64)
    found = places.astype(np.float32)
    found[0, 3:6] += 8  # dragged
    found[1] += np.linspace(0, 10, T, dtype=np.float32)[:, None]  # moves by itself
    sure = np.full((2, T), 0.95, np.float32)
    sure[0, 3:6] = 0.2
    return found, sure, places


def test_a_dragged_point_is_put_back_and_hidden_only_while_the_scene_is_not_seen_there():
    found, sure, places = _dragged_and_moving()

    def match(where: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        if where is found:
            return np.full((int(chosen.sum()), T), 0.9, np.float32)
        scene = np.full((2, T), 0.9, np.float32)
        scene[0, 3:5] = 0.1
        scene[1, 2:] = 0.1
        return scene[chosen]

    points, seen = put_on_scene(found, sure, places, match, 64)
    assert np.array_equal(points[0], places[0])
    assert ((seen[0] > 0.5) == [True, True, True, False, False, True, True, True, True]).all()
    assert np.array_equal(points[1], found[1])
    assert np.array_equal(seen[1], sure[1])
