"""A worker process: works on the units that come over a socket, and tells what becomes of them.

Started by `worker_pool` as `python -m motionbench.worker_process SOCKET`. It ends with its parent, however that ends.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import motionbench.cpu_threads  # noqa: F401  before torch is loaded
from motionbench.errors import MotionBenchError
from motionbench.plan import RunPlan, Unit, resolve
from motionbench.record import Record
from motionbench.store import ResultStore
from motionbench.worker import Worker, kept_method

LOGGER = "motionbench"  # the level of all that we log
Send = Callable[[str, Any], None]


@dataclass(frozen=True)
class Task:
    """What a worker process is told first. log_level: the lowest that the parent listens to."""

    plan: RunPlan
    folder: Path
    run_id: str
    log_level: int


@dataclass(frozen=True)
class Reporter:
    """Sends what an observer is told."""

    send: Send

    def planned(self, total: int, done: int) -> None:
        """Nothing: the parent plans."""

    def stage(self, stage: str, done: int, total: int) -> None:
        """A step within an attempt."""
        self.send("stage", (stage, done, total))

    def finished(self, record: Record) -> None:
        """An attempt is on record."""
        self.send("finished", record)


class SentLog(logging.Handler):
    """Log lines, sent to the parent."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Sends logger, level and text."""
        self._send("log", (record.name, record.levelno, record.getMessage()))


def serve(connection: Connection) -> None:
    """Works until the parent says that there is no more."""
    lock = threading.Lock()

    def send(kind: str, value: Any) -> None:
        with lock:
            connection.send((kind, value))

    task: Task = connection.recv()
    logging.getLogger().addHandler(SentLog(send))
    logging.getLogger(LOGGER).setLevel(task.log_level)
    units: SimpleQueue[Unit | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, units), daemon=True).start()
    try:
        worker = Worker(resolve(task.plan), ResultStore(task.folder), task.run_id, Reporter(send), kept_method)
        for unit in iter(units.get, None):
            worker.work([unit])
            send("done", None)
    except MotionBenchError as error:  # weights missing, a full disk: the whole command's fault
        send("refused", error)


def _listen(connection: Connection, units: SimpleQueue[Unit | None]) -> None:
    """Takes units in while others are worked on, so that the end of the parent is noticed at once."""
    while True:
        try:
            units.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def main() -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends its workers
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
