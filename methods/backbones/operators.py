"""The kernels of `row_kernels` as operators of torch, with gradients; they are loaded when an operator first runs.

Custom operators are opaque to torch.compile: it calls them with tensors that it has laid out, and keeps its caches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_NORM = "Tensor weight, Tensor cos, Tensor sin"
_MAP = "Tensor query, Tensor key, Tensor value"


def _operator(schema: str) -> Callable[[Callable[..., Any]], Any]:
    """A decorator that makes an operator of torch of a function."""
    name, _, arguments = schema.partition("(")
    made: Any = torch.library.custom_op(f"motionbench::{name}", mutates_args=(), schema=f"({arguments}")
    return made  # type: ignore[no-any-return]


@_operator(f"norm_rope(Tensor x, Tensor? added, {_NORM}, float eps) -> (Tensor, Tensor, Tensor)")
def _norm_rope(x: Any, added: Any, weight: Tensor, cos: Tensor, sin: Tensor, eps: float) -> Any:
    from .row_kernels import norm_rope as kernel

    more = None if added is None else added.contiguous()
    out, total, scales = kernel(x.contiguous(), more, weight, cos.contiguous(), sin.contiguous(), eps)
    return out, x.new_empty(0) if added is None else total, scales


def _norm_rope_shapes(x: Any, added: Any, weight: Tensor, cos: Tensor, sin: Tensor, eps: float) -> Any:
    total = x.new_empty(0) if added is None else x.new_empty(x.shape)
    return x.new_empty(x.shape), total, x.new_empty(x.shape[:2], dtype=torch.float32)


_norm_rope.register_fake(_norm_rope_shapes)


@_operator(f"norm_rope_gradient(Tensor gradient, Tensor total, Tensor scales, {_NORM}) -> Tensor")
def _norm_rope_gradient(gradient: Any, total: Any, scales: Any, weight: Any, cos: Any, sin: Any) -> Any:
    from .row_kernels import norm_rope_gradient as kernel

    return kernel(*(y.contiguous() for y in (gradient, total, scales, weight, cos, sin)))


def _norm_rope_gradient_shapes(gradient: Any, total: Any, scales: Any, weight: Any, cos: Any, sin: Any) -> Any:
    return total.new_empty(total.shape)


_norm_rope_gradient.register_fake(_norm_rope_gradient_shapes)


def _keep_sum(ctx: Any, inputs: Any, output: Any) -> None:
    x, added, weight, cos, sin, _ = inputs
    ctx.summed = added is not None
    ctx.save_for_backward(output[1] if ctx.summed else x, output[2], weight, cos, sin)


def _below_norm(ctx: Any, gradient: Tensor, *_: Any) -> Any:
    slope = torch.ops.motionbench.norm_rope_gradient(gradient, *ctx.saved_tensors)
    return slope, slope if ctx.summed else None, None, None, None, None


_norm_rope.register_autograd(_below_norm, setup_context=_keep_sum)


@_operator(f"attend({_MAP}, int heads) -> (Tensor, Tensor)")
def _attend(query: Any, key: Any, value: Any, heads: int) -> Any:
    from .row_kernels import attend as kernel

    return kernel(query.contiguous(), key.contiguous(), value.contiguous(), heads)


def _attend_shapes(query: Any, key: Any, value: Any, heads: int) -> Any:
    sums = query.new_empty((query.shape[0], heads, query.shape[1]), dtype=torch.float32)
    return query.new_empty(query.shape), sums


_attend.register_fake(_attend_shapes)


@_operator(f"attend_gradient(Tensor gradient, {_MAP}, Tensor out, Tensor sums, int heads) -> Tensor")
def _attend_gradient(gradient: Any, query: Any, key: Any, value: Any, out: Any, sums: Any, heads: int) -> Any:
    from .row_kernels import attend_gradient as kernel

    gradient, query, key, value, out, sums = (y.contiguous() for y in (gradient, query, key, value, out, sums))
    return kernel(gradient, query, key, value, out, sums, heads)


def _attend_gradient_shapes(gradient: Any, query: Any, key: Any, value: Any, out: Any, sums: Any, heads: int) -> Any:
    return query.new_empty(query.shape)


_attend_gradient.register_fake(_attend_gradient_shapes)


def _keep_map(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.heads = inputs[3]
    ctx.save_for_backward(*inputs[:3], *output)


def _below_map(ctx: Any, gradient: Tensor, *_: Any) -> Any:
    return torch.ops.motionbench.attend_gradient(gradient, *ctx.saved_tensors, ctx.heads), None, None, None


_attend.register_autograd(_below_map, setup_context=_keep_map)
