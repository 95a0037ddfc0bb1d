"""Worker processes: the references of a run spread over the cores or the GPUs of one machine.

Every process computes with the thread count that is part of the configuration, so their number changes no result. When
one dies (out of memory, a crash in native code) another takes its place, and its reference is begun again (`Schedule`).
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from motionbench import registry
from motionbench.device import core_count
from motionbench.job import Job
from motionbench.outcome import Order
from motionbench.plan import AUTO
from motionbench.schedule import Schedule
from motionbench.worker_process import LOGGER, Task

logger = logging.getLogger(__name__)

# -P: modules of the working folder must not stand in for installed ones.
COMMAND = ("-P", "-m", "motionbench.worker_process")
END_SECONDS = 5.0  # for a process to end by itself
PATIENCE_SECONDS = 5.0  # without news, before the pace is looked at


def worker_count(job: Job, units: int) -> int:
    """How many processes work on so many units; `auto`: one a GPU, or on a CPU as many as have cores of their own.

    On a CPU only backbones that say that they are `small` are loaded several times over unasked. A control is done
    before a second process has loaded anything.
    """
    asked = job.plan.workers
    if asked != AUTO:
        return max(1, min(int(asked), units))
    if job.method_class.contract.is_control:
        return 1
    if job.device == "cuda":  # whichever: a card that was named is the only one
        import torch

        return max(1, min(torch.cuda.device_count(), units))
    if job.threads is None or not registry.load("backbones", job.plan.backbone).small:
        return 1
    return max(1, min(core_count() // job.threads, units))


def work_in_processes(schedule: Schedule, count: int) -> None:
    """Puts all of a schedule on record, by `count` processes. Raises MotionBenchError as `Worker.work`, StoreError."""
    pool: dict[Connection, _Process] = {}
    try:
        for index in range(count):
            _start(pool, schedule, index)
        while pool:
            for connection in wait(list(pool), PATIENCE_SECONDS):
                process = pool[cast(Connection, connection)]
                try:
                    kind, value = process.connection.recv()
                except (EOFError, OSError):
                    del pool[process.connection]
                    how = process.kill()
                    if process.order is not None:
                        schedule.lost(process.order, f"process {how}")
                    _start(pool, schedule, process.index)
                    continue
                if kind == "done" and process.order is not None:
                    schedule.done(process.order)
                    if not process.give(schedule.next()):
                        del pool[process.connection]
                else:
                    _hear(process, kind, value, schedule)
            schedule.pace.tell()
    finally:
        for process in pool.values():
            process.kill()


def _start(pool: dict[Connection, _Process], schedule: Schedule, index: int) -> None:
    """A process that works on what is next; none if nothing waits."""
    order = schedule.next()
    if order is None:
        return
    job = schedule.job
    device = f"cuda:{index}" if job.device == "cuda" else job.device
    plan = replace(job.plan, device=device, workers=1)
    process = _Process(index, Task(plan, schedule.run_id, logging.getLogger(LOGGER).getEffectiveLevel()))
    pool[process.connection] = process
    process.give(order)


def _hear(process: _Process, kind: str, value: Any, schedule: Schedule) -> None:
    """Takes what a process sends; of the stages only the first one's, since there is one line for them."""
    if kind == "outcome":
        schedule.take(value)
    elif kind == "refused":
        raise value
    elif kind == "log":
        name, level, message = value
        logging.getLogger(name).log(level, "%s", message)
    elif kind == "stage" and process.index == 0:
        schedule.observer.stage(*value)


class _Process:
    """A worker process, and the order that it works on."""

    def __init__(self, index: int, task: Task) -> None:
        self.index = index
        self.order: Order | None = None
        ours, theirs = socket.socketpair()
        command = [sys.executable, *COMMAND, str(theirs.fileno())]  # what libraries print is not a result
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=quiet, stdout=quiet)
        theirs.close()
        self.connection = Connection(ours.detach())
        self._send(task)

    def give(self, order: Order | None) -> bool:
        """Hands over the next order; None: there is no more, and the process ends. Whether there was one."""
        self.order = order
        self._send(order)
        if order is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self.kill()
        return order is not None

    def kill(self) -> str:
        """Ends the process, if it has not ended yet, and says how it did."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)
        self._process.kill()
        code = self._process.wait()
        self.connection.close()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _send(self, what: Any) -> None:
        with suppress(OSError):  # it died: what is received next says so
            self.connection.send(what)
