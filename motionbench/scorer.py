"""Scores what a run has made: every metric on every record, only what is missing. Generates and averages nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from motionbench import registry
from motionbench.case import Case
from motionbench.errors import ManifestError, MotionBenchError, StoreError
from motionbench.footage import AUTO, tracker_for, world_of
from motionbench.metric import Measurement, Metric, MetricInfo, MetricRuntime, model_name
from motionbench.pair import GEOMETRY, SHAPE
from motionbench.record import Record, Score
from motionbench.record_scorer import Clips, score_record, shape_text, to_score, video_label
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache

logger = logging.getLogger(__name__)

# What is measured when `--metrics` is not given: motion (the headline), text, and time with its gap to the reference.
DEFAULT_METRICS = ("motion_fidelity", "text_alignment", "temporal_consistency", "temporal_gap")


Scored = Mapping[tuple[str, str, int], Score]  # by record key, metric and metric version


@dataclass(frozen=True)
class ScorePlan:
    """Which metrics, by which tracker, on which device (resolved); shard: the part of the work of several processes.

    tracker: a plugin's name, or `auto`: the one for the footage of the split (`motionbench.footage`).
    """

    metrics: tuple[str, ...] = DEFAULT_METRICS
    tracker: str = AUTO
    device: str = "cpu"
    shard: tuple[int, int] = (1, 1)


@dataclass
class ScoreResult:
    """What scoring did: `new` scores and `kept` ones.

    errors: (case id, metric, note) of those that an error left without a value.
    unavailable: metric -> why it could not be made ready (missing weights, say); its scores are missing and counted.
    """

    new: int = 0
    kept: int = 0
    errors: list[tuple[str, str, str]] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ScoreJob:
    """What there is to score: records with their cases and the metrics that each lacks, all of which are ready here."""

    store: ResultStore
    split: Split
    plan: ScorePlan
    world: str | None
    metrics: Mapping[str, Metric]
    tracks: TrackCache
    todo: tuple[tuple[Record, Case, tuple[str, ...]], ...]


Take = Callable[[Record, Iterable[Score]], None]  # puts the scores of a record on disk
ScoreEngine = Callable[[ScoreJob, Take], None]


def metric_infos(names: Sequence[str]) -> dict[str, MetricInfo]:
    """Facts about the named metrics, in the order given. Raises UnknownNameError or PluginError."""
    return {info.name: info for info in (registry.load("metrics", name).info for name in names)}


def score(
    store: ResultStore,
    split: Split,
    plan: ScorePlan,
    *,
    keys: Collection[str] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    engine: ScoreEngine | None = None,
) -> ScoreResult:
    """Appends the scores that are missing in a results folder, for the records of these keys (default: all).

    A score is there if record, metric, its version and the geometry (`motionbench.pair`) agree, and tracker and model
    too where the metric used one; one that an error prevented is tried again. Where the right model cannot be had, a
    value by another becomes a null. report(done, total) counts records. engine: who computes; default: this process.
    Raises StoreError, UnknownNameError, PluginError, ManifestError.
    """
    infos = metric_infos(plan.metrics)
    tracks = TrackCache(tracker_for(plan.tracker, split), device=plan.device, grid=SHAPE.grid)
    result = ScoreResult()
    with store.locked("scores", plan.shard):
        records = [r for r in store.records() if r.status == "ok" and (keys is None or r.key in keys)]
        runtime = MetricRuntime(plan.device, world_of(split))
        models = {name: model_name(registry.load("metrics", name), runtime) for name in infos}
        there = {(s.record_key, s.metric, s.metric_version): s for s in store.scores()}
        todo = _missing(records, there, infos, partial(_stands, store, tracks.label, models), result)
        metrics = ready_metrics(sorted({name for _, names in todo for name in names}), runtime, result)
        cases = split.by_id()
        for record, names in todo:
            for gone in _withdrawn(record, [infos[n] for n in names if n not in metrics], there, models, result):
                store.append_score(gone)
        work = [(r, _case(cases, r, split), tuple(n for n in names if n in metrics)) for r, names in todo]
        job = ScoreJob(store, split, plan, runtime.world, metrics, tracks, tuple(item for item in work if item[2]))
        done = 0

        def take(record: Record, scores: Iterable[Score]) -> None:
            nonlocal done
            report(done, len(job.todo))
            for made in scores:
                store.append_score(made)
                result.new += 1
                if "error" in made.details:
                    result.errors.append((record.case_id, made.metric, made.note))
            done += 1

        (engine or score_here)(job, take)
        report(len(job.todo), len(job.todo))
    return result


def score_here(job: ScoreJob, take: Take) -> None:
    """Scores all records of a job in this process."""
    clips = Clips(job.store, job.split)
    for record, case, names in job.todo:
        take(record, score_record(record, case, [job.metrics[name] for name in names], clips, job.tracks))


def _missing(
    records: Iterable[Record],
    there: Scored,
    infos: Mapping[str, MetricInfo],
    stands: Callable[[Record, Score], bool],
    result: ScoreResult,
) -> list[tuple[Record, list[str]]]:
    """The records that lack scores, each with the metrics it lacks."""
    todo = []
    for record in records:
        scores = {name: there.get((record.key, name, info.version)) for name, info in infos.items()}
        names = [name for name, score in scores.items() if score is None or not stands(record, score)]
        result.kept += len(infos) - len(names)
        if names:
            todo.append((record, names))
    return todo


def _stands(store: ResultStore, tracker: str, models: Mapping[str, str | None], record: Record, score: Score) -> bool:
    """Whether a score need not be made again: no error, and video, tracker, model and geometry of today."""
    details = score.details
    agree = details.get("tracker", tracker) == tracker and details.get("video", video_label(record)) == video_label(
        record
    )
    if "error" in details or not agree or not _by_model(score, models[score.metric]):
        return False
    if details.get("geometry") == GEOMETRY:
        return True
    # Without one it is of the first geometry, which differs only for clips that had to be brought to another shape.
    shape = store.video_shape(record)
    return shape is None or shape_text(shape) == details.get("scored_at")


def _by_model(score: Score, model: str | None) -> bool:
    """Whether a score is by the model of that name (whatever its weights: new ones are a new version of the metric)."""
    label = str(score.details.get("model", ""))
    return model is None or not label or label.rpartition(" ")[0] == model


def _withdrawn(
    record: Record,
    infos: Sequence[MetricInfo],
    there: Scored,
    models: Mapping[str, str | None],
    result: ScoreResult,
) -> Iterator[Score]:
    """Nulls in place of what another model said of a record, for metrics whose own model cannot be had."""
    for info in infos:
        score = there.get((record.key, info.name, info.version))
        if score is not None and score.value is not None and not _by_model(score, models[info.name]):
            why = Measurement(None, result.unavailable[info.name], {"error": "unavailable"})
            yield to_score(record, info, why, 0.0, {})


def ready_metrics(names: Sequence[str], runtime: MetricRuntime, result: ScoreResult) -> dict[str, Metric]:
    """The metrics that can be had here, ready to measure; why others cannot goes into the result."""
    metrics: dict[str, Metric] = {}
    for name in names:
        try:
            metrics[name] = registry.load("metrics", name).create(runtime)
        except MotionBenchError as error:
            result.unavailable[name] = str(error)
            logger.warning("metric %s is left out: %s", name, error)
    return metrics


def _case(cases: Mapping[str, Case], record: Record, split: Split) -> Case:
    if record.split_revision != split.revision:
        raise StoreError(
            f"record {record.case_id} was made for {record.split} revision {record.split_revision}, "
            f"but {split.name} here is revision {split.revision}; score it with the split it was made for"
        )
    try:
        return cases[record.case_id]
    except KeyError:
        raise ManifestError(f"split {split.name} has no case {record.case_id}, which the results hold") from None
