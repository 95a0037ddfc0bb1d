"""Loading of large libraries without looks for garbage in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """While modules are imported: what they define stays, and looking through it takes a quarter of the time.

    Python's collector of reference cycles rests inside, and works afterwards if it did before.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
