"""Scoring spread over a Ray cluster: records go out with their clips, scores come back, as CPU tasks beside GPU ones.

An actor computes in one thread and keeps its metrics; the records of one reference go to one actor, so that the
reference's tracks are computed once. Only this process writes scores.
"""

from __future__ import annotations

import logging
import platform
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from motionbench.case import Case
from motionbench.errors import MotionBenchError, StoreError
from motionbench.files import scratch_folder, write_files
from motionbench.inputs import SPLIT, gather, split_files
from motionbench.metric import MetricRuntime
from motionbench.outcome import Files
from motionbench.pace import Pace
from motionbench.pair import SHAPE
from motionbench.ray_cluster import Share
from motionbench.ray_engine import actor_maker
from motionbench.ray_node import Reply
from motionbench.ray_pool import Pool
from motionbench.record import Record, Score
from motionbench.record_scorer import Clips, score_record
from motionbench.scorer import ScoreJob, ScorePlan, ScoreResult, Take, ready_metrics
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache

logger = logging.getLogger(__name__)

RETRIES = 2  # how often an order is begun again whose actor was lost
AT_MOST = 12  # records of an order: few enough that a lost one costs little


Todo = tuple[tuple[Record, Case, tuple[str, ...]], ...]


@dataclass(frozen=True)
class ScoreOrder:
    """Records of one reference, each with the metrics that it lacks."""

    todo: Todo
    restarts: int = 0

    @property
    def name(self) -> str:
        """For lines for people."""
        first, last = self.todo[0][0], self.todo[-1][0]
        return f"scoring of {first.case_id} seed {first.seed} to {last.case_id} seed {last.seed}"


class RemoteScorer:
    """A scorer in a process of its own on a node; an actor in Ray's words."""

    def __init__(self, plan: ScorePlan, split: Split, world: str | None, results: str) -> None:
        self.split, self.results = split, results
        self.tracks = TrackCache(plan.tracker, device=plan.device, grid=SHAPE.grid)
        result = ScoreResult()
        self.metrics = ready_metrics(plan.metrics, MetricRuntime(plan.device, world), result)
        self.missing = result.unavailable

    def hello(self) -> str:
        """The node's name, once the scorer is ready."""
        return platform.node()

    def work(self, order: ScoreOrder, videos: Files, references: Files) -> Iterator[Reply]:
        """The scores of each record as soon as they are there."""
        if self.missing:
            why = "; ".join(f"{name}: {text}" for name, text in self.missing.items())
            yield "refused", MotionBenchError(f"node {platform.node()} cannot score as this machine can: {why}")
            return
        try:
            with scratch_folder() as folder:
                write_files(folder / "results", videos)
                write_files(folder / SPLIT, references)
                clips = Clips(ResultStore(folder / "results"), replace(self.split, root=folder / SPLIT))
                for record, case, names in order.todo:
                    wanted = [self.metrics[name] for name in names]
                    scores = list(score_record(record, case, wanted, clips, self.tracks))
                    yield "scores", (record, [self._as_asked(score, str(folder)) for score in scores])
        except MotionBenchError as error:
            yield "refused", type(error)(f"node {platform.node()}: {error}")

    def _as_asked(self, score: Score, folder: str) -> Score:
        """A score whose note names files as they lie on the user's machine."""
        note = score.note.replace(f"{folder}/{SPLIT}", str(self.split.root)).replace(f"{folder}/results", self.results)
        return score if note == score.note else replace(score, note=note)


def score_with_ray(ray: Any, job: ScoreJob, take: Take) -> None:
    """Scores all records of a job on the nodes of a cluster. Raises MotionBenchError, and what `take` raises."""
    if not job.todo:
        return
    plan = replace(job.plan, metrics=tuple(sorted({name for _, _, names in job.todo for name in names})))
    bare = replace(job.split, cases=())  # what a node needs of it is its name and root
    arguments = (plan, bare, job.world, str(job.store.folder))
    share = Share(1)
    Pool(ray, actor_maker(ray, RemoteScorer, share, *arguments), share, None, ScoreWork(job, take)).run()


class ScoreWork:
    """The records to score as a pool of actors sees them."""

    def __init__(self, job: ScoreJob, take: Take) -> None:
        self.store, self.split, self.take = job.store, job.split, take
        self.pace = Pace(len(job.todo))
        self._waiting = deque(orders_of(job.todo))
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> ScoreOrder | None:
        """The next order."""
        if not self._waiting:
            return None
        order = self._waiting.popleft()
        self.pace.begin(order.name)
        return order

    def arguments(self, order: ScoreOrder) -> tuple[ScoreOrder, Files, Files]:
        """The order, its videos, and its reference with what lies beside it."""
        videos = {}
        for record, _, _ in order.todo:
            path = None if record.video is None else self.store.inside(record.video)
            if path is not None and path.is_file():  # else its score says what is amiss
                videos[str(record.video)] = path.read_bytes()
        cases = [case for _, case, _ in order.todo]
        files = gather({SPLIT: self.split.root}, split_files(self.split, cases))
        return order, videos, files.get(SPLIT, {})

    def hear(self, kind: str, value: Any) -> None:
        """Takes the scores of a record. Raises MotionBenchError where a node refuses."""
        if kind == "refused":
            raise value
        record, scores = value
        self._taken.add(record.key)
        self.take(record, scores)
        self.pace.step()

    def done(self, order: ScoreOrder) -> None:
        """All of an order is scored."""
        self.pace.end(order.name)

    def lost(self, order: ScoreOrder, why: str) -> None:
        """What did not come back is begun again, so many times. Raises StoreError after that."""
        self.pace.forget(order.name)
        left = tuple(item for item in order.todo if item[0].key not in self._taken)
        if not left:
            return
        if order.restarts >= RETRIES:
            raise StoreError(f"{order.name}: its worker {why}, {RETRIES + 1} times; the same command goes on")
        logger.warning("%s: its worker %s; it is begun again", order.name, why)
        self._waiting.append(ScoreOrder(left, order.restarts + 1))


def orders_of(todo: Todo) -> Iterator[ScoreOrder]:
    """Records by reference, in orders of few."""
    ordered = sorted(todo, key=lambda item: (item[1].reference_id, item[0].seed, item[0].case_id))
    for _, group in groupby(ordered, key=lambda item: item[1].reference_id):
        items = list(group)
        yield from (ScoreOrder(tuple(items[start : start + AT_MOST])) for start in range(0, len(items), AT_MOST))
