"""Optimized steps without one of what makes their passes over memory few, or with one more, for comparison."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from motionbench.methods.backbones import fused, inductor


def _tuned() -> AbstractContextManager[Any]:
    import torch._inductor.config as config

    settings: Any = config
    return settings.patch({"max_autotune_pointwise": True})  # type: ignore[no-any-return]


LEFT_OUT: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no kernels of our own": lambda: patch.object(fused, "work_on", lambda *_: False),
    "rows in two passes": lambda: patch.object(inductor, "ROW", 0),
    "GELU by tanh": lambda: patch.object(inductor, "with_quick_gelu", lambda table: table),
    "blocks of passes by trial": _tuned,
}


@contextmanager
def left_out(name: str) -> Iterator[None]:
    """Without it inside the block. What is compiled there is kept apart, since caches do not know of it."""
    folder = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(folder)
    with ExitStack() as changed:
        changed.enter_context(LEFT_OUT[name]())
        os.environ[folder] = os.path.join(os.environ["MOTIONBENCH_CACHE"], "without", name.replace(" ", "-"))
        torch.compiler.reset()
        try:
            yield
        finally:
            torch.compiler.reset()
            os.environ.pop(folder)
            if before is not None:
                os.environ[folder] = before
