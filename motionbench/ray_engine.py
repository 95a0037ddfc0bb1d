"""The ray engine: the orders of a schedule, worked on by actors on the nodes of a cluster.

Each actor is a worker that loads its weights once and takes the prompts of one reference at a time. Only this process
writes records; a lost actor or node costs what it had not handed over, and the schedule has that begun again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any

from motionbench.inputs import Inputs, unit_inputs
from motionbench.outcome import Order
from motionbench.pace import Pace
from motionbench.plan import AUTO, SHARED
from motionbench.ray_cluster import Share
from motionbench.ray_node import NodeTask, RemoteWorker
from motionbench.ray_pool import Pool
from motionbench.schedule import Schedule
from motionbench.worker_process import LOGGER


def run_with_ray(ray: Any, schedule: Schedule) -> None:
    """Puts all of a schedule on record. Raises MotionBenchError as `Worker.work`, StoreError."""
    job = schedule.job
    task = NodeTask(
        plan=replace(job.plan, device=job.device),
        split=job.split,
        configuration=job.configuration,
        run_id=schedule.run_id,
        folder=str(schedule.store.folder.resolve()) if job.plan.storage == SHARED else None,
        log_level=logging.getLogger(LOGGER).getEffectiveLevel(),
    )
    share = Share.of(job)
    limit = None if job.plan.workers == AUTO else int(job.plan.workers)
    Pool(ray, actor_maker(ray, RemoteWorker, share, task), share, limit, UnitWork(schedule)).run()


def actor_maker(ray: Any, kind: type, share: Share, *arguments: Any) -> Any:
    """What starts an actor of a class. It is never started again by Ray itself, which would not be counted."""
    actor = ray.remote(kind)
    sent = [ray.put(argument) for argument in arguments]  # sent to each node once
    options = {"num_cpus": share.cpus, "num_gpus": share.gpus, "scheduling_strategy": "SPREAD"}
    return lambda: actor.options(max_restarts=0, max_task_retries=0, **options).remote(*sent)


@dataclass
class UnitWork:
    """A schedule as a pool of actors sees it."""

    schedule: Schedule

    @property
    def pace(self) -> Pace:
        """The schedule's."""
        return self.schedule.pace

    def __len__(self) -> int:
        return len(self.schedule)

    def next(self) -> Order | None:
        """The next order."""
        return self.schedule.next()

    def arguments(self, order: Order) -> tuple[Order, Inputs | None]:
        """The order with the files that it is made from, unless nodes have them in a shared folder."""
        job = self.schedule.job
        return order, None if job.plan.storage == SHARED else unit_inputs(job, order.unit)

    def hear(self, kind: str, value: Any) -> None:
        """Takes outcomes and log lines; a refusal ends the command. Raises MotionBenchError, StoreError."""
        if kind == "refused":
            raise value
        if kind == "log":
            name, level, message = value
            logging.getLogger(name).log(level, "%s", message)
        else:
            self.schedule.take(value)

    def done(self, order: Order) -> None:
        """All of an order is on record."""
        self.schedule.done(order)

    def lost(self, order: Order, why: str) -> None:
        """An actor was lost over it."""
        self.schedule.lost(order, why)
