"""A study carried out: each variant a results folder of its own, run, resumed and scored like any other."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from motionbench.case import Unit
from motionbench.controls import control_stores, run_controls
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.files import hash_json
from motionbench.job import resolve
from motionbench.metric import MetricInfo
from motionbench.plan import RunPlan
from motionbench.processes import work_side_by_side
from motionbench.runner import Observer, run
from motionbench.scorer import ScorePlan, ScoreResult, score
from motionbench.split import read_split
from motionbench.store import ResultStore

from .declaration import Study, Variant


class Counter(Protocol):
    """Who is told how far scoring is."""

    def counted(self, done: int, total: int) -> None:
        """`done` of `total` are done."""


@dataclass(frozen=True)
class Task:
    """One reference under one seed of one variant, as a shard of its plan, and the results folder it goes to."""

    plan: RunPlan
    out: Path


def plan_variants(study: Study, **machine: Any) -> dict[str, RunPlan]:
    """The plan of each variant, with every name and setting in it looked up. Raises ConfigError naming the variant.

    machine: fields of `RunPlan` that say where and how it runs (device, dtype, gpu_memory, engine, retry_failed,
    keep_adapters): they are no part of the experiment.
    """
    plans = {}
    for variant in study.variants.values():
        try:
            plans[variant.name] = resolve(_plan(study, variant, machine)).plan
        except MotionBenchError as error:
            raise ConfigError(f"variant {variant.name!r}: {error}") from error
    return plans


def _plan(study: Study, variant: Variant, machine: Mapping[str, Any]) -> RunPlan:
    return RunPlan(
        method=variant.method,
        preset=variant.preset,
        settings=variant.settings,
        backbone=study.backbone,
        split=study.split,
        categories=study.categories,  # type: ignore[arg-type]  # names: the plan converts them
        levels=study.levels,  # type: ignore[arg-type]
        limit=study.limit,
        seeds=study.seeds,
        **machine,
    )


def variant_folders(plans: dict[str, RunPlan], out: Path) -> dict[str, Path]:
    """The results folder of each variant below `out`; variants of one configuration share that of the first.

    A sweep may pass through the baseline's own value: that is one experiment, and is made once.
    """
    first: dict[str, str] = {}
    folders = {}
    for name, plan in plans.items():
        owner = first.setdefault(hash_json([plan.method, plan.config_hash]), name)
        folders[name] = out / owner
    return folders


def to_tasks(plans: dict[str, RunPlan], out: Path) -> list[Task]:
    """Every reference of every variant: all variants on the first one, then all on the second.

    References take turns by category, and a seed is done before the next: wherever a study is cut short, it has the
    same references of every variant, and (but for the last turn) as many of every category.
    """
    folders = variant_folders(plans, out)
    owners = {folder: plans[name] for name, folder in reversed(folders.items())}
    sized = [
        (folder, owners[folder], turns(resolve(owners[folder]).units())) for folder in dict.fromkeys(folders.values())
    ]
    longest = max(len(order) for *_, order in sized)
    return [
        Task(replace(plan, shard=(order[turn] + 1, len(order))), folder)
        for turn in range(longest)
        for folder, plan, order in sized
        if turn < len(order)
    ]


def turns(units: Sequence[Unit]) -> list[int]:
    """The numbers of units, seed by seed, the first reference of each category before the second of any."""
    seen: collections.Counter[tuple[int, str]] = collections.Counter()
    ranks = []
    for unit in units:
        category = unit.cases[0].category
        ranks.append((unit.seed, seen[unit.seed, category], category))
        seen[unit.seed, category] += 1
    return sorted(range(len(units)), key=ranks.__getitem__)


def carry_out(tasks: Sequence[Task], numbers: Iterable[int]) -> None:
    """Puts the references of these numbers on record; several processes may, each its own."""
    for number in numbers:
        run(tasks[number].plan, ResultStore(tasks[number].out))


def run_study(
    plans: dict[str, RunPlan],
    out: Path,
    watch: Callable[[str], AbstractContextManager[Observer]],
    *,
    workers: int = 1,
    seconds: float = float("inf"),
) -> int:
    """Generates what the study lacks; returns how many processes the end of the time cut off.

    One worker: variant after variant in this process. More: processes that take references in turn, killed after
    `seconds`, which costs each the reference it was at; the same call goes on.
    """
    if workers > 1:
        tasks = to_tasks(plans, out)
        plan_of = {task.out: replace(task.plan, shard=(1, 1)) for task in tasks}
        whole = {folder: resolve(plan) for folder, plan in plan_of.items()}
        clips = sum(len(job.cases()) * len(job.plan.seeds) for job in whole.values())
        with watch("clips") as observer:
            on_progress = partial(_tell_progress, list(whole), clips, observer)
            return work_side_by_side(
                partial(carry_out, tasks), len(tasks), workers, seconds=seconds, meanwhile=on_progress
            )
    for name, folder in variant_folders(plans, out).items():
        with watch(name) as observer:
            run(plans[name], ResultStore(folder), observer=observer)
    return 0


def _tell_progress(folders: Sequence[Path], clips: int, observer: Observer) -> None:
    """Says how many of the clips asked for are on record, by counting lines: other processes are writing them."""
    files = [folder / "records.jsonl" for folder in folders]
    lines = sum(file.read_bytes().count(b"\n") for file in files if file.is_file())
    observer.planned(clips, min(lines, clips))


def run_study_controls(
    study: Study, plans: dict[str, RunPlan], out: Path, infos: Iterable[MetricInfo], observer: Observer
) -> None:
    """Generates floor and ceiling once for all variants, in `out/controls`: no setting of a method moves them."""
    run_controls(replace(plans[study.baseline], engine="local"), ResultStore(out), infos, observer)


def study_stores(plans: dict[str, RunPlan], out: Path) -> dict[str, ResultStore]:
    """The results that are there, by folder name: variants first, then the controls as `controls/NAME`."""
    stores = {folder.name: ResultStore(folder) for folder in variant_folders(plans, out).values()}
    stores |= {f"controls/{name}": store for name, store in control_stores(ResultStore(out)).items()}
    return {name: store for name, store in stores.items() if (store.folder / "run.json").is_file()}


def score_study(
    plans: dict[str, RunPlan], out: Path, plan: ScorePlan, watch: Callable[[str], AbstractContextManager[Counter]]
) -> dict[str, ScoreResult]:
    """Scores what the study has, and only what is missing; folder name -> what that did."""
    split = read_split(next(iter(plans.values())).split)
    results = {}
    for name, store in study_stores(plans, out).items():
        with watch(f"scoring {name}") as counter:
            results[name] = score(store, split, plan, report=counter.counted)
    return results
