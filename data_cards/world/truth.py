"""Truth: everything that moved in a reference clip and what it showed, enough to render it with other content."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import ManifestError, MissingInputError
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracks, grid_queries

from .figures import FigureMotion, joint_positions
from .language import Content, Subject, parse_caption
from .paths import Array, ObjectMotion
from .rendering import FPS, FRAMES, HEIGHT, WIDTH, Shots, poses, render, to_pixels, track
from .scenes import SCENE_NAMES
from .staging import Staging, stage_figures, stage_objects

SCHEMA = 1
GRID = 20  # tracked points per side of the frame
_TRACK_STEPS = 256  # stored tracks are rounded to 1/256 pixel: equal on every machine
_OBJECT_ARRAYS = ("center", "angle", "scale", "radius", "parallax")
_FIGURE_ARRAYS = ("angles", "spread", "travel", "lift", "facing", "height", "floor", "looks")


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of one reference.

    name: `category/NNNN`. family: of its motion. scene, subjects: what it shows. seed: of its textures.
    motion: float64 arrays. All: `camera` (T, 4) x, y, log zoom, roll. Objects: `center` (K, T, 2), `angle` and `scale`
    (K, T), `radius` and `parallax` (K,). Figures: the fields of FigureMotion for one figure, and `looks` (2,).
    Scene units: 1 = half a frame, x right, y down.
    """

    name: str
    category: str
    family: str
    caption: str
    scene: str
    subjects: tuple[Subject, ...]
    seed: int
    motion: dict[str, Array]

    def object_motion(self) -> ObjectMotion:
        """The objects' motion; only where the category is not `human`."""
        motion = self.motion
        return ObjectMotion(motion["center"], motion["angle"], motion["scale"], [""] * len(motion["center"]))

    def figure_motion(self) -> FigureMotion:
        """The figure's motion; only where the category is `human`."""
        return FigureMotion(**{key: self.motion[key][None] for key in _FIGURE_ARRAYS[:-1]}, words=["moving"])


def truth_path(reference: Path) -> Path:
    """Where the ground truth of a reference clip lies: `0001.mp4` has `0001.truth.npz` beside it."""
    return reference.with_suffix(".truth.npz")


def stage_truth(truth: Truth, scene: str, subjects: tuple[Subject, ...]) -> Staging:
    """One clip with the motion of `truth` and this content; as many subjects as the truth has."""
    scenes, camera = np.array([SCENE_NAMES.index(scene)]), truth.motion["camera"][None]
    if truth.category == "human":
        looks = truth.motion["looks"].astype(np.int64)[None]
        return stage_figures(scenes, camera, [list(subjects)], truth.figure_motion(), looks)
    radius = truth.motion["radius"][None]
    staging = stage_objects(truth.category, scenes, camera, [list(subjects)], truth.object_motion(), radius)
    staging.parallax = truth.motion["parallax"][None]
    return staging


def merge_content(truth: Truth, wanted: Content) -> tuple[str, tuple[Subject, ...]]:
    """Scene and subjects that a prompt asks for; what it leaves unsaid or cannot move so stays as it was."""
    human = truth.category == "human"
    named = [s for s in wanted.subjects if s is not None and s.is_figure == human]
    subjects = []
    for index, subject in enumerate(truth.subjects):
        asked = named[index] if index < len(named) else subject
        subjects.append(Subject(asked.kind, asked.color or subject.color))
    return wanted.scene or truth.scene, tuple(subjects)


