"""The schedule of a run: which units wait and which are worked on, and what becomes of one whose worker is lost.

Of all processes and hosts of a run only the one with the schedule writes into the results folder.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from motionbench.adapters import kept_files
from motionbench.attempt import Failure
from motionbench.case import Unit
from motionbench.job import Job
from motionbench.outcome import Order, Outcome
from motionbench.pace import Pace
from motionbench.record import Reason, Record
from motionbench.store import ResultStore
from motionbench.worker import failed_outcomes, fit_key

logger = logging.getLogger(__name__)


class Observer(Protocol):
    """Who watches a run; nothing it does changes a number."""

    def planned(self, total: int, done: int) -> None:
        """There are `total` attempts to be on record, and `done` of them are."""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Within the attempt under way, a stage got to step `done` of `total`."""

    def finished(self, record: Record) -> None:
        """An attempt is on record."""


class SilentObserver:
    """An observer that looks away."""

    def planned(self, total: int, done: int) -> None:
        """Nothing."""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, record: Record) -> None:
        """Nothing."""


class Schedule:
    """Gives out the units of a run as orders, and puts on record what comes back."""

    def __init__(self, job: Job, store: ResultStore, run_id: str, units: Sequence[Unit], observer: Observer) -> None:
        self.job, self.store, self.run_id, self.observer = job, store, run_id, observer
        self.pace = Pace(sum(len(unit.cases) for unit in units))
        self._waiting = deque(Order(unit) for unit in units)
        self._taken: set[tuple[str, int]] = set()  # case and seed of what is on record by this run

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Order | None:
        """The next order, with the fit that was kept for it; None if none waits (one may come back yet)."""
        if not self._waiting:
            return None
        order = self._waiting.popleft()
        unit = order.unit
        if self.job.keeps_adapters:
            folder = self.store.adapter_folder(unit.reference_id, unit.seed)
            order = replace(order, adapter=kept_files(folder, fit_key(self.job, unit.cases[0], unit.seed)))
        self.pace.begin(order.name)
        return order

    def take(self, outcome: Outcome) -> None:
        """Puts in place what a worker left. Raises StoreError."""
        self.store.take(outcome)
        record = outcome.record
        if record is None:
            return
        self._taken.add((record.case_id, record.seed))
        if record.status == "ok":
            logger.info("%s seed %d: ok", record.case_id, record.seed)
        else:
            logger.warning("%s seed %d: failed (%s) %s", record.case_id, record.seed, record.reason, record.error)
        self.observer.finished(record)
        self.pace.step()

    def done(self, order: Order) -> None:
        """All of an order is on record."""
        self.pace.end(order.name)

    def lost(self, order: Order, why: str) -> None:
        """A worker was lost over an order: what it did not hand over is begun again, so many times; then it has failed.

        Failed for that it is `interrupted`, so that the next command tries it anew. Raises StoreError.
        """
        self.pace.forget(order.name)
        left = tuple(case for case in order.unit.cases if (case.id, order.unit.seed) not in self._taken)
        rest = replace(order, unit=replace(order.unit, cases=left), adapter=None)
        if not left:
            return
        if order.restarts < self.job.plan.retries:
            logger.warning("%s: its worker %s; it is begun again", order.name, why)
            self._waiting.append(replace(rest, restarts=order.restarts + 1))
            return
        failure = Failure(Reason.INTERRUPTED, f"its worker {why}")
        for outcome in failed_outcomes(self.job, self.run_id, rest, failure):
            self.take(outcome)
