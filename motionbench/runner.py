"""The runner: finds what a plan still lacks, has it done, and says what is on record.

A failure is a record and the run goes on; what is on disk already is not done again. Seeds come from names
(seed, reference or case id, stage), so order, shards and workers change no number.
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from typing import Any

from motionbench.attempt import UNREAD
from motionbench.case import Case, Unit
from motionbench.environment import environment
from motionbench.errors import VideoError
from motionbench.job import Job, resolve
from motionbench.plan import RunPlan
from motionbench.ray_cluster import check_nodes, connected
from motionbench.ray_engine import run_with_ray
from motionbench.record import Reason, Record
from motionbench.schedule import Observer, Schedule, SilentObserver
from motionbench.store import ResultStore
from motionbench.worker import Worker
from motionbench.worker_pool import work_in_processes, worker_count

__all__ = ["Observer", "RunPlan", "RunResult", "SilentObserver", "run"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """What a plan has on record, by case and seed: `planned` attempts, `skipped` of them done by earlier commands."""

    planned: int
    skipped: int
    ok: int
    failed: int
    records: tuple[Record, ...]


def run(plan: RunPlan, store: ResultStore, *, observer: Observer | None = None) -> RunResult:
    """Puts every attempt of a plan on record and returns the records, old and new.

    Raises MotionBenchError if the plan is wrong (unknown name, weights missing, another configuration's folder), before
    any attempt; StoreError if the folder cannot be written. Whatever else goes wrong in an attempt is a failed record.
    """
    observer = observer or SilentObserver()
    with connected(plan.engine, plan.address) as ray:
        return _run(plan, store, observer, ray)


def _run(plan: RunPlan, store: ResultStore, observer: Observer, ray: Any) -> RunResult:
    job = resolve(plan)
    about = environment(job.device) if ray is None else environment("cpu") | {"device": check_nodes(ray, job, store)}
    with store.locked("records", plan.shard):
        run_id = store.begin(job.configuration, job.selection(store.folder), about | job.facts())
        if plan.shard == (1, 1):
            remove_drafts(store)
        keys = {job.key(case, unit.seed) for unit in job.units() for case in unit.cases}
        done = done_keys(job, store, keys)
        pending = pending_units(job, done)
        observer.planned(len(keys), len(done))
        schedule = Schedule(job, store, run_id, pending, observer)
        if pending and ray is not None:
            run_with_ray(ray, schedule)
        elif pending:
            count = worker_count(job, len(pending))
            if count == 1:
                work_here(schedule)
            else:
                work_in_processes(schedule, count)
    records = tuple(record for record in store.records() if record.key in keys)
    failed = sum(record.status == "failed" for record in records)
    return RunResult(len(keys), len(done), len(records) - failed, failed, records)


def work_here(schedule: Schedule) -> None:
    """Puts all of a schedule on record, in this process. Raises MotionBenchError as `Worker.work`, StoreError."""
    worker = Worker(schedule.job, schedule.run_id, schedule.observer.stage)
    while (order := schedule.next()) is not None:
        for outcome in worker.work(order):
            schedule.take(outcome)
            schedule.pace.tell()
        schedule.done(order)


def remove_drafts(store: ResultStore) -> None:
    """Removes what a killed process left unfinished; only safe while no other process writes."""
    for part in ("videos", "adapters"):
        for draft in (store.folder / part).glob("**/.*.tmp"):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)


def done_keys(job: Job, store: ResultStore, keys: set[str]) -> set[str]:
    """The keys that need no attempt: ok with its video in place, or failed, and nothing that was amiss is mended."""
    cases = job.split.by_id()
    done = set()
    for record in store.records():
        if record.key not in keys:
            continue
        if record.status == "failed":
            settled = not (job.plan.retry_failed or is_mended(job, cases[record.case_id], record))
        else:
            settled = store.has_video(record)
            if not settled:
                logger.warning("%s: its video is gone or changed; generating it again", record.case_id)
        if settled:
            done.add(record.key)
    return done


def is_mended(job: Job, case: Case, record: Record) -> bool:
    """Whether a failed attempt is made again unasked: it was interrupted, or an input that could not be read can be.

    Weights that were missing are looked for by the attempt itself.
    """
    if record.reason in (Reason.INTERRUPTED, Reason.MISSING_WEIGHTS):
        return True
    if UNREAD not in (record.error or ""):
        return False
    try:
        job.split.read_reference(case)
    except VideoError:
        return False
    logger.info("%s: its reference can be read now; trying it again", case.id)
    return True


def pending_units(job: Job, done: set[str]) -> list[Unit]:
    """The units with the cases that are not done; units with none are left out."""
    pending = []
    for unit in job.units():
        left = tuple(case for case in unit.cases if job.key(case, unit.seed) not in done)
        if left:
            pending.append(Unit(unit.reference_id, unit.seed, left))
    return pending
