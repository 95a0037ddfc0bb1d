"""A worker process: works on the orders that come over a socket, and sends back what becomes of them.

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
from queue import SimpleQueue
from typing import Any

import motionbench.cpu_threads  # noqa: F401  before torch is loaded
from motionbench.errors import MotionBenchError
from motionbench.job import resolve
from motionbench.outcome import Order
from motionbench.plan import RunPlan
from motionbench.worker import Worker

LOGGER = "motionbench"  # the level of all that we log
Send = Callable[[str, Any], None]


@dataclass(frozen=True)
class Task:
    """What a worker process is told first. log_level: the lowest that the parent listens to."""

    plan: RunPlan
    run_id: str
    log_level: int


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
    orders: SimpleQueue[Order | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, orders), daemon=True).start()
    try:
        worker = Worker(resolve(task.plan), task.run_id, lambda *stage: send("stage", stage))
        for order in iter(orders.get, None):
            for outcome in worker.work(order):
                send("outcome", outcome)
            send("done", None)
    except MotionBenchError as error:  # weights missing, a full disk: the whole command's fault
        send("refused", error)


def _listen(connection: Connection, orders: SimpleQueue[Order | None]) -> None:
    """Takes orders in while others are worked on, so that the end of the parent is noticed at once."""
    while True:
        try:
            orders.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def main() -> None:
    """The process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends its workers
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