def render_truth(truth: Truth, scene: str, subjects: tuple[Subject, ...], seed: int) -> Clip:
    """The motion of `truth` with this content, rendered in float64 and rounded once, to the same bytes everywhere."""
    shots = stage_truth(truth, scene, subjects).shots()
    frames = render(shots, np.random.default_rng(seed))[0]
    pixels = (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return Clip(pixels.numpy(), FPS)


def exact_tracks(shots: Shots, queries: NDArray[np.float32]) -> tuple[Tracks, NDArray[np.int64]]:
    """Tracks of one clip's first-frame points (N, 2), and the layer that each lies on (N,), -1 = the scene."""
    points, visible, owner = track(shots, torch.from_numpy(queries).to(shots.camera)[None])
    rounded = np.round(points[0].numpy() * _TRACK_STEPS) / _TRACK_STEPS
    tracks = Tracks(rounded.astype(np.float32), visible[0].numpy(), HEIGHT, WIDTH)
    return tracks, owner[0].numpy()


def grid_truth(truth: Truth, scene: str, subjects: tuple[Subject, ...]) -> tuple[Tracks, NDArray[np.int64]]:
    """Tracks of a GRID x GRID grid under the motion of `truth` with this content, and the layer of each point."""
    return exact_tracks(stage_truth(truth, scene, subjects).shots(), grid_queries(HEIGHT, WIDTH, GRID))


def render_prompt(truth: Truth, prompt: str) -> tuple[Clip, Tracks]:
    """The motion of `truth` with the content of a prompt, and the tracks of its grid; motion words are ignored."""
    scene, subjects = merge_content(truth, parse_caption(prompt).content)
    return render_truth(truth, scene, subjects, derive_seed(truth.seed, prompt)), grid_truth(truth, scene, subjects)[0]


def truth_header(truth: Truth) -> dict[str, Any]:
    """All of a truth but its arrays, as JSON values; `make_truth` takes it back."""
    return {
        "schema": SCHEMA, "name": truth.name, "category": truth.category, "family": truth.family,
        "caption": truth.caption, "scene": truth.scene, "seed": truth.seed,
        "subjects": [[s.kind, s.color] for s in truth.subjects], "frames": FRAMES, "height": HEIGHT, "width": WIDTH,
    }  # fmt: skip


def write_truth(path: Path, truth: Truth) -> None:
    """Save as .npz without pickle: motion; `points`, `visible`, `owner` of the grid; `places` in pixels; a JSON header.

    places: (K, T, 2) centers of the objects, or (joints, T, 2) of the figure.
    """
    tracks, owner = grid_truth(truth, truth.scene, truth.subjects)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        allow_pickle=False,
        header=np.frombuffer(json.dumps(truth_header(truth), sort_keys=True).encode(), dtype=np.uint8),
        points=tracks.points,
        visible=tracks.visible,
        owner=owner.astype(np.int8),
        places=_places(truth),
        **{f"motion_{key}": value for key, value in truth.motion.items()},
    )


def _places(truth: Truth) -> NDArray[np.float32]:
    staging = stage_truth(truth, truth.scene, truth.subjects)
    at = poses(staging.shots())
    if truth.category == "human":
        joints = torch.from_numpy(joint_positions(truth.figure_motion()))  # (1, T, J, 2)
        screen = (at.scene_matrix[:, :, None] @ joints[..., None])[..., 0] + at.scene_shift[:, :, None]
    else:
        screen = at.shift
    pixels = to_pixels(screen[0]).transpose(0, 1).numpy()
    return (np.round(pixels * _TRACK_STEPS) / _TRACK_STEPS).astype(np.float32)


def read_truth(path: Path) -> Truth:
    """The truth in a file. Raises MissingInputError if there is none, ManifestError if it is not such a file."""
    if not path.is_file():
        raise MissingInputError(
            f"{path}: no ground truth beside the reference; this works on splits that carry it (`mini`, `lite`)"
        )
    try:
        with np.load(path, allow_pickle=False) as arrays:
            header = json.loads(bytes(arrays["header"]))
            motion = {key.removeprefix("motion_"): arrays[key] for key in arrays.files if key.startswith("motion_")}
        return make_truth(header, motion)
    except (ValueError, KeyError, OSError, EOFError, BadZipFile, zlib.error) as error:
        raise ManifestError(f"{path}: no ground truth of schema {SCHEMA}: {error}; build the split again") from error


def make_truth(header: dict[str, Any], motion: dict[str, Array]) -> Truth:
    """The truth of a header and its arrays. Raises ValueError or KeyError if they are not whole."""
    if header["schema"] != SCHEMA:
        raise ValueError(f"schema {header['schema']}")
    wanted = _FIGURE_ARRAYS if header["category"] == "human" else _OBJECT_ARRAYS
    if missing := {"camera", *wanted} - set(motion):
        raise ValueError(f"arrays {sorted(missing)} are missing")
    words = {key: str(header[key]) for key in ("name", "category", "family", "caption", "scene")}
    subjects = tuple(Subject(kind, color) for kind, color in header["subjects"])
    return Truth(**words, subjects=subjects, seed=int(header["seed"]), motion=motion)
