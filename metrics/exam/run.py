"""The metrics' own exam: every metric answers for perfect transfers, their graded corruptions, controls and
conditions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from motionbench import registry
from motionbench.case import Case, Level
from motionbench.errors import ConfigError
from motionbench.split import Split
from motionbench.world import CorruptingWorld

from .examiner import Examiner
from .plan import ANSWERS, Answer, ExamPlan, Half, read_answers


def run_exam(
    plan: ExamPlan, split: Split, folder: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> list[Answer]:
    """Asks what has not been answered yet, appends it to `answers.jsonl` in the folder, and returns all answers there.

    The same command goes on after an interruption. Raises ConfigError if no installed world can corrupt clips.
    """
    world = registry.load("worlds", "procedural")()
    if not isinstance(world, CorruptingWorld):
        raise ConfigError(
            f"world {type(world).__name__} renders no corruptions: the exam needs `corrupt` and `true_tracks`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    known = {answer.key for answer in read_answers(folder / ANSWERS)}
    examiner = Examiner(plan, split, world)
    cases = exam_cases(split, plan)
    with (folder / ANSWERS).open("a", encoding="utf-8") as file:
        if file.tell() and not (folder / ANSWERS).read_bytes().endswith(b"\n"):
            file.write("\n")
        for done, case in enumerate(cases):
            report(done, len(cases))
            for answer in examiner.examine(case, known):
                file.write(json.dumps(asdict(answer), allow_nan=False) + "\n")
                file.flush()
    report(len(cases), len(cases))
    return read_answers(folder / ANSWERS)


def exam_cases(split: Split, plan: ExamPlan) -> list[Case]:
    """One case a reference, at the level `scene` where there is one, of the wanted half and shard."""
    chosen: dict[str, Case] = {}
    for case in split.select(plan.categories, None):
        first = chosen.get(case.reference_id)
        if first is None or (first.level is not Level.SCENE and case.level is Level.SCENE):
            chosen[case.reference_id] = case
    kept: list[Case] = []
    for category in sorted({case.category for case in chosen.values()}):
        of_category = [c for k, c in sorted(chosen.items()) if c.category == category and _in_half(k, plan.half)]
        kept += of_category[: plan.limit]
    return [case for i, case in enumerate(kept) if i % plan.shard[1] == plan.shard[0] - 1]


def _in_half(reference_id: str, half: Half) -> bool:
    odd = int(reference_id.rsplit("/", 1)[1]) % 2 == 1
    return half == "all" or odd == (half == "tune")
