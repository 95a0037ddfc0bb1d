"""The main job and its two halves: generate, score, summarize. What the commands print, Python gets as `Results`."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from motionbench import registry
from motionbench.controls import control_stores, run_controls, to_controls
from motionbench.device import resolve_device
from motionbench.files import hash_json
from motionbench.footage import AUTO, footage_to_text, tracker_for
from motionbench.job import Job, resolve
from motionbench.metric import MetricInfo
from motionbench.plan import RunPlan, check_engine
from motionbench.progress import Bars
from motionbench.ray_cluster import connected
from motionbench.ray_scoring import score_with_ray
from motionbench.results import Results, open_results
from motionbench.runner import run
from motionbench.scorer import DEFAULT_METRICS, ScorePlan, ScoreResult, metric_infos
from motionbench.scorer import score as score_records
from motionbench.split import Split
from motionbench.split_location import find_split
from motionbench.store import ResultStore
from motionbench.summary import Attempts, make_summary

logger = logging.getLogger(__name__)

Names = str | Sequence[str] | None


def evaluate(
    method: str | RunPlan = "followyourmotion",
    *,
    metrics: Names = None,
    tracker: str = AUTO,
    controls: Names = None,
    out: str | Path | None = None,
    **options: Any,
) -> Results:
    """Generates, scores and summarizes, with the controls that mark floor and ceiling on the same cases.

    options: the fields of `RunPlan` (split, categories, limit, seeds, backbone, preset, settings, device, …), or
    changes to a plan that is given in place of the method. out: the results folder; where it holds results of the same
    configuration, only what is missing is done. metrics: names, or `all`; default: the headline ones. controls: names,
    or `none`; default: those that the metrics name and that can be had, without a model where the method uses none.
    Raises MotionBenchError if a name or a value is wrong, before anything is computed; a failed attempt is a record.

    Examples:
        >>> import tempfile
        >>> import motionbench as mb
        >>> folder = tempfile.mkdtemp()
        >>> results = mb.evaluate("frozen", categories="camera", metrics="motion_fidelity", tracker="lk", out=folder)
        >>> rows = results.frame().set_index(["metric", "category"])
        >>> float(rows.loc[("motion_fidelity", "all"), "mean"])
        0.0
    """
    plan = to_plan(method, options)
    with connected(plan.engine, plan.address) as ray:
        return _evaluate(plan, metrics, tracker, controls, out, ray)


def _evaluate(
    plan: RunPlan, metrics: Names, tracker: str, controls: Names, out: str | Path | None, ray: Any
) -> Results:
    job = resolve(plan)
    # Metrics and tracker are looked up first: a misspelled name must not cost the minutes of a run.
    device = job.plan.device if ray is None else "cpu"  # on a cluster, beside the GPUs
    scoring = to_score_plan(job.split, metrics, tracker, device, job.plan.shard)
    store = ResultStore(out or default_folder(job))
    chosen = to_controls(controls)
    with Bars(job.plan.method) as bars:
        records = run(job.plan, store, observer=bars).records
    with Bars("controls") as bars:
        marks = run_controls(job.plan, store, metric_infos(scoring.metrics).values(), bars, chosen=chosen)
    scored = score_all(store, job.split, scoring, {record.key for record in (*records, *marks)}, ray)
    return replace(summarize(store, scoring, scored), asked=len({record.case_id for record in records}))


def generate(method: str | RunPlan = "followyourmotion", *, out: str | Path | None = None, **options: Any) -> Results:
    """Generates only; `score` scores the results. Arguments as for `evaluate`."""
    plan = to_plan(method, options)
    with connected(plan.engine, plan.address):
        job = resolve(plan)
        store = ResultStore(out or default_folder(job))
        with Bars(job.plan.method) as bars:
            run(job.plan, store, observer=bars)
    return Results(store.folder)


def score(
    results: Results | str | Path,
    *,
    metrics: Names = None,
    tracker: str = AUTO,
    device: str = "auto",
    split: str | Path | None = None,
    engine: str = "local",
    address: str | None = None,
) -> Results:
    """Scores (again) what is there, controls included, and summarizes it; never generates.

    Only what is missing is computed: new metrics, new versions of a metric, another tracker or model. split: where the
    results' split lies, if it was moved without them. engine, address: as of `RunPlan`; a cluster scores on CPUs.
    Raises StoreError, UnknownNameError, ManifestError.
    """
    store = (results if isinstance(results, Results) else open_results(results)).store
    references = find_split(store, split)
    with connected(check_engine(engine), address) as ray:
        plan = to_score_plan(references, metrics, tracker, device if ray is None else "cpu")
        return summarize(store, plan, score_all(store, references, plan, ray=ray))


def to_plan(method: str | RunPlan, options: dict[str, Any]) -> RunPlan:
    """The plan that arguments stand for. Raises ConfigError; TypeError for an option that RunPlan does not have."""
    return replace(method, **options) if isinstance(method, RunPlan) else RunPlan(method, **options)


def to_score_plan(
    split: Split, metrics: Names, tracker: str, device: str, shard: tuple[int, int] = (1, 1)
) -> ScorePlan:
    """What is measured and by what, every name looked up; logs which tracker `auto` is. Raises UnknownNameError."""
    names = to_metrics(metrics)
    chosen = tracker_for(tracker, split)
    if registry.canonical(tracker) == AUTO:
        logger.info("tracker: %s (the references of %s are %s)", chosen, split.name, footage_to_text(split))
    return ScorePlan(names, chosen, resolve_device(device), shard)


def to_metrics(names: Names) -> tuple[str, ...]:
    """Metric names from words with commas between; `all` is every installed one. Raises UnknownNameError."""
    listed = [names] if isinstance(names, str) else names or []
    words = [word.strip() for name in listed for word in name.split(",") if word.strip()]
    if words == ["all"]:
        return tuple(registry.names("metrics"))
    return tuple(dict.fromkeys(registry.resolve("metrics", word) for word in words)) or DEFAULT_METRICS


def default_folder(job: Job) -> Path:
    """`results/METHOD-SPLIT-HASH`: the hash is of what must agree within a folder, so other settings go elsewhere."""
    return Path("results") / f"{job.plan.method}-{job.split.name}-{hash_json(job.configuration)[:8]}"


def score_all(
    store: ResultStore, split: Split, plan: ScorePlan, keys: Collection[str] | None = None, ray: Any = None
) -> ScoreResult:
    """Scores a run and the controls beside it, or only the records of these keys. The result is the run's own.

    What a control lacks shows as a missing floor or ceiling.
    """
    stores = {"scoring": store, **{f"scoring {name}": control for name, control in control_stores(store).items()}}
    engine = None if ray is None else partial(score_with_ray, ray)
    results = []
    for title, member in stores.items():
        with Bars(title) as bars:
            results.append(score_records(member, split, plan, keys=keys, report=bars.counted, engine=engine))
    return results[0]


def summarize(store: ResultStore, plan: ScorePlan, result: ScoreResult) -> Results:
    """Writes `summary.json` and returns the results, with what scoring did."""
    infos = _infos(store, plan)
    attempts = Attempts.read(store, infos)
    controls = {name: Attempts.read(control, infos) for name, control in control_stores(store).items()}
    store.write_summary(make_summary(store.read_run()["configuration"], attempts, controls, infos))
    return Results(store.folder, result)


def _infos(store: ResultStore, plan: ScorePlan) -> dict[str, MetricInfo]:
    """The plan's metrics, then the others that the folder holds scores of: a summary forgets nothing."""
    scored = {score.metric for score in store.scores()} & set(registry.names("metrics"))
    return metric_infos([*plan.metrics, *sorted(scored - set(plan.metrics))])
