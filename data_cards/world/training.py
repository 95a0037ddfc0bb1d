"""Training clips: what is drawn at random, and how often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .actions import figure_motion
from .cameras import drifts, named_camera, random_cameras
from .figures import SKIN, TROUSERS
from .language import COLOR_NAMES, FIGURES, Subject
from .paths import ObjectMotion, object_motion
from .rendering import FRAMES
from .scenes import SCENE_NAMES
from .shapes import OBJECT_SHAPES
from .staging import Staging, stage_figures, stage_objects

CATEGORY_SHARES = {"single_object": 0.30, "multi_object": 0.20, "camera": 0.20, "human": 0.30}
NAMED_SHARE = 0.45  # of training clips whose words tell the motion
SILENT_SHARE = 0.20  # of the others: captions without any motion word
DRIFT_SHARE = 0.08  # of clips about objects and figures whose camera drifts as well
MAX_OBJECTS = 4


def draw_subjects(rng: np.random.Generator, counts: NDArray[np.int64], kinds: tuple[str, ...]) -> list[list[Subject]]:
    """Subjects of distinct colors, and of distinct kinds where there are enough kinds, `counts[b]` for each clip."""
    colors = rng.random((len(counts), len(COLOR_NAMES))).argsort(1)
    shapes = rng.random((len(counts), len(kinds))).argsort(1)
    return [
        [Subject(kinds[shapes[b, i % len(kinds)]], COLOR_NAMES[colors[b, i]]) for i in range(n)]
        for b, n in enumerate(counts)
    ]


def draw_looks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Indices of skin and trousers (count, 2)."""
    return np.stack([rng.integers(0, len(SKIN), count), rng.integers(0, len(TROUSERS), count)], -1)


def _unsaid(rng: np.random.Generator) -> str:
    return "" if rng.random() < SILENT_SHARE else "moving"


def _draw_objects(rng: np.random.Generator, category: str, batch: int) -> Staging:
    layers = 1 if category == "single_object" else MAX_OBJECTS
    counts = np.ones(batch, np.int64) if layers == 1 else rng.choice([2, 3, 4], batch, p=[0.5, 0.3, 0.2])
    named = rng.random(batch) < NAMED_SHARE
    alike = rng.random(batch) < 0.5  # named clips of several objects: one motion for all
    motion = object_motion(rng, np.repeat(named, layers))
    alike |= counts > 2  # three or more motions would make too long a caption
    for row in np.flatnonzero(alike & named) * layers if layers > 1 else []:
        _align(rng, motion, int(row), layers)
    span = (0.26, 0.40) if layers == 1 else (0.22, 0.30)
    moving = rng.random(batch) < DRIFT_SHARE
    staging = stage_objects(
        category, rng.integers(0, len(SCENE_NAMES), batch), drifts(rng, moving),
        draw_subjects(rng, counts, OBJECT_SHAPES), motion, rng.uniform(*span, (batch, layers)),
    )  # fmt: skip
    for b, count in enumerate(counts.tolist()):
        phrases = motion.words[b * layers : b * layers + count]
        staging.words[b] = phrases if named[b] else [_unsaid(rng)] * count
        if moving[b] and staging.words[b][0]:
            staging.camera_words[b] = "moves"
    return staging


def _align(rng: np.random.Generator, motion: ObjectMotion, first: int, layers: int) -> None:
    """Give a clip's objects the first one's motion, from other places and at other speeds."""
    for row in range(first + 1, first + layers):
        shape = motion.center[first] - motion.center[first].mean(0)
        motion.center[row] = shape * rng.uniform(0.7, 1.1) + rng.uniform(-0.5, 0.5, 2)
        motion.angle[row], motion.scale[row], motion.words[row] = (
            motion.angle[first],
            motion.scale[first],
            motion.words[first],
        )


def _draw_cameras(rng: np.random.Generator, batch: int) -> Staging:
    named = rng.random(batch) < NAMED_SHARE
    camera, words, orbits = random_cameras(rng, batch), [""] * batch, rng.random(batch) < 0.15
    for b in range(batch):
        if named[b]:
            camera[b], words[b], orbits[b] = named_camera(rng)
        else:
            words[b] = "moves" if _unsaid(rng) else ""
    counts = rng.integers(1, 3, batch)
    staging = stage_objects(
        "camera", rng.integers(0, len(SCENE_NAMES), batch), camera, draw_subjects(rng, counts, OBJECT_SHAPES),
        ObjectMotion.empty(batch * 2), rng.uniform(0.20, 0.34, (batch, 2)),
    )  # fmt: skip
    staging.camera_words = words
    staging.words = [[""] * int(n) for n in counts]
    place_landmarks(rng, staging, orbits)
    return staging


def place_landmarks(rng: np.random.Generator, staging: Staging, orbits: NDArray[np.bool_]) -> None:
    """Stand the objects of camera clips where the camera sees them early on; orbited ones slide less than the scene."""
    batch, layers = staging.parallax.shape
    seen = staging.camera[np.arange(batch)[:, None], rng.integers(0, 9, (batch, layers)), :2]
    aside = rng.uniform(-0.5, 0.5, (batch, layers, 2))
    aside[:, 1] = np.where(np.abs(aside[:, 1] - aside[:, 0]) < 0.5, -np.sign(aside[:, 0]) * 0.45, aside[:, 1])
    staging.parallax = np.where(orbits[:, None], rng.uniform(0.1, 0.45, (batch, layers)), 1.0)
    place = np.where(orbits[:, None, None], 0.0, seen) + aside
    staging.center = np.repeat(place[:, None], FRAMES, axis=1)
    staging.angle = np.repeat(rng.uniform(-0.3, 0.3, (batch, 1, layers)), FRAMES, axis=1)


def _draw_figures(rng: np.random.Generator, batch: int) -> Staging:
    named = rng.random(batch) < NAMED_SHARE
    moving = rng.random(batch) < DRIFT_SHARE
    subjects = draw_subjects(rng, np.ones(batch, np.int64), FIGURES)
    motion = figure_motion(rng, named)
    staging = stage_figures(
        rng.integers(0, len(SCENE_NAMES), batch), drifts(rng, moving), subjects, motion, draw_looks(rng, batch)
    )
    for b in range(batch):
        if not named[b]:
            staging.words[b] = [_unsaid(rng)]
        if moving[b] and staging.words[b][0]:
            staging.camera_words[b] = "moves"
    return staging


def draw_training(rng: np.random.Generator, category: str, batch: int) -> Staging:
    """`batch` training clips of a category; never a benchmark motion."""
    if category == "camera":
        return _draw_cameras(rng, batch)
    if category == "human":
        return _draw_figures(rng, batch)
    return _draw_objects(rng, category, batch)
