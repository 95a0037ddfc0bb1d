"""What `eval` and `score` share: scoring a run with its controls, and publishing the summary."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import typer

from motionbench import registry
from motionbench.commands.output import print_json
from motionbench.controls import control_stores
from motionbench.errors import StoreError
from motionbench.footage import AUTO, told_footage, tracker_for
from motionbench.metric import MetricInfo
from motionbench.progress import Bars
from motionbench.record import Record
from motionbench.scorer import DEFAULT_METRICS, ScorePlan, ScoreResult, metric_infos, score
from motionbench.split import Split, read_split
from motionbench.store import ResultStore
from motionbench.summary import Attempts, failure, summary_to_json
from motionbench.table import print_summary


def to_metrics(names: Sequence[str] | None) -> tuple[str, ...]:
    """Metric names from `--metrics a,b --metrics c`; `all` is every installed one. Raises UnknownNameError."""
    words = [word.strip() for name in names or [] for word in name.split(",") if word.strip()]
    if words == ["all"]:
        return tuple(registry.names("metrics"))
    return tuple(dict.fromkeys(registry.resolve("metrics", word) for word in words)) or DEFAULT_METRICS


def to_tracker(name: str, split: Split) -> str:
    """The tracker that `--tracker` names. Says on stderr what `auto` is on this split. Raises UnknownNameError."""
    tracker = tracker_for(name, split)
    if registry.canonical(name) == AUTO:
        typer.echo(f"tracker: {tracker} (the references of {split.name} are {told_footage(split)})", err=True)
    return tracker


def results_split(store: ResultStore) -> Split:
    """The split that a run was made for. Raises ManifestError, UnknownNameError, StoreError."""
    return read_split(store.read_run()["selection"]["split"])


def open_results(folder: Path) -> ResultStore:
    """The results folder of an earlier run. Raises StoreError if it is none."""
    if not (folder / "run.json").is_file():
        raise StoreError(
            f"{folder} is no results folder: it holds no run.json; `motionbench run --out {folder}` makes one"
        )
    return ResultStore(folder)


def score_all(store: ResultStore, plan: ScorePlan, keys: Collection[str] | None = None) -> ScoreResult:
    """Scores a run and the controls beside it, or only the records of these keys. The result is the run's own.

    What a control lacks shows as a missing floor or ceiling.
    """
    split = results_split(store)
    stores = {"scoring": store, **{f"scoring {name}": control for name, control in control_stores(store).items()}}
    results = []
    for title, member in stores.items():
        with Bars(title) as bars:
            results.append(score(member, split, plan, keys=keys, report=bars.counted))
    return results[0]


def publish(store: ResultStore, plan: ScorePlan, result: ScoreResult, *, as_json: bool) -> int:
    """Writes `summary.json`, prints it, lists what failed on stderr, and returns the exit code."""
    infos = _infos(store, plan)
    attempts = Attempts.read(store, infos)
    controls = {name: Attempts.read(control, infos) for name, control in control_stores(store).items()}
    store.write_summary(summary_to_json(store.read_run(), attempts, controls, infos))
    summary = store.read_summary() or {}
    if as_json:
        print_json({"results": str(store.folder), **summary})
    else:
        print_summary(summary)
    failed = [record for record in attempts.records if record.status == "failed"]
    list_failures(failed)
    for case, metric, note in result.errors:
        typer.echo(f"not scored: {case} {metric}: {note}", err=True)
    for metric, why in result.unavailable.items():
        typer.echo(f"not available: {metric}: {why}", err=True)
    return 1 if failed or result.errors or result.unavailable else 0


def _infos(store: ResultStore, plan: ScorePlan) -> dict[str, MetricInfo]:
    """The plan's metrics, then the others that the folder holds scores of: a summary forgets nothing."""
    scored = {score.metric for score in store.scores()} & set(registry.names("metrics"))
    return metric_infos([*plan.metrics, *sorted(scored - set(plan.metrics))])


def list_failures(failed: Sequence[Record]) -> None:
    """One line on stderr for each failed attempt."""
    for record in failed:
        typer.echo(f"failed: {record.case_id} seed {record.seed}: {record.reason}: {record.error}", err=True)


def failures_to_json(failed: Sequence[Record]) -> list[dict[str, Any]]:
    """Failed attempts as JSON."""
    return [failure(record) for record in failed]
