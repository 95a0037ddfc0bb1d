"""CPU threads: every sum runs in one, so that the same clip gives the same digits on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from motionbench.cpu_threads import cpu_threads

Portion = TypeVar("Portion")
Result = TypeVar("Result")


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On the CPU one thread: sums in one order, hence the same bits whatever the machine's number of cores.

    More cores are used by `workers`, or by more processes (`--shard`), each on clips of its own.
    """
    with cpu_threads(1 if device == "cpu" else None):
        yield


class Workers:
    """Does portions of a work, several at once if it has a pool, each portion in one thread.

    The digits do not depend on the number of cores as long as the portions do not: cut them to a constant size.
    """

    def __init__(self, pool: Executor | None) -> None:
        self._pool = pool

    def start(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Begin a portion, which `map` does not wait for. Portions begin in the order in which they are given, so one
        may wait for another that was given before it."""
        if self._pool is not None:
            return self._pool.submit(_work_alike, torch.is_inference_mode_enabled(), work, *arguments)
        done: Future[Result] = Future()
        done.set_result(work(*arguments))
        return done

    def map(self, work: Callable[[Portion], Result], portions: Iterable[Portion]) -> list[Result]:
        """`work` of each portion, in order. Raises what the first failing portion raised."""
        return [future.result() for future in [self.start(work, portion) for portion in portions]]


def _work_alike(inference: bool, work: Callable[..., Result], *arguments: Any) -> Result:
    with torch.inference_mode(inference):  # torch keeps this by thread
        return work(*arguments)


@contextmanager
def workers(device: str) -> Iterator[Workers]:
    """`one_thread`, and on the CPU as many workers of one thread as torch was allowed threads before.

    The pool ends with the context, so that processes forked later inherit no dead threads.
    """
    count = torch.get_num_threads() if device == "cpu" else 1
    with one_thread(device):
        if count == 1:
            yield Workers(None)
            return
        pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
        try:
            yield Workers(pool)
        finally:
            pool.shutdown(cancel_futures=True)
