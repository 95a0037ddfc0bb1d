"""Stagings: clips of one category as arrays of layers, with the words for what they show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .figures import PARTS, FigureMotion, figure_layers
from .language import COLORS, Subject, write_caption
from .paths import Array, ObjectMotion
from .rendering import FRAMES, Shots
from .scenes import SCENE_NAMES
from .shapes import ATLAS_SHAPES

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
    for b, things in enumerate(subjects):
        for k, subject in enumerate(things):
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
    colors = np.array([COLORS[figures[0].color] for figures in subjects]) / 255.0
    drawn = figure_layers(motion, [figures[0].kind for figures in subjects], colors, looks)
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


def clip_labels(staging: Staging) -> list[dict[str, Any]]:
    """Plain words about each clip: scene, color, shape (of the first subject), motion (None where unsaid), category."""
    labels = []
    for scene, subjects, words, camera in zip(
        staging.scenes, staging.subjects, staging.words, staging.camera_words, strict=True
    ):
        motion = camera if staging.category == "camera" else words[0]
        labels.append({
            "scene": SCENE_NAMES[scene], "color": subjects[0].color, "shape": subjects[0].kind,
            "motion": None if motion in ("", "moving", "moves") else motion, "category": staging.category,
        })  # fmt: skip
    return labels
