"""Graded corruptions of a perfect transfer, made from the ground truth: the questions of the metrics' exam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import ConfigError
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracks
from motionbench.world import Corruption

from .figures import FAR_ELBOW, FAR_SHOULDER, NEAR_HIP, NEAR_KNEE
from .language import COLOR_NAMES, Subject, parse_caption
from .paths import TIME, Array
from .references import other_subjects
from .scenes import SCENE_NAMES
from .shapes import OBJECT_SHAPES
from .truth import Truth, exact_tracks, merge_content, render_truth, stage_truth

Motion = dict[str, Array]
Edit = Callable[[Truth, float, np.random.Generator], Truth]

_ALL = ("camera", "single_object", "multi_object", "human")
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)
# Time is the last axis but one of `center` and the second of `angle` and `scale`, and the first of a figure's arrays.
_FIGURE_TIMED = ("angles", "spread", "travel", "lift")


def in_time(motion: Motion, change: Callable[[Array], Array]) -> Motion:
    """The motion with every course over time replaced; change takes and gives (T, ...)."""
    edited = dict(motion)
    for key, value in motion.items():
        if key == "camera" or key in _FIGURE_TIMED:
            edited[key] = change(value)
        elif key in ("center", "angle", "scale"):
            edited[key] = np.moveaxis(change(np.moveaxis(value, 1, 0)), 0, 1)
    return edited


def _at_times(motion: Motion, times: Array) -> Motion:
    """The motion read at fractional frames (T,)."""
    low = np.clip(np.floor(times).astype(int), 0, len(TIME) - 2)

    def read(course: Array) -> Array:
        part = (times - low).reshape(-1, *[1] * (course.ndim - 1))
        return np.asarray(course[low] * (1 - part) + course[low + 1] * part)

    return in_time(motion, read)


def path_noise(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """Every course shakes: noise of `strength` x 0.12 scene units (0.5 radians for joints), smoothed over 3 frames."""

    def shake(shape: tuple[int, ...], amount: float) -> Array:
        noise = rng.normal(0, 1, (shape[0] + 2, *shape[1:]))
        return np.asarray((noise[:-2] + noise[1:-1] + noise[2:]) / 3**0.5 * amount * strength)

    motion = dict(truth.motion)
    if truth.category == "human":
        motion["angles"] = motion["angles"] + shake(motion["angles"].shape, 0.5)
        motion["travel"] = motion["travel"] + shake(motion["travel"].shape, 0.12)
    elif truth.category == "camera":
        motion["camera"] = motion["camera"] + shake(motion["camera"].shape, 0.12) * np.array([1, 1, 0.5, 0.5])
    else:
        center = np.moveaxis(motion["center"], 1, 0)
        motion["center"] = np.moveaxis(center + shake(center.shape, 0.12), 0, 1)
    return replace(truth, motion=motion)


def path_scaled(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """Everything goes only (1 - strength) as far from where it starts."""
    return replace(truth, motion=in_time(truth.motion, lambda x: x[:1] + (x - x[:1]) * (1 - strength)))


def time_warped(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """Fast first and slow at the end, ever more so; where it goes stays the same."""
    return replace(truth, motion=_at_times(truth.motion, 16 * TIME ** (1 / (1 + 2 * strength))))


def delayed(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """Nothing moves for strength x 10 frames; the rest is cut off."""
    return replace(truth, motion=_at_times(truth.motion, np.maximum(16 * TIME - 10 * strength, 0.0)))


def played_backwards(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """The last `strength` of the clip runs backwards in time; its place in the frame is kept on average."""
    turn = round((1 - strength) * 16)

    def reverse(course: Array) -> Array:
        steps = np.diff(course, axis=0)
        steps = np.concatenate([steps[:turn], -steps[turn:][::-1]])
        path = np.concatenate([course[:1], course[:1] + np.cumsum(steps, axis=0)])
        return np.asarray(path - path.mean(0) + course.mean(0))

    return replace(truth, motion=in_time(truth.motion, reverse))


def partly_frozen(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """The last `strength` of the clip stands still."""
    return replace(truth, motion=_at_times(truth.motion, np.minimum(16 * TIME, 16 * (1 - strength))))


def wrong_object(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """A bystander that should not be there moves as well, by another path, up to as far as a subject goes."""
    motion = dict(truth.motion)
    path = _free_path(motion["center"], rng)
    path = path.mean(0) + (path - path.mean(0)) * strength
    motion["center"] = np.concatenate([path[None], motion["center"]])  # behind the others
    for key, value in (("angle", np.zeros((1, len(TIME)))), ("scale", np.ones((1, len(TIME))))):
        motion[key] = np.concatenate([value, motion[key]])
    motion["radius"] = np.concatenate([[0.26], motion["radius"]])
    motion["parallax"] = np.concatenate([[1.0], motion["parallax"]])
    used = {subject.color for subject in truth.subjects}
    color = next(str(c) for c in rng.permutation(COLOR_NAMES) if c not in used)
    bystander = Subject(str(rng.choice(OBJECT_SHAPES)), color)
    return replace(truth, motion=motion, subjects=(bystander, *truth.subjects))


def _free_path(center: Array, rng: np.random.Generator) -> Array:
    """A path (T, 2) of length 1 inside the frame that keeps away from the objects' own, center (K, T, 2)."""
    best, free = np.zeros((len(TIME), 2)), -1.0
    for _ in range(60):
        heading = rng.uniform(0, 2 * np.pi) + rng.uniform(-1.5, 1.5) * TIME
        path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], -1) / 16, axis=0)
        path += rng.uniform(-0.5, 0.5, 2) - path.mean(0)
        distance = float(np.linalg.norm(center - path, axis=-1).min())
        if np.abs(path).max() < 0.75 and distance > free:
            best, free = path, distance
    return best


