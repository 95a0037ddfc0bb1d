"""Training clips: words and motion agree, unnamed motion is broad, and the mix is as stated."""

from __future__ import annotations

import numpy as np
import pytest
from motionbench.data_cards.world.actions import ACTIONS, figure_motion
from motionbench.data_cards.world.cameras import named_camera, random_cameras
from motionbench.data_cards.world.figures import JOINT_POINTS, joint_positions
from motionbench.data_cards.world.paths import DIRECTIONS, object_motion
from motionbench.data_cards.world.training import NAMED_SHARE, draw_training

COUNT = 400


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def test_objects_go_where_the_words_say(rng: np.random.Generator) -> None:
    move = object_motion(rng, np.ones(COUNT, bool))
    told = 0
    for path, words in zip(move.center, move.words, strict=True):
        direction = DIRECTIONS.get(words.removeprefix("moving "))
        if direction is None:
            continue
        told += 1
        shift = path[-1] - path[0]
        assert np.dot(shift, direction) / (np.linalg.norm(shift) * np.linalg.norm(direction)) > 0.99
    assert told > COUNT // 3


def test_growing_and_shrinking_objects_do_so(rng: np.random.Generator) -> None:
    move = object_motion(rng, np.ones(COUNT, bool))
    growth = {"growing": 1, "shrinking": -1}
    checked = [np.sign(s[-1] - s[0]) == growth[w] for s, w in zip(move.scale, move.words, strict=True) if w in growth]
    assert len(checked) > 10
    assert all(checked)


def test_cameras_go_where_the_words_say(rng: np.random.Generator) -> None:
    signs = {"left": (0, -1), "right": (0, 1), "up": (1, -1), "down": (1, 1), "in": (2, 1), "out": (2, -1)}
    seen = set()
    for _ in range(COUNT):
        path, words, _ = named_camera(rng)
        seen.add(words)
        if "rolls" in words or words == "shakes":
            continue
        for word in words.split():
            if word in signs:
                channel, sign = signs[word]
                assert sign * (path[-1, channel] - path[0, channel]) > 0.3, words
    assert len(seen) > 10


def test_figures_travel_where_the_words_say_and_stay_otherwise(rng: np.random.Generator) -> None:
    move = figure_motion(rng, np.ones(COUNT, bool))
    assert {words.split()[0] for words in move.words} == set(ACTIONS)
    for travel, words in zip(move.travel, move.words, strict=True):
        shift = travel[-1] - travel[0]
        if words.endswith(("left", "right")):
            assert shift * (1 if words.endswith("right") else -1) > 0.1, words
        else:
            assert abs(shift) < 0.3, words


def test_limbs_keep_their_length_and_feet_stay_above_the_floor(rng: np.random.Generator) -> None:
    move = figure_motion(rng, rng.random(60) < 0.5)
    joints = dict(zip(JOINT_POINTS, np.moveaxis(joint_positions(move), 2, 0), strict=True))
    for a, b in (
        ("near_elbow", "near_hand"),
        ("far_elbow", "far_hand"),
        ("near_knee", "near_foot"),
        ("pelvis", "neck"),
    ):
        length = np.linalg.norm(joints[a] - joints[b], axis=-1)
        assert length == pytest.approx(np.repeat(length[:, :1], length.shape[1], axis=1))
    lowest = np.maximum(joints["near_foot"][..., 1], joints["far_foot"][..., 1])
    assert (lowest <= move.floor[:, None] + 1e-9).all()


def test_unnamed_paths_have_every_heading_and_strong_displacement(rng: np.random.Generator) -> None:
    shift = object_motion(rng, np.zeros(COUNT, bool)).center
    shift = shift[:, -1] - shift[:, 0]
    share, _ = np.histogram(np.arctan2(shift[:, 1], shift[:, 0]), bins=8, range=(-np.pi, np.pi))
    assert share.min() > COUNT * 0.06
    assert (np.linalg.norm(shift, axis=1) > 0.5).mean() > 0.6


def test_random_cameras_move_and_stay_on_the_texture(rng: np.random.Generator) -> None:
    path = random_cameras(rng, COUNT)
    reach = np.abs(path[..., :2]).max(-1) + np.sqrt(2) * np.exp(-path[..., 2])
    assert reach.max() < 3.0
    assert np.median(np.ptp(path[..., :2], axis=1).max(-1)) > 0.4


def test_about_half_the_captions_leave_the_motion_open(rng: np.random.Generator) -> None:
    for category in ("single_object", "human", "camera"):
        captions = draw_training(rng, category, COUNT).captions()
        open_words = {"moving", "moves"}
        from motionbench.data_cards.world.language import parse_caption

        named = [bool(set(parse_caption(caption).motion) - open_words) for caption in captions]
        assert np.mean(named) == pytest.approx(NAMED_SHARE, abs=0.08)
