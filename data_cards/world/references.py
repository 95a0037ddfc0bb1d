"""References: benchmark and tuning motions with content, kept only if playing them backwards is the opposite motion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from motionbench.case import Category
from motionbench.clip import Clip
from motionbench.seeds import derive_seed
from motionbench.tracks import Tracks

from .benchmark_paths import BENCHMARK_PATHS, TUNING_PATHS, UPRIGHT, Family, benchmark_camera, place
from .choreography import BENCHMARK_DANCES, TUNING_DANCES, Key, perform
from .language import COLORS, FIGURES, Subject, write_caption
from .paths import TIME, Array
from .rendering import HEIGHT, WIDTH
from .scenes import SCENE_NAMES
from .shapes import OBJECT_SHAPES
from .training import draw_looks, draw_subjects
from .truth import Truth, grid_truth, render_truth

CATEGORIES = tuple(str(category) for category in Category)
REVERSAL_LIMIT = -0.70  # a reference is drawn again until its reversal matches it no better than this
_ATTEMPTS = 2000
# Tuning references are called category/9001 and on, those of many objects .../6001, so that none is taken for another.
NUMBERS = {"benchmark": 0, "tuning": 9000, "crowd": 6000}
_CONE = (0.15, 0.34)  # radians between an object's heading and the clip's: they cross but all go one way


def _names(purpose: str, category: str) -> list[str]:
    paths = list(TUNING_PATHS if purpose == "tuning" else BENCHMARK_PATHS)
    if category == "human":
        return list(TUNING_DANCES if purpose == "tuning" else BENCHMARK_DANCES)
    return paths if category == "single_object" else [name for name in paths if name not in UPRIGHT]


def _path_of(name: str) -> Family:
    return {**BENCHMARK_PATHS, **TUNING_PATHS}[name]


def _single(rng: np.random.Generator, family: str, index: int) -> dict[str, Array]:
    heading = 0.0 if family in UPRIGHT else rng.uniform(0, 2 * np.pi)
    extent = rng.uniform(1.05, 1.35)
    slack = np.array([0.72 - extent / 2, 0.30]) if family in UPRIGHT else np.full(2, 0.72 - extent / 2)
    center = place(_path_of(family)(rng), heading, extent, rng.uniform(-1, 1, 2) * slack)[None]
    turn = rng.uniform(-0.35, 0.35) * (TIME - 0.5) + rng.uniform(-0.2, 0.2)
    return {
        "center": center,
        "angle": turn[None],
        "radius": rng.uniform(0.28, 0.38, 1),
        "camera": np.zeros((len(TIME), 4)),
    }


def _multi(rng: np.random.Generator, family: str, index: int) -> dict[str, Array]:
    """Two or three objects of different families and slightly different headings, crossing and occluding each other."""
    count = 3 if index % 3 == 0 else 2
    others = [
        name
        for name in _names("benchmark" if family in BENCHMARK_PATHS else "tuning", "multi_object")
        if name != family
    ]
    families = [family, *rng.permutation(others)[: count - 1]]
    common, side = rng.uniform(0, 2 * np.pi), -1.0 if rng.random() < 0.5 else 1.0
    centers, extent = [], 1.2 if count == 2 else 1.0
    for layer, name in enumerate(families):
        heading = common + side * (1, -1, 0)[layer] * rng.uniform(*_CONE)
        middle = rng.uniform(-0.15, 0.15, 2)
        if layer == 2:  # the third goes beside the two that cross
            middle += np.array([-np.sin(common), np.cos(common)]) * rng.choice([-1, 1]) * rng.uniform(0.35, 0.6)
        centers.append(place(_path_of(name)(rng), heading, extent * rng.uniform(0.85, 1.1), middle))
    turn = rng.uniform(-0.35, 0.35, (count, 1)) * (TIME - 0.5) + rng.uniform(-0.2, 0.2, (count, 1))
    placement = {"center": np.stack(centers), "angle": turn, "radius": rng.uniform(0.22, 0.28, count)}
    return {**placement, "camera": np.zeros((len(TIME), 4))}


def _crowd(rng: np.random.Generator, family: str, index: int) -> dict[str, Array]:
    """Three, four or five smaller objects in turn, each of a family of its own; all go roughly one way and cross."""
    count = 3 + (index - 1) % 3
    others = [name for name in _names("crowd", "multi_object") if name != family]
    common = rng.uniform(0, 2 * np.pi)
    ahead, side = (np.array([np.cos(common + turn), np.sin(common + turn)]) for turn in (0.0, np.pi / 2))
    lanes = np.linspace(-0.55, 0.55, count) + rng.uniform(-0.05, 0.05, count)
    starts = rng.choice([-1.0, 1.0]) * (-1.0) ** np.arange(count) * rng.uniform(0.08, 0.2, count)  # by turns
    centers = [
        place(
            _path_of(name)(rng),
            common - lane * rng.uniform(0.5, 0.8),  # towards the middle
            rng.uniform(0.85, 1.1),
            side * lane * 0.75 + ahead * start,
        )
        for name, lane, start in zip([family, *rng.permutation(others)[: count - 1]], lanes, starts, strict=True)
    ]
    turn = rng.uniform(-0.35, 0.35, (count, 1)) * (TIME - 0.5) + rng.uniform(-0.2, 0.2, (count, 1))
    placement = {"center": np.stack(centers), "angle": turn, "radius": rng.uniform(0.16, 0.19, count)}
    return {**placement, "camera": np.zeros((len(TIME), 4))}


def _camera(rng: np.random.Generator, family: str, index: int) -> dict[str, Array]:
    planar = place(_path_of(family)(rng), rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.25), np.zeros(2))
    count = int(rng.integers(1, 3))
    camera = benchmark_camera(rng, planar)
    spots = planar[rng.integers(2, 11, count)] + rng.uniform(-0.5, 0.5, (count, 2))
    drift = rng.random() < 0.3  # orbit-like: what stands nearer slides by more
    return {
        "center": np.repeat(spots[:, None], len(TIME), axis=1),
        "angle": np.repeat(rng.uniform(-0.3, 0.3, (count, 1)), len(TIME), axis=1),
        "radius": rng.uniform(0.26, 0.34, count),
        "camera": camera,
        "parallax": rng.uniform(0.75, 1.25, count) if drift else np.ones(count),
    }


def _human(rng: np.random.Generator, family: str, index: int) -> dict[str, Array]:
    keys: tuple[Key, ...] = {**BENCHMARK_DANCES, **TUNING_DANCES}[family]
    move = perform(rng, keys)
    pose = {name: getattr(move, name)[0] for name in ("angles", "spread", "travel", "lift")}
    for name in ("facing", "height", "floor"):
        pose[name] = np.asarray(getattr(move, name)[0])
    return {**pose, "camera": np.zeros((len(TIME), 4)), "looks": draw_looks(rng, 1)[0].astype(np.float64)}


_DRAWS: dict[str, Callable[[np.random.Generator, str, int], dict[str, Array]]] = {
    "single_object": _single, "multi_object": _multi, "camera": _camera, "human": _human,
}  # fmt: skip


def _draw(rng: np.random.Generator, purpose: str, name: str, category: str, family: str) -> Truth:
    index = int(name.rsplit("/", 1)[1])
    draw = _crowd if purpose == "crowd" else _DRAWS[category]
    motion = draw(rng, family, index)
    if category != "human":
        count = len(motion["center"])
        motion = {"scale": np.ones((count, len(TIME))), "parallax": np.ones(count), **motion}
    count = 1 if category == "human" else len(motion["center"])
    subjects = tuple(draw_subjects(rng, np.array([count]), FIGURES if category == "human" else OBJECT_SHAPES)[0])
    scene = SCENE_NAMES[(CATEGORIES.index(category) * 3 + index) % len(SCENE_NAMES)]  # all scenes equally often
    caption = write_content_caption(category, scene, subjects)
    return Truth(name, category, family, caption, scene, subjects, int(rng.integers(2**62)), motion)


def write_content_caption(category: str, scene: str, subjects: tuple[Subject, ...]) -> str:
    """The caption of a benchmark clip: content, and motion only as `moving`, so that the words do not give it away."""
    camera = "moves" if category == "camera" else ""
    return write_caption(category, scene, list(subjects), ["" if camera else "moving"] * len(subjects), camera)


def draw_reference(purpose: str, category: str, index: int, seed: int = 0) -> Truth:
    """The index-th reference (1, 2, ...) of a category: families in turn, drawn until `is_clear` accepts it.

    purpose: `benchmark` (splits), `tuning` (hyper-parameters; in no split, of other families, numbered from 9001) or
    `crowd` (three to five objects of the benchmark's families; numbered from 6001).
    """
    names = _names(purpose, category)
    number = NUMBERS[purpose] + index
    family, name = names[(index - 1) % len(names)], f"{category}/{number:04d}"
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng(derive_seed(seed, purpose, name, str(attempt)))
        truth = _draw(rng, purpose, name, category, family)
        if is_clear(truth):
            return truth
    raise RuntimeError(f"no clear {family} reference for {name} in {_ATTEMPTS} draws")


def is_clear(truth: Truth) -> bool:
    """Whether a reference is fit: subjects in view, crossing where they should, and reversal is the opposite."""
    if truth.category in ("single_object", "multi_object"):
        center, radius = truth.motion["center"], truth.motion["radius"]
        if (np.abs(center).max(axis=(1, 2)) > 1.0 - 0.5 * radius).any():
            return False
        if truth.category == "multi_object" and not _crosses(center, radius):
            return False
    tracks, owner = grid_truth(truth, truth.scene, truth.subjects)
    if truth.category == "camera" and any((owner == k).sum() < 6 for k in range(len(truth.subjects))):
        return False
    return reversal_match(tracks) < REVERSAL_LIMIT


def _crosses(center: Array, radius: Array) -> bool:
    """All apart in the first frame, and some pair (of four or five objects: two) overlapping clearly later on."""
    first, second = np.triu_indices(len(center), 1)
    gap = np.linalg.norm(center[first] - center[second], axis=-1) / (radius[first] + radius[second])[:, None]
    return bool((gap[:, 0] > 1.0).all() and (gap.min(1) < 0.6).sum() >= (1 if len(center) < 4 else 2))


def reversal_match(tracks: Tracks) -> float:
    """How well true tracks match their own reversal, in [-1, 1]: best cosine match of moving tracks, both ways.

    Steps are weighted by visibility; a track is moving if it leaves its start by over 2% of the frame's diagonal.
    Even with the best match over all tracks, and not only a point's own, a clear reference is close to -1.
    Source: Yatim et al., arXiv:2311.17009, Section 5.1, restricted to moving tracks.
    """
    away = np.linalg.norm(tracks.points - tracks.points[:, :1], axis=-1) * tracks.visible
    kept = (away.max(1) > 0.02 * np.hypot(HEIGHT, WIDTH)) & (tracks.visible.mean(1) >= 0.5)
    velocity = np.diff(tracks.points[kept], axis=1)
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
    unit = velocity / np.maximum(speed, 1e-6)
    seen = (tracks.visible[kept][:, 1:] & tracks.visible[kept][:, :-1]).astype(np.float32)
    if not len(unit):
        return 1.0
    cosine = np.einsum("nt,mt,ntd,mtd->nm", seen, seen[:, ::-1], unit, -unit[:, ::-1])
    match = cosine / np.maximum(np.einsum("nt,mt->nm", seen, seen[:, ::-1]), 1e-6)
    return float((match.max(0).mean() + match.max(1).mean()) / 2)


def benchmark_references(per_category: int, *, first: int = 1, seed: int = 0) -> list[Truth]:
    """References `first` ... of every category, of the benchmark's families."""
    return [
        draw_reference("benchmark", category, index, seed)
        for category in CATEGORIES
        for index in range(first, first + per_category)
    ]


def tuning_references(per_category: int, seed: int = 0) -> list[tuple[Clip, Truth]]:
    """Clips with their truth for choosing hyper-parameters: families and seeds of no split and of no training clip.

    `motionbench data build tuning --out DIR` writes the first ten of each category as a split.
    """
    references = []
    for category in CATEGORIES:
        for index in range(1, per_category + 1):
            truth = draw_reference("tuning", category, index, seed)
            references.append((render_truth(truth, truth.scene, truth.subjects, truth.seed), truth))
    return references


def other_subjects(truth: Truth, rng: np.random.Generator) -> tuple[Subject, ...]:
    """Other subjects for the same motion, each of another kind than its counterpart and of colors that the reference
    lacks; of five objects, which leave too few colors, each of another color than its counterpart."""
    kinds = FIGURES if truth.category == "human" else OBJECT_SHAPES
    taken = {s.color for s in truth.subjects}
    enough = len(COLORS) >= 2 * len(taken)
    while True:
        subjects = draw_subjects(rng, np.array([len(truth.subjects)]), kinds)[0]
        if all(
            a.kind != b.kind and a.color not in (taken if enough else {b.color})
            for a, b in zip(subjects, truth.subjects, strict=True)
        ):
            return tuple(subjects)
