"""`data build motionbench3d`: renders camera paths and captured human motion with exact tracks and camera poses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from motionbench.case import Case, Level
from motionbench.errors import VideoError
from motionbench.files import file_sha256, make_folder, write_atomically, write_json
from motionbench.manifest import MANIFEST, write_manifest
from motionbench.video import read_clip

from .renderer3d import Rendered, render_scene
from .scenes3d import FPS, FRAMES, Scene, list_scenes

HEIGHT, WIDTH = 480, 832
LICENSE = "CC-BY-4.0"
SOURCES = {
    "camera": "rendered by motionbench.data_cards.reconstruction with pybullet (zlib)",
    "human": "rendered by motionbench.data_cards.reconstruction with pybullet (zlib); motion capture of DeepMimic"
    " (MIT), Peng et al., SIGGRAPH 2018",
}
CARD = """\
---
license: cc-by-4.0
task_categories:
- text-to-video
language:
- en
size_categories:
- n<1K
tags:
- video-motion-transfer
- synthetic
- point-tracks
- camera-poses
pretty_name: MotionBench 3D (rendered)
---

# MotionBench `motionbench3d`

## Which MotionBench this is, and which it is not

The part of a reconstruction in kind of the benchmark described by Follow-Your-Motion (arXiv:2506.05207) that public
film covers badly: camera motion and complex human motion. It holds nothing of that paper, and it is not the video
question-answering MotionBench (arXiv:2501.02955).

## Composition

{camera} references of `camera` and {human} of `human`, {frames} frames of {width} x {height} pixels at {fps:g}
frames per second, three prompts each. Beside each clip lies `NNNN.truth.npz`: `points` (N, T, 2) in pixels and
`visible` (N, T) of a grid on the first frame, four times as fine on the figure, `view` and `projection` (T, 4, 4) of
the camera (OpenGL, y up, meters). `scenes/` holds each scene as JSON.

## Sources and consent

Rooms, blocks and textures are drawn by the recipe from seeds (CC-BY-4.0 as part of this set). The figure is the
`humanoid.urdf` of pybullet (zlib), moved by the motion capture that pybullet carries from DeepMimic (MIT). Those files
do not say who was recorded; they hold joint angles only.

## Collection

`motionbench data build motionbench3d` renders everything on the CPU with pybullet's software renderer, twice as large
and averaged down. Tracks are not estimated: a point is fixed to the body it lies on in the first frame, and projected.

## Prompts

Written for this project at the levels `caption`, `subject` and `scene`; the motion's word stays in all of them.

## Uses

For measuring motion transfer where tracks and camera must be known exactly. Not for training.

## Limits

Plain blocks and a figure of spheres and capsules without a face, clothes or hands; hard shadows, no reflections. The
motions other than walking are slowed or hastened to last the clip. Camera paths start and end at rest. A rank on
rendered clips need not hold on filmed ones.
"""

Progress = Callable[[int, int], None]


def build_rendered(
    out: Path, *, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, sharp: int = 2,
    report: Progress = lambda done, total: None, scenes: Sequence[Scene] | None = None,
) -> tuple[Case, ...]:  # fmt: skip
    """Renders the split `motionbench3d` into `out` and returns its cases; clips that are whole there are kept.

    Raises MissingExtra without pybullet, StoreError.
    """
    planned = tuple(scenes if scenes is not None else list_scenes())
    make_folder(out)
    cases: list[Case] = []
    for number, scene in enumerate(planned):
        report(number, len(planned))
        path = out / "references" / f"{scene.id}.mp4"
        if not is_whole(path, frames, height, width):
            rendered = render_scene(scene, height, width, sharp=sharp, frames=frames)
            write_truth(path.with_suffix(".truth.npz"), scene, rendered)
            write_json(out / "scenes" / f"{scene.id}.json", scene.to_json())
            rendered.clip.write(path)  # last: a clip that is there has its truth beside it
        cases += scene_cases(scene, file_sha256(path))
    report(len(planned), len(planned))
    counts = {c: sum(scene.category == c for scene in planned) for c in ("camera", "human")}
    card = CARD.format(frames=frames, width=width, height=height, fps=FPS, **counts)
    write_atomically(out / "README.md", card.encode())
    write_manifest(out / MANIFEST, cases)
    return tuple(cases)


def is_whole(path: Path, frames: int, height: int, width: int) -> bool:
    """Whether an earlier call rendered this clip and its truth."""
    if not path.with_suffix(".truth.npz").is_file():
        return False
    try:
        clip = read_clip(path, expected_frames=frames)
    except VideoError:
        return False
    return (clip.height, clip.width) == (height, width)


def scene_cases(scene: Scene, sha256: str) -> list[Case]:
    """The cases of a scene, one for each level."""
    prompts = {Level.CAPTION: scene.caption, Level.SUBJECT: scene.subject, Level.SCENE: scene.scene}
    return [
        Case(f"{scene.id}/{number}", scene.category, f"references/{scene.id}.mp4", sha256, scene.caption, prompt, level,
             LICENSE, SOURCES[scene.category], ("rendered", scene.kind))
        for number, (level, prompt) in enumerate(prompts.items())
    ]  # fmt: skip


def write_truth(path: Path, scene: Scene, rendered: Rendered) -> None:
    """Saves tracks and cameras as .npz without pickle, with a JSON header."""
    header = {"schema": 1, "name": scene.id, "caption": scene.caption, "kind": scene.kind, "seed": scene.seed}
    memory = io.BytesIO()
    np.savez_compressed(
        memory,
        header=np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8),
        points=rendered.points,
        visible=rendered.visible,
        view=rendered.view,
        projection=rendered.projection,
    )
    write_atomically(path, memory.getvalue())
