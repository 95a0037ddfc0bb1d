"""What a plan still has to do and what that costs, by what fits, clips and scores took before.

Medians of measured seconds; nothing is guessed where nothing was measured. The time that so many workers take is found
by handing the units out as the schedule does, so that the last ones, which leave workers idle, are in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from motionbench.errors import StoreError
from motionbench.files import read_lines
from motionbench.job import Job
from motionbench.runner import done_keys, pending_units
from motionbench.store import ResultStore


@dataclass(frozen=True)
class Costs:
    """Seconds of one fit, of one clip and of one clip's scores on one worker; None where nothing was measured.

    measured: how many clips that rests on.
    """

    fit_seconds: float | None = None
    generate_seconds: float | None = None
    score_seconds: float | None = None
    measured: int = 0


@dataclass(frozen=True)
class Forecast:
    """What a plan asks for, what of it is there, and what is left. hours: of one worker; None if a cost is unknown.

    fits, clips: left to do. wall_hours: with `workers` of them; score_hours: of one CPU.
    """

    clips_planned: int
    clips_there: int
    clips: int
    fits: int
    costs: Costs
    workers: int
    hours: float | None
    wall_hours: float | None
    score_hours: float | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def forecast(job: Job, store: ResultStore, measured: Sequence[Path], workers: int = 1) -> Forecast:
    """What a job still has to do in a results folder, and its cost by earlier runs of the same method and backbone.

    measured: results folders, or JSONL files whose lines hold fit_seconds and generate_seconds; the folder itself is
    one. Raises StoreError, also if the folder belongs to another configuration.
    """
    keys = {job.key(case, unit.seed) for unit in job.units() for case in unit.cases}
    there = set()
    if (store.folder / "run.json").exists():
        store.refuse_other(job.configuration)
        there = done_keys(job, store, keys)
    units = pending_units(job, there)
    kept = sum(store.adapter_folder(unit.reference_id, unit.seed).is_dir() for unit in units)
    costs = costs_of(job, [*measured, *([store.folder] if there else [])])
    clips = sum(len(unit.cases) for unit in units)
    fit, clip = costs.fit_seconds, costs.generate_seconds
    seconds = [] if fit is None or clip is None else [fit + clip * len(unit.cases) for unit in units]
    known = bool(seconds) or not units
    return Forecast(
        clips_planned=len(keys),
        clips_there=len(there),
        clips=clips,
        fits=len(units) - kept if job.keeps_adapters else len(units),
        costs=costs,
        workers=workers,
        hours=sum(seconds) / 3600 if known else None,
        wall_hours=makespan(seconds, workers) / 3600 if known else None,
        score_hours=None if costs.score_seconds is None else costs.score_seconds * clips / 3600,
    )


def costs_of(job: Job, measured: Iterable[Path]) -> Costs:
    """Medians over earlier runs. Raises StoreError for what is neither a results folder nor a file of lines."""
    fits: list[float] = []
    clips: list[float] = []
    scores: list[float] = []
    for place in measured:
        if place.is_file():
            lines = [line for _, line in read_lines(place)]
            fits += [line["fit_seconds"] for line in lines if line.get("fit_seconds") is not None]
            clips += [line["generate_seconds"] for line in lines if line.get("generate_seconds") is not None]
            continue
        store = ResultStore(place)
        run = store.read_run()["configuration"]
        if (run["method"], run["backbone"]) != (job.plan.method, job.backbone):
            raise StoreError(
                f"{place} is a run of {run['method']} on {run['backbone']}, which says nothing of {job.plan.method} on "
                f"{job.backbone}; name another by --measured"
            )
        records = [record for record in store.records() if record.status == "ok"]
        by_fit = {(record.case_id.rpartition("/")[0], record.seed): record.fit_seconds for record in records}
        fits += [seconds for seconds in by_fit.values() if seconds is not None]
        clips += [record.generate_seconds for record in records if record.generate_seconds is not None]
        by_record: dict[str, float] = {}
        for score in store.scores():
            by_record[score.record_key] = by_record.get(score.record_key, 0.0) + score.seconds
        scores += by_record.values()
    fit, clip, score_ = (median(values) if values else None for values in (fits, clips, scores))
    return Costs(fit, clip, score_, measured=len(clips))


def makespan(seconds: Sequence[float], workers: int, start_seconds: float = 0.0) -> float:
    """When the last worker ends if each takes the next unit as soon as it is free, in order.

    start_seconds: that each worker needs first, to start and to load its weights.
    """
    free = [start_seconds] * max(1, min(workers, len(seconds)))
    for each in seconds:
        heapq.heappush(free, heapq.heappop(free) + each)
    return max(free) if seconds else 0.0
