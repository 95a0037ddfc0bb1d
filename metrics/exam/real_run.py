"""The run of an exam on clips without ground truth: every metric, by every tracker, answers what is asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from motionbench.clip import Clip
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.files import append_line
from motionbench.metric import Measurement, Metric, MetricRuntime
from motionbench.pair import SHAPE, measure, to_sample
from motionbench.track_cache import TrackCache

from .examiner import ready_metrics
from .plan import ANSWERS, TRUTH, Answer, read_answers

logger = logging.getLogger(__name__)

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class RealPlan:
    """An exam on clips without ground truth: every metric by every tracker; shard as in scoring."""

    metrics: tuple[str, ...]
    trackers: tuple[str, ...]
    device: str = "cpu"
    limit: int | None = None
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if TRUTH in self.trackers:
            raise ConfigError("clips without ground truth have no true tracks: choose trackers other than `truth`")


@dataclass(frozen=True)
class Question:
    """One comparison that all metrics are asked to make; show makes (generated, reference) when it is needed."""

    about: str
    category: str
    name: str
    strength: float
    show: Callable[[], tuple[Clip, Clip]]


class RealRun:
    """Asks metrics by trackers about clips without ground truth, and keeps the answers in a folder."""

    def __init__(self, plan: RealPlan, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ANSWERS
        self.known = {answer.key for answer in read_answers(self.path)}
        self.metrics = ready_metrics(plan.metrics, MetricRuntime(plan.device))
        self.eyes = [TrackCache(name, device=plan.device, grid=SHAPE.grid) for name in plan.trackers]

    def ask(self, question: Question) -> None:
        """Appends the answers that are not known yet. A clip that cannot be read is named, and its answers missing."""
        wanted = [
            (eyes, metric)
            for eyes in self.eyes
            for metric in self.metrics
            if self._key(question, eyes, metric) not in self.known
        ]
        if not wanted:
            return
        try:
            generated, reference = question.show()
        except MotionBenchError as error:
            logger.warning("%s, %s: %s", question.about, question.name, error)
            return
        trackless: dict[str, Measurement] = {}  # values of metrics that use no tracks stand for every tracker
        for eyes, metric in wanted:
            measured = trackless.get(metric.info.name)
            if measured is None:
                eyes.used = False
                sample = to_sample(generated, reference, eyes, case_id=question.about, category=question.category)
                measured = measure(metric, sample)
                if not eyes.used:
                    trackless[metric.info.name] = measured
            self._keep(question, eyes, metric, measured)

    def answers(self) -> list[Answer]:
        """All that is there."""
        return read_answers(self.path)

    def _key(self, question: Question, eyes: TrackCache, metric: Metric) -> tuple[Any, ...]:
        info = metric.info
        return question.about, eyes.label, question.name, question.strength, info.name, info.version

    def _keep(self, question: Question, eyes: TrackCache, metric: Metric, measured: Measurement) -> None:
        info = metric.info
        tracks = measured.details.get("tracks")
        answer = Answer(
            question.about, question.category, eyes.label, question.name, question.strength, info.name, info.version,
            measured.value, measured.note, min(tracks) if isinstance(tracks, list) and tracks else None,
        )  # fmt: skip
        append_line(self.path, json.dumps(asdict(answer), allow_nan=False))
