"""The examiner: every tracker and metric is asked about each pair of stimuli."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from motionbench import registry
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.errors import MotionBenchError
from motionbench.footage import world_of
from motionbench.metric import Measurement, Metric, MetricRuntime
from motionbench.pair import measure, to_sample
from motionbench.split import Split
from motionbench.track_cache import TrackCache
from motionbench.tracks import Tracks
from motionbench.world import CorruptingWorld

from ..track_windows import window_tracks
from .plan import TRUTH, Answer, ExamPlan
from .stimuli import Pair, Stimuli, grid_of

logger = logging.getLogger(__name__)


class TrackerView:
    """One tracker's eyes: its label, and how it sees the clips of a pair. used: tracks were asked for."""

    def __init__(self, tracker: str, device: str, *, decoded: bool) -> None:
        self.tracker, self.device, self.used = tracker, device, False
        self._caches: dict[int, TrackCache] = {}
        name = TRUTH if tracker == TRUTH else self._cache(1).label
        self.label = name + (", decoded" if decoded else "")

    def at(self, pair: Pair, grid: int) -> Callable[[Clip], Tracks]:
        """Clip -> tracks for a pair of clips."""
        # The generated clip last: a perfect copy is one clip with one set of tracks.
        true: dict[str, Tracks] = {}
        for shown in reversed(pair) if self.tracker == TRUTH else ():
            true.update(window_tracks(shown.clip, shown.true))

        def view(clip: Clip) -> Tracks:
            self.used = True
            return true[clip.sha256] if self.tracker == TRUTH else self._cache(grid)(clip)

        return view

    def _cache(self, grid: int) -> TrackCache:
        if grid not in self._caches:
            self._caches[grid] = TrackCache(self.tracker, device=self.device, grid=grid)
        return self._caches[grid]


class Examiner:
    """The metrics, the trackers and the world of one exam."""

    def __init__(self, plan: ExamPlan, split: Split, world: CorruptingWorld) -> None:
        self.plan = plan
        self.metrics = ready_metrics(plan.metrics, MetricRuntime(plan.device, world_of(split)))
        self.views = [TrackerView(name, plan.device, decoded=plan.decoded) for name in plan.trackers]
        self.stimuli = Stimuli(plan, split, world)

    def examine(self, case: Case, known: set[tuple[Any, ...]]) -> Iterator[Answer]:
        """The answers about one reference that are not known yet."""
        perfect: dict[tuple[str, str], Measurement] = {}  # strength 0 is one clip, whatever the corruption
        for question, strength, show in self.stimuli.questions(case):
            asked = [
                (view, metric)
                for view in self.views
                for metric in self.metrics
                if (case.reference_id, view.label, question, strength, metric.info.name, metric.info.version)
                not in known
            ]
            again = self.stimuli.is_corruption(question) and strength == 0
            held = perfect if again else {}
            if any((view.label, metric.info.name) not in held for view, metric in asked):
                self._measure(case, show(), grid_of(question, self.plan.grid), asked, held)
            for view, metric in asked:
                measured, info = held[view.label, metric.info.name], metric.info
                yield Answer(
                    case.reference_id, case.category.value, view.label, question, strength,
                    info.name, info.version, measured.value, measured.note,
                )  # fmt: skip

    def _measure(
        self,
        case: Case,
        pair: Pair,
        grid: int,
        asked: Sequence[tuple[TrackerView, Metric]],
        known: dict[tuple[str, str], Measurement],
    ) -> None:
        """Adds what is not held. A metric that asks one tracker for nothing asks none: its value stands for all."""
        trackless: dict[str, Measurement] = {}
        generated, reference = (shown.clip for shown in pair)
        facts = {"prompt": case.prompt, "caption": case.caption, "case_id": case.id, "category": case.category.value}
        for view, metric in asked:
            name = metric.info.name
            if (view.label, name) in known:
                continue
            if name not in trackless:
                view.used = False
                eyes = view.at(pair, grid)
                measured = measure(metric, to_sample(generated, reference, eyes, **facts))
                if not view.used:
                    trackless[name] = measured
            else:
                measured = trackless[name]
            known[view.label, name] = measured


def ready_metrics(names: Sequence[str], runtime: MetricRuntime) -> list[Metric]:
    """The metrics that can be made ready here; the others are named in the log with what they lack."""
    ready: list[Metric] = []
    for name in names:
        try:
            ready.append(registry.load("metrics", name).create(runtime))
        except MotionBenchError as error:
            logger.warning("metric %s does not sit the exam: %s", name, error)
    return ready