def camera_drift(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """The camera drifts steadily though it should not: up to 0.9 scene units, across its own path where it has one."""
    camera = truth.motion["camera"].copy()
    travel = camera[-1, :2] - camera[0, :2]
    heading = rng.uniform(0, 2 * np.pi) if np.hypot(*travel) < 1e-6 else np.arctan2(travel[1], travel[0]) + np.pi / 2
    camera[:, :2] += 0.9 * strength * np.outer(TIME - 0.5, [np.cos(heading), np.sin(heading)])
    return replace(truth, motion={**truth.motion, "camera": camera})


def one_wrong(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """One of several objects goes in another direction: its path is turned by up to 180 degrees about its middle."""
    center = truth.motion["center"].copy()
    row = int(rng.integers(len(center)))
    angle = np.pi * strength * rng.choice([-1, 1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = center[row].mean(0)
    center[row] = (center[row] - middle) @ turn.T + middle
    return replace(truth, motion={**truth.motion, "center": center})


def limbs_out_of_phase(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """One leg and the opposite arm lag behind the rest of the body by strength x 10 frames."""
    angles = truth.motion["angles"].copy()
    times = np.maximum(16 * TIME - 10 * strength, 0.0)
    for joint in (NEAR_HIP, NEAR_KNEE, FAR_SHOULDER, FAR_ELBOW):
        angles[:, joint] = np.interp(times, 16 * TIME, angles[:, joint])
    return replace(truth, motion={**truth.motion, "angles": angles})


def mirrored(truth: Truth, strength: float, rng: np.random.Generator) -> Truth:
    """The main direction of motion shrinks to nothing at half strength and is mirrored at full strength."""
    factor, motion = 1 - 2 * strength, dict(truth.motion)
    if truth.category == "human":
        motion["angles"] = motion["angles"] * factor
        motion["travel"] = motion["travel"].mean() + (motion["travel"] - motion["travel"].mean()) * factor
        return replace(truth, motion=motion)
    courses = [motion["camera"][:, :2], *motion["center"]]
    steps = np.concatenate([np.diff(course, axis=0) for course in courses])
    axis = np.linalg.eigh(steps.T @ steps)[1][:, -1]
    squeeze = np.eye(2) + (factor - 1) * np.outer(axis, axis)
    camera = motion["camera"].copy()
    camera[:, :2] = camera[:, :2] @ squeeze
    camera[:, 3] *= factor
    middle = motion["center"].mean(1, keepdims=True)
    motion.update(camera=camera, center=(motion["center"] - middle) @ squeeze + middle)
    return replace(truth, motion=motion)


_EDITS: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "path_noise": (path_noise, _ALL), "path_scaled": (path_scaled, _ALL), "time_warped": (time_warped, _ALL),
    "delayed": (delayed, _ALL), "played_backwards": (played_backwards, _ALL), "partly_frozen": (partly_frozen, _ALL),
    "wrong_object": (wrong_object, ("single_object", "multi_object")), "camera_drift": (camera_drift, _ALL),
    "one_wrong": (one_wrong, ("multi_object",)), "limbs_out_of_phase": (limbs_out_of_phase, ("human",)),
    "mirrored": (mirrored, _ALL),
}  # fmt: skip
_APPEARANCE = {
    "wrong_appearance": "frames blend into those of other subjects in another scene, moving alike",
    "flicker": "brightness and contrast jump from frame to frame",
    "leak": "frames blend into those of the reference's own content, moving alike",
}
CORRUPTIONS: tuple[Corruption, ...] = (
    *(
        Corruption(name, "camera" if name == "camera_drift" else "motion", _SHARES, categories, (edit.__doc__ or ""))
        for name, (edit, categories) in _EDITS.items()
    ),
    *(Corruption(name, "appearance", _SHARES, _ALL, summary) for name, summary in _APPEARANCE.items()),
)


def corrupt_truth(
    truth: Truth, prompt: str, name: str, strength: float, *, seed: int, queries: NDArray[np.float32]
) -> tuple[Clip, Tracks]:
    """The perfect transfer of `truth` to a prompt, corrupted, and the exact tracks of its points `queries` (N, 2).

    strength 0 is the perfect transfer itself, the same for every corruption. The draws depend on name and seed only, so
    that strengths of one corruption differ in nothing else. Raises ConfigError for an unknown name or category.
    """
    known = {c.name: c for c in CORRUPTIONS}
    if name not in known or truth.category not in known[name].categories:
        raise ConfigError(f"no corruption {name!r} for {truth.category}; known: {', '.join(known)}")
    own = truth
    scene, subjects = merge_content(truth, parse_caption(prompt).content)
    truth = replace(truth, scene=scene, subjects=subjects)
    texture, rng = derive_seed(truth.seed, prompt), np.random.default_rng(derive_seed(seed, truth.name, name))
    if name in _APPEARANCE:
        right = render_truth(truth, scene, subjects, texture)
        frames = right.frames.astype(np.float64)
        if name == "flicker":
            frames = _flicker(frames, strength, rng)
        else:
            other = (
                render_truth(own, own.scene, own.subjects, own.seed) if name == "leak" else _other(truth, texture, rng)
            )
            frames = frames * (1 - strength) + other.frames * strength
        clip = right.with_frames(np.asarray(frames.round().clip(0, 255), dtype=np.uint8))
        return clip, exact_tracks(stage_truth(truth, scene, subjects).shots(), queries)[0]
    if strength > 0:
        truth = _EDITS[name][0](truth, strength, rng)
    clip = render_truth(truth, truth.scene, truth.subjects, texture)
    return clip, exact_tracks(stage_truth(truth, truth.scene, truth.subjects).shots(), queries)[0]


def _flicker(frames: NDArray[np.float64], strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    gain = 1 + 0.35 * strength * rng.uniform(-1, 1, (len(frames), 1, 1, 1))
    shift = 60 * strength * rng.uniform(-1, 1, (len(frames), 1, 1, 1))
    return np.asarray((frames - 128) * gain + 128 + shift)


def _other(truth: Truth, texture: int, rng: np.random.Generator) -> Clip:
    """The same motion with neither the prompt's subjects nor its scene."""
    scene = str(rng.choice([name for name in SCENE_NAMES if name != truth.scene]))
    return render_truth(truth, scene, other_subjects(truth, rng), texture + 1)
