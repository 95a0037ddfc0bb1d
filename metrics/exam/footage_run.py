"""The exam on real footage: clips made over so that the right answer is known without ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from motionbench.clip import Clip
from motionbench.errors import ManifestError, MotionBenchError
from motionbench.pair import ScoringShape, to_shape

from . import looks
from .plan import Answer
from .real_run import Question, RealPlan, RealRun, Report

# Enough time for a motion to unfold, and few enough pixels for two dozen versions of a clip.
FOOTAGE_SHAPE = ScoringShape(frames=24, long_side=512)
_KINDS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
LOOK, CONTROL = "look", "control"


def read_footage(folder: Path) -> tuple[list[Path], list[str]]:
    """The clips of a folder by name, and what is left out and why: unreadable, one frame, the same clip twice.

    Raises ManifestError if nothing is left.
    """
    paths = sorted(p for p in folder.glob("*") if p.is_file() and p.suffix.lower() in _KINDS)
    kept: dict[str, Path] = {}
    left_out = []
    for path in paths:
        try:
            clip = Clip.read(path)
        except MotionBenchError as error:
            left_out.append(f"{path.name}: cannot be read ({error})")
            continue
        if len(clip) < 2:
            left_out.append(f"{path.name}: has one frame, and one frame has no motion")
        elif clip.sha256 in kept:
            left_out.append(f"{path.name}: the same clip as {kept[clip.sha256].name}")
        else:
            kept[clip.sha256] = path
    if not kept:
        why = "; ".join(left_out) or f"it has no file that ends in {', '.join(_KINDS)}"
        raise ManifestError(f"{folder} holds no clip to examine metrics with: {why}")
    return list(kept.values()), left_out


def run_footage(
    plan: RealPlan, paths: Sequence[Path], out: Path, report: Report = lambda done, total: None
) -> list[Answer]:
    """Asks about every clip what is not answered in `out` yet."""
    run = RealRun(plan, out)
    chosen = [p for i, p in enumerate(paths[: plan.limit]) if i % plan.shard[1] == plan.shard[0] - 1]
    for done, path in enumerate(chosen):
        report(done, len(chosen))
        for question in footage_questions(path):
            run.ask(question)
    report(len(chosen), len(chosen))
    return run.answers()


def footage_questions(path: Path) -> Iterator[Question]:
    """Looks that keep the motion, faults by degrees, and controls; the reference is the clip as it is."""
    clips: list[Clip] = []

    def reference() -> Clip:
        if not clips:
            clip = Clip.read(path)
            clips.append(to_shape(clip, *FOOTAGE_SHAPE.of(clip)))
        return clips[0]

    def show(edit: Callable[[looks.Frames], looks.Frames]) -> tuple[Clip, Clip]:
        return looks.made_over(reference(), edit), reference()

    for name, look in looks.LOOKS.items():
        yield Question(path.name, "", f"{LOOK} {name}", 0.0, partial(show, look))
    for name, control in looks.CONTROLS.items():
        yield Question(path.name, "", f"{CONTROL} {name}", 0.0, partial(show, control))
    for corruption in looks.CORRUPTIONS:
        for strength in corruption.strengths:
            spoil = looks.spoiler(corruption.name, strength)
            yield Question(path.name, "", corruption.name, strength, partial(show, spoil))
