"""The perceptual hash over time: one clip twice is near, two clips of one scene are far."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from motionbench.data_cards.checks.duplicates import ALIKE, nearest_overlap, perceptual_hash
from small_split import FRAMES, SIZE, pan, squares, texture

from motionbench.clip import Clip


def distance(a: Clip, b: Clip) -> float:
    return nearest_overlap(perceptual_hash(a), perceptual_hash(b))[0]


def one_scene(x: int, y: int, dx: int, dy: int) -> Clip:
    """A patch from (x, y) that moves (dx, dy) pixels a frame over a still picture that all these clips share."""
    frames = np.repeat(texture(1)[None, :SIZE, :SIZE], FRAMES, 0)
    for t in range(FRAMES):
        top, left = np.clip([y + dy * t, x + dx * t], 0, SIZE - 16)
        frames[t, top : top + 16, left : left + 16] = texture(50)[:16, :16]
    return Clip(frames.astype(np.uint8), 8.0)


WAYS = ((4, 4, 3, 0), (4, 4, 0, 3), (40, 40, -3, 0), (40, 8, -2, 3))
CLIPS = {
    "pan": Clip(pan(1), 8.0), "fast pan": Clip(pan(2, 4), 8.0), "object": Clip(squares(3, 1), 8.0),
    "objects": Clip(squares(4, 2), 8.0),
}  # fmt: skip


@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_is_found_again_re_encoded_resized_brightened_and_cut(name: str, tmp_path: Path) -> None:
    clip = CLIPS[name]
    clip.write(tmp_path / "low.mp4", crf=28)
    bright = np.clip(clip.frames.astype(int) + 12, 0, 255).astype(np.uint8)
    assert distance(clip, clip) == 0
    for other in (Clip.read(tmp_path / "low.mp4"), clip.resize(96, 128), Clip(bright, 8.0), Clip(clip.frames[3:], 8.0)):
        assert distance(clip, other) < ALIKE


def test_other_clips_are_far_even_those_of_one_scene() -> None:
    clips = [*CLIPS.values(), *(one_scene(*way) for way in WAYS)]
    assert min(distance(a, b) for a, b in combinations(clips, 2)) > 1.3 * ALIKE


def test_the_distance_is_the_same_both_ways() -> None:
    for a, b in combinations(CLIPS.values(), 2):
        assert distance(a, b) == distance(b, a)
