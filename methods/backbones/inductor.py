"""What inductor is told to do otherwise than by itself, for the passes over memory between large products."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from motionbench.fallbacks import fall_back

WANTED = "whole rows and a quick GELU in compiled blocks"
ROW = 16384  # channels that a kernel keeps of a row; by itself inductor reads rows of more than 1024 twice
_SLOPE = 2 * math.sqrt(2 / math.pi)  # 1 + tanh(u) = 2 sigmoid(2u)
_CUBE = 0.044715 * _SLOPE


def options() -> dict[str, Any]:
    """Keywords for inductor's `compile_fx`: whole rows in one pass, and a GELU that is no more than memory takes.

    {} with a version of torch that has these in other places, which is told once.
    """
    try:
        from torch._inductor.compile_fx import compile_fx_inner
        from torch._inductor.decomposition import select_decomp_table

        inner = in_whole_rows(compile_fx_inner)
    except (ImportError, AttributeError) as error:
        fall_back(WANTED, "inductor's own choices", error)
        return {}
    return {"inner_compile": inner, "decompositions": with_quick_gelu(select_decomp_table())}


def in_whole_rows(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Inductor's compiler of one graph, with reductions over a row of channels in one pass over it.

    The choice is handed over for each graph, since backward passes are compiled by other threads.
    """
    from torch._inductor.choices import InductorChoices
    from torch._inductor.runtime.hints import ReductionHint
    from torch._inductor.virtualized import V

    class WholeRows(InductorChoices):
        """Inductor's own choices, but for rows that fit into the registers of a block of threads."""

        @staticmethod
        def should_use_persistent_reduction(features: Any, cooperative_reduction: bool) -> bool:
            along_rows = features.get_reduction_hint() == ReductionHint.INNER and not cooperative_reduction
            if along_rows and V.graph.sizevars.statically_known_leq(features.reduction_numel, ROW):
                return True
            return bool(InductorChoices.should_use_persistent_reduction(features, cooperative_reduction))

    def compile_graph(*arguments: Any, **keywords: Any) -> Any:
        with V.set_choices_handler(WholeRows()):
            return inner(*arguments, **keywords)

    return compile_graph


def with_quick_gelu(table: dict[Any, Any]) -> dict[Any, Any]:
    """A table of decompositions in which the GELU by tanh is by a sigmoid: equal, and less work than its bytes are.

    The tanh of CUDA takes longer on an H200 than reading and writing 140 MB.
    """
    aten = torch.ops.aten
    own, own_backward = table.get(aten.gelu.default), table.get(aten.gelu_backward.default)

    def gelu(x: Tensor, approximate: str = "none") -> Any:
        if approximate != "tanh":
            return NotImplemented if own is None else own(x, approximate=approximate)
        return quick_gelu(x)

    def gelu_backward(gradient: Tensor, x: Tensor, approximate: str = "none") -> Any:
        if approximate != "tanh":
            return NotImplemented if own_backward is None else own_backward(gradient, x, approximate=approximate)
        return quick_gelu_gradient(gradient, x)

    return {**table, aten.gelu.default: gelu, aten.gelu_backward.default: gelu_backward}


def quick_gelu(x: Tensor) -> Tensor:
    """`F.gelu(x, approximate="tanh")`."""
    y = x if x.dtype == torch.float64 else x.float()
    return (y * torch.sigmoid(y * (_SLOPE + _CUBE * y * y))).to(x.dtype)


def quick_gelu_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """Of x, from the gradient of `quick_gelu(x)`."""
    y = x if x.dtype == torch.float64 else x.float()
    share = torch.sigmoid(y * (_SLOPE + _CUBE * y * y))
    slope = share + y * share * (1 - share) * (_SLOPE + 3 * _CUBE * y * y)
    return (gradient * slope).to(x.dtype)
