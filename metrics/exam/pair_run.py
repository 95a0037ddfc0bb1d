"""The exam on pairs: does an output recognize its own reference among others, and forwards from backwards?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from motionbench.clip import Clip
from motionbench.pair import to_shape

from .pair_list import Pair, Survey
from .plan import Answer
from .real_run import Question, RealPlan, RealRun, Report

OWN, REVERSED, OTHER = "own", "reversed", "other"


def run_pairs(
    plan: RealPlan, survey: Survey, folder: Path, out: Path, report: Report = lambda done, total: None
) -> list[Answer]:
    """Asks about every pair of a survey what is not answered in `out` yet; folder: where the manifest's paths begin."""
    run = RealRun(plan, out)
    pairs = _chosen(survey.pairs, plan)
    for done, pair in enumerate(pairs):
        report(done, len(pairs))
        for question in pair_questions(survey, pair, folder):
            run.ask(question)
    report(len(pairs), len(pairs))
    return run.answers()


def pair_questions(survey: Survey, pair: Pair, folder: Path) -> Iterator[Question]:
    """The output against its own reference, that backwards, and those of others; all at the own reference's shape."""
    shape = survey.shapes[pair.reference]
    clips: dict[str, Clip] = {}

    def read(name: str) -> Clip:
        if name not in clips:
            clips[name] = to_shape(Clip.read(folder / name), *shape)
        return clips[name]

    def show(name: str, *, backwards: bool = False) -> Callable[[], tuple[Clip, Clip]]:
        def pair_of_clips() -> tuple[Clip, Clip]:
            reference = read(name)
            return read(pair.generated), played_backwards(reference) if backwards else reference

        return pair_of_clips

    yield Question(pair.id, pair.category, OWN, 0.0, show(pair.reference))
    yield Question(pair.id, pair.category, REVERSED, 0.0, show(pair.reference, backwards=True))
    for name in survey.opponents(pair):
        yield Question(pair.id, pair.category, f"{OTHER} {name}", 0.0, show(name))


def played_backwards(clip: Clip) -> Clip:
    return clip.with_frames(clip.frames[::-1].copy())


def _chosen(pairs: Sequence[Pair], plan: RealPlan) -> list[Pair]:
    """The pairs of the first `limit` groups of each category, and of those the shard's part."""
    groups: dict[str, dict[str, None]] = defaultdict(dict)
    for pair in pairs:
        groups[pair.category].setdefault(pair.group)
    wanted = {(category, group) for category, members in groups.items() for group in list(members)[: plan.limit]}
    kept = [pair for pair in pairs if (pair.category, pair.group) in wanted]
    return [pair for i, pair in enumerate(kept) if i % plan.shard[1] == plan.shard[0] - 1]
