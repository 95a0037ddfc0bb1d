"""CPU threads of torch: float sums, and with them the last bits of every result, depend on how many there are."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Read by OpenMP when torch loads. A thread that waits by spinning takes the core from the one it waits for: on a busy
# machine a fit of 26 s took 577 s.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """So many threads for torch, if it is loaded, and as many as before afterwards; None: as many as there are."""
    torch = sys.modules.get("torch")
    if torch is None or count is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
