"""A small split of real H.264 videos whose motion is plain: what the tests push, pull and spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.manifest import write_manifest

FRAMES, SIZE = 9, 64
LICENSE, SOURCE = "CC-BY-4.0", "made by the tests"


def texture(seed: int, side: int = 2 * SIZE) -> NDArray[np.float64]:
    """A smooth random picture (side, side, 3) in 0..255."""
    noise = np.random.default_rng(seed).random((side // 8, side // 8, 3))
    picture = np.kron(noise, np.ones((8, 8, 1)))
    for axis in (0, 1):
        picture = sum(np.roll(picture, shift, axis) for shift in range(-3, 4)) / 7
    return 255 * (picture - picture.min()) / np.ptp(picture)


def pan(seed: int, speed: int = 2) -> NDArray[np.uint8]:
    """A whole picture that moves `speed` pixels a frame."""
    wide = texture(seed)
    return np.stack([wide[20 : 20 + SIZE, t * speed : t * speed + SIZE] for t in range(FRAMES)]).astype(np.uint8)


def squares(seed: int, count: int, size: int = 16) -> NDArray[np.uint8]:
    """`count` textured squares that move over a still picture, each its own way."""
    rng = np.random.default_rng(seed)
    clip = np.repeat(texture(seed)[None, :SIZE, :SIZE], FRAMES, 0)
    for index in range(count):
        patch = texture(100 + seed + index)[:size, :size]
        x, y = 4 + 20 * index, 6 + 18 * index
        dx, dy = (3, 1) if index % 2 == 0 else (-1, 3)
        x += 10 * (index % 2) + int(rng.integers(0, 3))
        for t in range(FRAMES):
            top, left = np.clip([y + dy * t, x + dx * t], 0, SIZE - size)
            clip[t, top : top + size, left : left + size] = patch
    return clip.astype(np.uint8)


CLIPS = (
    (Category.CAMERA, "0001", "a wall of colored patches, the camera pans right", lambda: pan(1)),
    (Category.CAMERA, "0002", "a floor of soft blots, the camera pans right fast", lambda: pan(2, 4)),
    (Category.SINGLE_OBJECT, "0001", "a patch slides over a still wall", lambda: squares(3, 1)),
    (Category.MULTI_OBJECT, "0001", "two patches cross before a still wall", lambda: squares(4, 2)),
    (Category.HUMAN, "0001", "a figure of one patch walks along a wall", lambda: squares(5, 1, 20)),
)
OTHER = {
    Category.CAMERA: "a snowy forest, the camera pans right",
    Category.SINGLE_OBJECT: "a red toy car slides over a table",
    Category.MULTI_OBJECT: "a cat and a dog cross in a yard",
    Category.HUMAN: "a robot walks along a street",
}


def write_small_split(folder: Path) -> Path:
    """Writes the split: videos, a file of ground truth beside each, manifest and card; returns its folder."""
    cases = []
    for category, number, caption, make in CLIPS:
        path = f"references/{category}/{number}.mp4"
        sha = Clip(make(), 8.0).write(folder / path)
        (folder / path).with_suffix(".npz").write_bytes(f"truth of {category} {number}".encode() * 20)
        prompts = [(Level.CAPTION, caption), (Level.SUBJECT, OTHER[category])][: 2 if number == "0001" else 1]
        cases += [
            Case(f"{category}/{number}/{n}", category, path, sha, caption, prompt, level, LICENSE, SOURCE, ("test",))
            for n, (level, prompt) in enumerate(prompts)
        ]
    write_manifest(folder / "manifest.jsonl", cases)
    (folder / "README.md").write_text("# small\nMade by the tests.\n")
    return folder
