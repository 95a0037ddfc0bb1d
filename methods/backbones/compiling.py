"""Compiled transformer blocks, and the folder in which what was compiled is kept for later runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MethodType
from typing import Any

import torch

from motionbench.disk_cache import cache_folder
from motionbench.fallbacks import fall_back

from .inductor import WANTED, options

_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
VARIANTS = 64  # of a block: each of sizes, training or not, with which LoRAs, streamed or not, is one of its own


@contextmanager
def compiled_blocks(transformer: Any, compiler: str | None, opened: Sequence[int] = ()) -> Iterator[None]:
    """The transformer's blocks behind one compiled function inside the block, but for those that are `opened`.

    All blocks have the same code and shapes, so it is compiled once for each size of input. A fault of the compiler
    falls back to uncompiled code, which is told once.
    """
    if compiler is None or any("forward" in vars(block) for block in transformer.blocks):
        yield
        return
    import torch._dynamo as dynamo

    keep_what_is_compiled()
    backend: Any = guarded(compiler) if compiler == "inductor" else compiler
    forward = torch.compile(type(transformer.blocks[0]).forward, backend=backend, dynamic=False)
    limit = "recompile_limit" if hasattr(dynamo.config, "recompile_limit") else "cache_size_limit"
    chosen = [block for i, block in enumerate(transformer.blocks) if i not in opened]
    for block in chosen:
        block.forward = MethodType(forward, block)
    try:
        # By itself dynamo takes hooks for what stays as it is, and would run one method's in the next one's place.
        with dynamo.config.patch({limit: VARIANTS, "suppress_errors": True, "skip_nnmodule_hook_guards": False}):
            yield
    finally:
        for block in chosen:
            vars(block).pop("forward", None)


def plain_forward(block: Any) -> Any:
    """A block's forward pass as it is written, for what looks inside it while it may be compiled."""
    forward = vars(block).get("forward")
    compiled = hasattr(getattr(forward, "__func__", None), "_torchdynamo_orig_callable")
    return MethodType(type(block).forward, block) if compiled else block


@cache
def guarded(compiler: str) -> Callable[[Any, Any], Any]:
    """A backend of torch.compile that leaves a graph as it is where the real one fails; there may be no C compiler."""

    def compile_or_not(graph: Any, inputs: Any) -> Any:
        from torch._dynamo.backends.registry import lookup_backend

        faults: list[str] = []
        ours = options()  # of torch's inside, which another version may have otherwise
        for choices in (ours, {}) if ours else ({},):
            try:
                compiled = lookup_backend(compiler)(graph, inputs, **choices)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # whatever a compiler, and the tools that it starts, can raise
                faults.append(f"{type(error).__name__}: {error}")
                continue
            if faults:
                fall_back(WANTED, "inductor's own choices", faults[0])
            return compiled
        fall_back("compiling transformer blocks", "uncompiled ones", faults[-1])
        return graph.forward

    return compile_or_not


def keep_what_is_compiled() -> None:
    """Lets inductor keep its work under the user's cache, unless the user says where.

    By itself it keeps it in the folder for temporary files, which the next job may not find; and it says so in the
    environment as soon as dynamo is loaded, as if the user had.

    Torch finds what it kept by the code of a block, which names our operators and not what their gradients are: a
    version of this package that computes them otherwise has a folder of its own, or it would get the former's.
    """
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    if os.environ.get(_FOLDER) in (None, os.path.abspath(default_cache_dir())):
        os.environ[_FOLDER] = str(cache_folder() / "compiled" / code_unseen_by_torch())


@cache
def code_unseen_by_torch() -> str:
    """A short hash of the code that compiled blocks depend on and torch's keys of them do not."""
    sources = [Path(__file__).with_name(name).read_bytes() for name in ("operators.py", "inductor.py")]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:12]
