"""Building the rendered splits `mini` and `lite`: clips, ground truth, prompts, manifest and card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.errors import UnknownNameError, VideoError
from motionbench.files import file_sha256, write_atomically
from motionbench.manifest import MANIFEST, parse_manifest, write_manifest
from motionbench.seeds import derive_seed
from motionbench.video import encode_clip, read_clip

from .split_card import write_card
from .world.procedural import SOURCE
from .world.references import CATEGORIES, draw_reference, other_subjects, write_content_caption
from .world.rendering import FRAMES
from .world.scenes import SCENE_NAMES
from .world.truth import Truth, read_truth, render_truth, truth_path, write_truth

LICENSE = "CC0-1.0"
CRF = 10


@dataclass(frozen=True)
class Recipe:
    """What a rendered split holds: the numbers of its references in every category, and the prompt levels of each.

    purpose: `benchmark`; `tuning`: for choosing hyper-parameters; `crowd`: of many objects. Only the first are shipped.
    """

    name: str
    references: tuple[int, ...]
    levels: tuple[Level, ...]
    purpose: str = "benchmark"
    categories: tuple[str, ...] = CATEGORIES


# The numbers are names, never reused: those of `mini` are far from those that `lite` may grow to.
RECIPES = {
    "mini": Recipe("mini", (101,), (Level.SCENE,)),
    "lite": Recipe("lite", tuple(range(1, 11)), (Level.CAPTION, Level.SUBJECT, Level.SCENE)),
    "tuning": Recipe("tuning", tuple(range(1, 11)), (Level.SCENE,), "tuning"),
    "crowd": Recipe("crowd", tuple(range(1, 10)), (Level.SCENE,), "crowd", ("multi_object",)),
}


def recipe_of(name: str) -> Recipe:
    """The recipe of a rendered split. Raises UnknownNameError."""
    if name not in RECIPES:
        raise UnknownNameError(f"no recipe for split {name!r}; `motionbench data build` makes: {', '.join(RECIPES)}")
    return RECIPES[name]


def write_prompt(truth: Truth, level: Level) -> str:
    """The prompt of a reference at a level: its caption, with other subjects, or with other subjects in another scene.

    It says nothing of the motion but `moving` (`moves` of a camera), as the caption does.
    """
    if level is Level.CAPTION:
        return truth.caption
    rng = np.random.default_rng(derive_seed(truth.seed, "prompt", level.value))
    subjects = other_subjects(truth, rng)
    scene = truth.scene
    if level is Level.SCENE:
        scene = rng.choice([name for name in SCENE_NAMES if name != scene])
    return write_content_caption(truth.category, str(scene), subjects)


def build_split(
    name: str, folder: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Case, ...]:
    """Write the split to `folder` and return its cases; the same content everywhere, and nothing else is touched.

    A video that is there and decodes to the same frames is kept, since another build of the encoder may write other
    bytes for them. Raises UnknownNameError, StoreError (full disk, no permission).
    """
    recipe = recipe_of(name)
    wanted = [(category, number) for category in recipe.categories for number in recipe.references]
    cases: list[Case] = []
    truths: list[Truth] = []
    for done, (category, number) in enumerate(wanted):
        report(done, len(wanted))
        truth = draw_reference(recipe.purpose, category, number)
        path = folder / "references" / f"{truth.name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        clip = render_truth(truth, truth.scene, truth.subjects, truth.seed)
        write_video(path, clip)
        write_truth(truth_path(path), truth)
        cases += reference_cases(recipe, truth, path.relative_to(folder).as_posix(), file_sha256(path))
        truths.append(truth)
    report(len(wanted), len(wanted))
    write_card(folder / "README.md", name, cases, truths)
    write_manifest(folder / MANIFEST, cases)  # last: a split with a manifest is whole
    return tuple(cases)


def reference_cases(recipe: Recipe, truth: Truth, reference: str, sha256: str) -> list[Case]:
    """The cases of one reference, a level each; `n` in their ids is the level's number in `Level`."""
    return [
        Case(
            id=f"{truth.name}/{list(Level).index(level)}",
            category=Category(truth.category),
            reference=reference,
            sha256=sha256,
            caption=truth.caption,
            prompt=write_prompt(truth, level),
            level=level,
            license=LICENSE,
            source=SOURCE,
            tags=("rendered", truth.family),
        )
        for level in recipe.levels
    ]


def write_video(path: Path, clip: Clip) -> None:
    """Write the clip as H.264, unless the file there already decodes to the very frames that writing it would give."""
    data = encode_clip(clip, crf=CRF)
    if path.is_file() and path.read_bytes() != data and decodes_like(path, data):
        return
    write_atomically(path, data)


def decodes_like(path: Path, data: bytes) -> bool:
    """Whether the video at `path` and the video in `data` have the same frames; False if `path` is no video."""
    beside = path.with_suffix(".new.mp4")
    write_atomically(beside, data)
    try:
        return bool(np.array_equal(read_clip(path).frames, read_clip(beside).frames))
    except VideoError:
        return False
    finally:
        beside.unlink(missing_ok=True)


def rebuild_differences(name: str, folder: Path) -> list[str]:
    """What in the split at `folder` differs from what its recipe makes here and now; [] if nothing.

    Compared are the manifest without its checksums, every decoded frame, and every array of ground truth.
    """
    differences = []
    with TemporaryDirectory() as scratch:
        fresh = build_split(name, Path(scratch))
        committed = parse_manifest(folder / MANIFEST)
        if [strip(case) for case in committed] != [strip(case) for case in fresh]:
            differences.append(f"{folder / MANIFEST}: cases differ from the recipe's")
        for reference in sorted({case.reference for case in fresh}):
            differences += _reference_differences(folder / reference, Path(scratch) / reference)
    return differences


def strip(case: Case) -> Case:
    """The case without its checksum, which belongs to one build of the encoder."""
    return replace(case, sha256="")


def _reference_differences(committed: Path, fresh: Path) -> list[str]:
    differences = []
    try:
        if not np.array_equal(read_clip(committed, expected_frames=FRAMES).frames, read_clip(fresh).frames):
            differences.append(f"{committed}: frames differ from the recipe's")
    except VideoError as error:
        differences.append(str(error))
    committed_truth, fresh_truth = truth_path(committed), truth_path(fresh)
    read_truth(committed_truth)
    with np.load(committed_truth, allow_pickle=False) as a, np.load(fresh_truth, allow_pickle=False) as b:
        if a.files != b.files or not all(_alike(a[key], b[key]) for key in a.files):
            differences.append(f"{committed_truth}: ground truth differs from the recipe's")
    return differences


def _alike(a: NDArray[np.generic], b: NDArray[np.generic]) -> bool:
    # Motion is float64 and may differ in its last bits between processors; tracks are rounded and may not.
    if a.dtype == np.float64:
        return bool(a.shape == b.shape and np.allclose(a, b, rtol=0, atol=1e-9))
    return bool(np.array_equal(a, b))
