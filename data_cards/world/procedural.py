"""The procedural world: draws training clips, and renders known motions with other content."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracks
from motionbench.world import Batch

from .actions import figure_motion
from .cameras import drifts, named_camera, random_cameras
from .figures import PARTS, SKIN, TROUSERS, FigureMotion, figure_layers
from .language import COLOR_NAMES, COLORS, FIGURES, Subject, vocabulary, write_caption
from .paths import Array, ObjectMotion, object_motion
from .rendering import FPS, FRAMES, HEIGHT, WIDTH, Shots, draw_queries, render, track
from .scenes import SCENE_NAMES
from .shapes import ATLAS_SHAPES, OBJECT_SHAPES

CATEGORY_SHARES = {"single_object": 0.30, "multi_object": 0.20, "camera": 0.20, "human": 0.30}
NAMED_SHARE = 0.45  # of training clips whose words tell the motion
SILENT_SHARE = 0.20  # of the others: captions without any motion word
DRIFT_SHARE = 0.08  # of clips about objects and figures whose camera drifts as well
MAX_OBJECTS = 4
_EXTENTS = {"single_object": 1.5, "multi_object": 1.5, "camera": 3.0, "human": 1.5}


@dataclass
class Staging:
    """Everything about B clips of one category except their textures, as numpy arrays: what `Shots` needs and words."""

    category: str
    scenes: NDArray[np.int64]
    camera: Array
    subjects: list[list[Subject]]
    words: list[list[str]]
    camera_words: list[str]
    center: Array
    angle: Array
    size: Array
    shape: NDArray[np.int64]
    color: Array
    parallax: Array
    active: NDArray[np.bool_]
    labels: list[dict[str, Any]] = field(default_factory=list)

    def shots(self) -> Shots:
        """The clips as tensors on the CPU, float64."""
        human = self.category == "human"
        return Shots(
            camera=torch.from_numpy(self.camera),
            scene=torch.from_numpy(self.scenes),
            shape=torch.from_numpy(self.shape),
            color=torch.from_numpy(self.color),
            center=torch.from_numpy(self.center),
            angle=torch.from_numpy(self.angle),
            size=torch.from_numpy(self.size),
            parallax=torch.from_numpy(self.parallax),
            active=torch.from_numpy(self.active),
            rim=torch.full(self.shape.shape, 0.7 if human else 1.1, dtype=torch.float64),
            extent=_EXTENTS[self.category],
            blotches=(5, 3) if human else (8, 8),
        )

    def captions(self) -> list[str]:
        """The caption of each clip."""
        return [
            write_caption(self.category, SCENE_NAMES[s], subjects, words, camera)
            for s, subjects, words, camera in zip(
                self.scenes, self.subjects, self.words, self.camera_words, strict=True
            )
        ]


def draw_subjects(rng: np.random.Generator, counts: NDArray[np.int64], kinds: tuple[str, ...]) -> list[list[Subject]]:
    """Subjects of distinct colors, and of distinct kinds where there are enough kinds, `counts[b]` for each clip."""
    colors = rng.random((len(counts), len(COLOR_NAMES))).argsort(1)
    shapes = rng.random((len(counts), len(kinds))).argsort(1)
    return [
        [Subject(kinds[shapes[b, i % len(kinds)]], COLOR_NAMES[colors[b, i]]) for i in range(n)]
        for b, n in enumerate(counts)
    ]


def stage_objects(
    category: str,
    scenes: NDArray[np.int64],
    camera: Array,
    subjects: list[list[Subject]],
    motion: ObjectMotion,
    radius: Array,
) -> Staging:
    """Objects on their paths. motion: of B*K objects, clip by clip; radius: (B, K). The caller sets the words."""
    batch, layers = radius.shape
    shape, color, active = (
        np.zeros((batch, layers), np.int64),
        np.zeros((batch, layers, 3)),
        np.zeros((batch, layers), bool),
    )
    for b, held in enumerate(subjects):
        for k, subject in enumerate(held):
            shape[b, k], active[b, k] = ATLAS_SHAPES.index(subject.kind), True
            color[b, k] = np.array(COLORS[subject.color]) / 255.0
    turned = (batch, layers, FRAMES)
    size = radius[:, :, None] * motion.scale.reshape(turned)
    size = np.repeat(size.swapaxes(1, 2)[..., None], 2, axis=-1)
    return Staging(
        category=category,
        scenes=scenes,
        camera=camera,
        subjects=subjects,
        words=[[] for _ in subjects],
        camera_words=[""] * batch,
        center=motion.center.reshape(*turned, 2).swapaxes(1, 2).copy(),
        angle=motion.angle.reshape(turned).swapaxes(1, 2).copy(),
        size=size,
        shape=shape,
        color=color,
        parallax=np.ones((batch, layers)),
        active=active,
    )


def stage_figures(
    scenes: NDArray[np.int64],
    camera: Array,
    subjects: list[list[Subject]],
    motion: FigureMotion,
    looks: NDArray[np.int64],
) -> Staging:
    """One figure a clip. looks: (B, 2), indices of skin and trousers."""
    colors = np.array([COLORS[held[0].color] for held in subjects]) / 255.0
    drawn = figure_layers(motion, [held[0].kind for held in subjects], colors, looks)
    return Staging(
        category="human",
        scenes=scenes,
        camera=camera,
        subjects=subjects,
        words=[[words] for words in motion.words],
        camera_words=[""] * len(subjects),
        center=drawn.center,
        angle=drawn.angle,
        size=drawn.size,
        shape=drawn.shape,
        color=drawn.color,
        parallax=np.ones((len(subjects), len(PARTS))),
        active=np.ones((len(subjects), len(PARTS)), bool),
    )


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
    for b in np.flatnonzero(alike & named) if layers > 1 else []:
        _align(rng, motion, int(b) * layers, layers)
    span = (0.26, 0.40) if layers == 1 else (0.22, 0.30)
    moving = rng.random(batch) < DRIFT_SHARE
    staging = stage_objects(
        category, rng.integers(0, len(SCENE_NAMES), batch), drifts(rng, moving),
        draw_subjects(rng, counts, OBJECT_SHAPES), motion, rng.uniform(*span, (batch, layers)),
    )  # fmt: skip
    for b, count in enumerate(counts.tolist()):
        told = motion.words[b * layers : b * layers + count]
        staging.words[b] = told if named[b] else [_unsaid(rng)] * count
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


def clip_labels(staging: Staging) -> list[dict[str, Any]]:
    """Plain words about each clip: scene, color, shape (of the first subject), motion (None where unsaid), category."""
    found = []
    for scene, subjects, words, camera in zip(
        staging.scenes, staging.subjects, staging.words, staging.camera_words, strict=True
    ):
        motion = camera if staging.category == "camera" else words[0]
        found.append({
            "scene": SCENE_NAMES[scene], "color": subjects[0].color, "shape": subjects[0].kind,
            "motion": None if motion in ("", "moving", "moves") else motion, "category": staging.category,
        })  # fmt: skip
    return found


class ProceduralWorld:
    """Textured scenes, objects, articulated figures and cameras, 17 frames of 64x64, with exact tracks."""

    frames = FRAMES
    height = HEIGHT
    width = WIDTH
    fps = FPS

    def vocabulary(self) -> tuple[str, ...]:
        """Every word that a caption can hold, sorted."""
        return vocabulary()

    def sample(self, batch: int, *, seed: int, device: str, points: int = 0) -> Batch:
        """`batch` random training clips, float32 on `device`, with `points` exact tracks each.

        Deterministic in seed on one device type. About half of the points lie on an object or figure, where one is in
        the frame; `track` says what visible means.
        """
        rng = np.random.default_rng(derive_seed(seed, "training"))
        generator = torch.Generator(device=device).manual_seed(derive_seed(seed, "textures"))
        names = list(CATEGORY_SHARES)
        pick = rng.choice(len(names), batch, p=list(CATEGORY_SHARES.values()))
        made = Batch(
            frames=torch.empty(batch, FRAMES, 3, HEIGHT, WIDTH, device=device),
            captions=[""] * batch,
            queries=torch.empty(batch, points, 2, device=device),
            points=torch.empty(batch, points, FRAMES, 2, device=device),
            visible=torch.empty(batch, points, FRAMES, dtype=torch.bool, device=device),
            background=torch.empty(batch, points, dtype=torch.bool, device=device),
            labels=[{} for _ in range(batch)],
        )
        for i, category in enumerate(names):
            rows = np.flatnonzero(pick == i)
            if len(rows):
                self._fill(made, rows, draw_training(rng, category, len(rows)), rng, generator)
        return made

    def _fill(
        self,
        made: Batch,
        rows: NDArray[np.intp],
        staging: Staging,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> None:
        at = torch.from_numpy(rows).to(made.frames.device)
        shots = staging.shots().to(made.frames.device, torch.float32)
        made.frames[at] = render(shots, generator)
        for row, caption, labels in zip(rows, staging.captions(), clip_labels(staging), strict=True):
            made.captions[row], made.labels[row] = caption, labels
        count = made.queries.shape[1]
        if count:
            queries = draw_queries(shots, count, rng)
            points, visible, owner = track(shots, queries)
            made.queries[at], made.points[at], made.visible[at], made.background[at] = (
                queries,
                points,
                visible,
                owner < 0,
            )

    def rerender(self, reference: Path, prompt: str) -> tuple[Clip, Tracks]:
        """The motion of the split clip at `reference` with the content of `prompt`, from the ground truth beside it."""
        raise NotImplementedError
