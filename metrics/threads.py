"""CPU threads: networks run in one, so that the same clip gives the same digits on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """On the CPU one thread: sums in one order, hence the same bits whatever the machine's number of cores.

    More cores are used by more processes (`--shard`), each on clips of its own.
    """
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
