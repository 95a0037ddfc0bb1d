"""Many processes that take the jobs of a list in turn: one that feeds a small model leaves a GPU idle."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

Work = Callable[[Iterator[int]], None]
LOOK_EVERY = 0.2  # seconds


def work_side_by_side(
    work: Work, count: int, workers: int, *, seconds: float = float("inf"), meanwhile: Callable[[], None] | None = None
) -> int:
    """Has `workers` fresh processes do `count` jobs: `work` gets the numbers of those that its process takes.

    work must be picklable. Each process computes in one thread, since the other cores have processes of their own.
    After `seconds` they are killed, each in the middle of its job. meanwhile: called over and over as long as they
    run. Returns how many were killed.
    """
    context = get_context("spawn")
    taken = context.Value("q", 0)
    processes = [context.Process(target=_work, args=(work, taken, count)) for _ in range(workers)]
    for process in processes:
        process.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(process.is_alive() for process in processes):
        time.sleep(LOOK_EVERY)
        if meanwhile is not None:
            meanwhile()
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    for process in processes:
        process.join()
    return len(late)


def _work(work: Work, taken: Any, count: int) -> None:
    for library in ("OMP", "MKL"):  # of a torch that is loaded later, which asks both; many a work needs none
        os.environ[f"{library}_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    work(_numbers(taken, count))


def _numbers(taken: Any, count: int) -> Iterator[int]:
    while True:
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= count:
            return
        yield number
