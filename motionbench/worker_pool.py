"""Worker processes: the references of a run spread over the cores or the GPUs of one machine.

Every process computes with the thread count that is part of the configuration, so their number changes no result. One
that dies (out of memory, a crash in native code) costs the reference that it worked on, and another takes its place.
"""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from motionbench import registry
from motionbench.attempt import Failure
from motionbench.device import core_count
from motionbench.plan import AUTO, Job, Unit
from motionbench.record import Reason
from motionbench.store import ResultStore
from motionbench.worker import Observer, Worker
from motionbench.worker_process import LOGGER, Task

logger = logging.getLogger(__name__)

# -P: modules of the working folder must not stand in for installed ones.
COMMAND = ("-P", "-m", "motionbench.worker_process")
END_SECONDS = 5.0  # for a process to end by itself


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
    if job.threads is None or not getattr(registry.load("backbones", job.plan.backbone), "small", False):
        return 1
    return max(1, min(core_count() // job.threads, units))


def work_in_processes(
    job: Job, store: ResultStore, run_id: str, units: Sequence[Unit], count: int, observer: Observer
) -> None:
    """Puts all cases of the units on record, by `count` processes. Raises MotionBenchError as `Worker.work`."""
    waiting = deque(units)
    pool: dict[Connection, _Process] = {}
    try:
        for index in range(count):
            _start(pool, job, store, run_id, index, waiting.popleft())
        while pool:
            for connection in wait(list(pool)):
                process = pool[cast(Connection, connection)]
                try:
                    kind, value = process.connection.recv()
                except (EOFError, OSError):
                    del pool[process.connection]
                    _bury(process, job, store, run_id, observer)
                    if waiting:
                        _start(pool, job, store, run_id, process.index, waiting.popleft())
                    continue
                if kind == "refused":
                    raise value
                if kind == "done":
                    if not process.give(waiting.popleft() if waiting else None):
                        del pool[process.connection]
                else:
                    _hear(process, kind, value, observer)
    finally:
        for process in pool.values():
            process.kill()


def _start(pool: dict[Connection, _Process], job: Job, store: ResultStore, run_id: str, index: int, unit: Unit) -> None:
    device = f"cuda:{index}" if job.device == "cuda" else job.device
    plan = replace(job.plan, device=device, workers=1)
    task = Task(plan, store.folder, run_id, logging.getLogger(LOGGER).getEffectiveLevel())
    process = _Process(index, task)
    pool[process.connection] = process
    process.give(unit)


def _hear(process: _Process, kind: str, value: Any, observer: Observer) -> None:
    """Passes on what a process tells; of the stages only the first one's, since there is one line for them."""
    if kind == "log":
        name, level, message = value
        logging.getLogger(name).log(level, "%s", message)
    elif kind == "finished":
        process.finished.add(value.key)
        observer.finished(value)
    elif kind == "stage" and process.index == 0:
        observer.stage(*value)


def _bury(process: _Process, job: Job, store: ResultStore, run_id: str, observer: Observer) -> None:
    """Puts on record what a process died over: as interrupted, so that the next command tries it again."""
    how = process.kill()
    if process.unit is None:
        return
    made = {record.key for record in store.records() if record.status == "ok"} | process.finished
    left = tuple(case for case in process.unit.cases if job.key(case, process.unit.seed) not in made)
    failure = Failure(Reason.INTERRUPTED, f"its worker process {how}")
    Worker(job, store, run_id, observer).fail(replace(process.unit, cases=left), failure)


class _Process:
    """A worker process, the unit that it works on, and the keys that it has put on record."""

    def __init__(self, index: int, task: Task) -> None:
        self.index = index
        self.unit: Unit | None = None
        self.finished: set[str] = set()
        ours, theirs = socket.socketpair()
        command = [sys.executable, *COMMAND, str(theirs.fileno())]  # what libraries print is not a result
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=quiet, stdout=quiet)
        theirs.close()
        self.connection = Connection(ours.detach())
        self._send(task)

    def give(self, unit: Unit | None) -> bool:
        """Hands over the next unit; None: there is no more, and the process ends. Whether there was one."""
        self.unit = unit
        self._send(unit)
        if unit is None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self.kill()
        return unit is not None

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
