"""Operators that a transformer block has in one kernel of our own each, where a GPU can: `row_kernels`.

Queries and keys: what a LoRA adds, the norm over all heads and RoPE. Attention to a text that stays the same: the
gradient of the queries only, since keys and values are constants; a general kernel's three gradients take 48 of an
H200's 132 processors for 512 keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from motionbench.fallbacks import chose, fall_back

from . import operators as operators  # which registers them

TOLERANCE = 0.01  # relative, in bfloat16, as of attention kernels
WIDTHS = (16, 32, 64, 128)  # channels of a head that the attention is made for
CAPABILITY = (8, 0)  # of the first cards with bfloat16
_in_use = False


def usable(x: Tensor) -> bool:
    """Whether these operators may work on x: inside `fused_operators` on a GPU, in a number type of 16 bits."""
    return _in_use and x.dtype in (torch.bfloat16, torch.float16)


def norm_rope(x: Tensor, added: Tensor | None, norm: Any, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, S, D) with what is added to it, normed by an RMSNorm with frozen weights, turned by RoPE (1, S, 1, d)."""
    out: Tensor = torch.ops.motionbench.norm_rope(x, added, norm.weight, cos, sin, norm.eps)[0]
    return out


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Attention (B, S, D) of queries (B, S, D) to constant keys and values (1, L, D); only queries have a gradient."""
    out: Tensor = torch.ops.motionbench.attend(query, key, value, heads)[0]
    return out


@contextmanager
def fused_operators(device: torch.device, heads: int, width: int) -> Iterator[bool]:
    """These operators inside the block, if they work on the device for such heads; says whether they do."""
    global _in_use
    before, works = _in_use, device.type == "cuda" and work_on(device, heads, width)
    if works:
        chose("norms with RoPE, attention to the text", "kernels of our own")
    _in_use = before or works
    try:
        yield works
    finally:
        _in_use = before


@cache
def work_on(device: torch.device, heads: int, width: int) -> bool:
    """Whether all kernels run on a GPU and agree with float64; if not, that is told.

    They are tried with the heads of a model, so that what is compiled for it serves the model.
    """
    try:
        if torch.cuda.get_device_capability(device) < CAPABILITY:
            raise NotImplementedError("no bfloat16")
        error = largest_error(device, heads, width)
        if not error <= TOLERANCE:
            raise ArithmeticError(f"its relative error is {error:.2g}")
    except Exception as fault:  # whatever a compiler of kernels, the tools that it starts, and a driver can raise
        fall_back("fused norms and attention to the text", "torch's own", f"{type(fault).__name__}: {fault}")
        return False
    return True


def largest_error(
    device: torch.device, heads: int, width: int, *, dtype: torch.dtype = torch.bfloat16, length: int = 512
) -> float:
    """The largest relative error of these operators and of their gradients on a device, against float64.

    Of 2 samples of 150 tokens, and `length` keys; attention only if heads are of a width that it is made for.
    """
    generator, batch, tokens = torch.Generator().manual_seed(0), 2, 150
    x, added, q, gradient = (torch.randn(batch, tokens, heads * width, generator=generator).to(dtype) for _ in range(4))
    key, value = (torch.randn(1, length, heads * width, generator=generator).to(dtype) for _ in range(2))
    weight = (1 + 0.1 * torch.randn(heads * width, generator=generator)).to(dtype)
    angle = torch.randn(1, tokens, 1, width // 2, generator=generator).repeat_interleave(2, -1)
    turn, eps = (angle.cos(), angle.sin()), 1e-6
    weight, cos, sin = (y.to(device) for y in (weight, *turn))
    call = torch.ops.motionbench
    k, v, there = (y.to(device) for y in (key, value, added))
    pairs: list[tuple[Any, Any, Tensor]] = [
        (
            lambda y: call.norm_rope(y, there, weight, cos, sin, eps)[0],
            lambda y: plain_norm_rope(y, added, weight.cpu(), *turn, eps),
            x,
        )
    ]
    if width in WIDTHS:
        attention = lambda y: call.attend(y, k, v, heads)[0], lambda y: plain_attend(y, key, value, heads), q
        pairs.append(attention)
    return max(_error(found, expected, y, gradient, device) for found, expected, y in pairs)


def _error(found: Any, expected: Any, x: Tensor, gradient: Tensor, device: torch.device) -> float:
    results = []
    for operator, start, slope in (
        (found, x.to(device), gradient.to(device)),
        (expected, x.double(), gradient.double()),
    ):
        start.requires_grad_()
        with torch.enable_grad():
            out = operator(start)
        results.append([out.detach(), *torch.autograd.grad(out, start, slope)])
    return max(float((a.cpu().double() - b).norm() / b.norm()) for a, b in zip(*results, strict=True))


def plain_norm_rope(x: Tensor, added: Tensor | None, weight: Tensor, cos: Tensor, sin: Tensor, eps: float) -> Tensor:
    """What `norm_rope` computes, in the number type of x."""
    total = x if added is None else x + added.to(x)
    y = F.rms_norm(total, total.shape[-1:], weight.to(x), eps).unflatten(2, (-1, cos.shape[-1] // 2, 2))
    even, odd = y.unbind(-1)
    c, s = cos.to(x)[..., 0::2], sin.to(x)[..., 1::2]
    return torch.stack((even * c - odd * s, even * s + odd * c), -1).flatten(2)


def plain_attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """What `attend` computes, in the number type of the queries."""
    q, k, v = (y.to(query).unflatten(2, (heads, -1)).transpose(1, 2) for y in (query, key, value))
    k, v = (y.expand(len(q), -1, -1, -1) for y in (k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
