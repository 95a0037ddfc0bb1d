"""Scoring one record: its clip beside the reference, every metric on the pair, and the scores that come of it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.errors import MotionBenchError
from motionbench.metric import Measurement, Metric, MetricInfo, Sample
from motionbench.pair import GEOMETRY, View, measure, unmeasured
from motionbench.record import Record, Score
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache


class Clips:
    """The clips of a record, one pair in memory, the reference kept from case to case."""

    def __init__(self, store: ResultStore, split: Split) -> None:
        self.store, self.split = store, split
        self._latest: tuple[tuple[object, ...], View, Clip] | None = None

    def read(self, record: Record, case: Case) -> tuple[Clip, Clip]:
        """(generated, reference) as a pair. Raises VideoError."""
        made = self.store.read_video(record)
        key = (case.reference_id, *made.frames.shape)
        if self._latest is None or self._latest[0] != key:
            whole = self.split.read_reference(case)
            view = View.of(made, whole)
            self._latest = (key, view, view.reference(whole))
        _, view, reference = self._latest
        return view.generated(made), reference


def score_record(
    record: Record, case: Case, metrics: Sequence[Metric], clips: Clips, tracks: TrackCache
) -> Iterator[Score]:
    """One score for each metric; an error that is ours becomes a null with a note."""
    try:
        generated, reference = clips.read(record, case)
    except MotionBenchError as error:
        for metric in metrics:
            yield to_score(record, metric.info, unmeasured(error), 0.0, {})
        return
    sample = Sample(generated, reference, case.prompt, case.caption, case.id, case.category.value, tracks)
    for metric in metrics:
        tracks.used = False
        start = time.perf_counter()
        measured = measure(metric, sample)
        context: dict[str, Any] = {"scored_at": shape_text(generated.frames.shape), "geometry": GEOMETRY}
        context["video"] = video_label(record)
        if tracks.used:
            context["tracker"] = tracks.label
        yield to_score(record, metric.info, measured, time.perf_counter() - start, context)


def to_score(
    record: Record, info: MetricInfo, measured: Measurement, seconds: float, context: Mapping[str, Any]
) -> Score:
    """A measurement as the score of a record; context goes among its details."""
    details = {**measured.details, **context}
    value = None if measured.value is None else float(measured.value)
    return Score(record.key, info.name, info.version, value, measured.note, details, round(seconds, 4))


def video_label(record: Record) -> str:
    """The video that a score is of: a case can be done again, and not every device gives the same bytes again."""
    return (record.video_sha256 or "")[:16]


def shape_text(shape: Sequence[int]) -> str:
    """`17x64x64` of (T, H, W) or (T, H, W, C)."""
    return "x".join(map(str, shape[:3]))
