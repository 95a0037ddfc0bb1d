"""Triton kernels over whole rows of channels, and of attention to few keys; `operators` makes torch operators of them.

Compilers make three to five passes of what is one here: a norm needs all channels of a row, a rotation its neighbors.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

# Of a block of attention logits, queries times keys, and how many warps and stages of loading it has: of six that were
# tried on an H200, the quickest.
FORWARD = {"ROWS": 64, "COLUMNS": 64, "num_warps": 4, "num_stages": 3}
BACKWARD = {"ROWS": 64, "COLUMNS": 64, "num_warps": 4, "num_stages": 2}
LOG2_E = 1.4426950408889634


def norm_rope(
    x: Tensor, added: Tensor | None, weight: Tensor, cos: Tensor, sin: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(x + added) (B, S, D) normed by its root mean square and turned by RoPE; the sum; 1 / root mean square (B, S).

    cos, sin: (1, S, 1, d) as Wan has them, for heads of d channels. Without `added` the sum is x itself.
    """
    batch, tokens, channels = x.shape
    out, scales = torch.empty_like(x), torch.empty(batch, tokens, device=x.device)
    total = x if added is None else torch.empty_like(x)
    with torch.cuda.device_of(x):  # Triton launches on the current device
        _norm_rope[(batch * tokens,)](
            x, x if added is None else added, weight, cos, sin, total, scales, out, eps, tokens,
            SUMMED=added is not None, **_sizes(channels, cos.shape[-1]),
        )  # fmt: skip
    return out, total, scales


def norm_rope_gradient(
    gradient: Tensor, total: Tensor, scales: Tensor, weight: Tensor, cos: Tensor, sin: Tensor
) -> Tensor:
    """Of the sum (B, S, D), from that of `norm_rope`'s result (B, S, D)."""
    batch, tokens, channels = total.shape
    below = torch.empty_like(total)
    with torch.cuda.device_of(total):
        _norm_rope_gradient[(batch * tokens,)](
            gradient, total, scales, weight, cos, sin, below, tokens, **_sizes(channels, cos.shape[-1])
        )
    return below


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Attention of queries (B, S, D) to keys and values (1, L, D), for all of the batch the same; and log2-sum-exps.

    The latter are (B, K, S) of logits to the base of 2. Heads are of 16, 32, 64 or 128 channels.
    """
    batch, tokens, channels = query.shape
    out = torch.empty_like(query)
    sums = torch.empty(batch, heads, tokens, device=query.device)
    with torch.cuda.device_of(query):
        _attend[(triton.cdiv(tokens, FORWARD["ROWS"]), batch * heads)](
            query, key, value, out, sums, (channels // heads) ** -0.5 * LOG2_E, tokens, key.shape[1], heads,
            WIDTH=channels // heads, **FORWARD,
        )  # fmt: skip
    return out, sums


def attend_gradient(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, sums: Tensor, heads: int
) -> Tensor:
    """Of the queries (B, S, D), from that of what `attend` gave; keys and values have none."""
    batch, tokens, channels = query.shape
    below = torch.empty_like(query)
    with torch.cuda.device_of(query):
        _attend_gradient[(triton.cdiv(tokens, BACKWARD["ROWS"]), batch * heads)](
            gradient, query, key, value, out, sums, below, (channels // heads) ** -0.5, tokens, key.shape[1], heads,
            WIDTH=channels // heads, **BACKWARD,
        )  # fmt: skip
    return below


def _sizes(channels: int, width: int) -> dict[str, Any]:
    block = triton.next_power_of_2(channels)
    return {"CHANNELS": channels, "WIDTH": width, "BLOCK": block, "num_warps": 4 if block <= 2048 else 8}


@triton.jit  # type: ignore[untyped-decorator]
def _row(CHANNELS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of a program's row of channels: its number, the channels of a block, whether they are there, and their places."""
    row = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, BLOCK)
    return row, channel, channel < CHANNELS, row * CHANNELS + channel


@triton.jit  # type: ignore[untyped-decorator]
def _turns(cos, sin, token, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Cosine and sine (BLOCK / 2,) of each pair of channels of a token."""
    at = token * WIDTH + tl.arange(0, BLOCK) % WIDTH
    c, _ = tl.split(tl.reshape(tl.load(cos + at).to(tl.float32), (BLOCK // 2, 2)))
    _, s = tl.split(tl.reshape(tl.load(sin + at).to(tl.float32), (BLOCK // 2, 2)))
    return c, s


@triton.jit  # type: ignore[untyped-decorator]
def _norm_rope(  # type: ignore[no-untyped-def]
    x, added, weight, cos, sin, total, scales, out, eps, tokens,
    SUMMED: tl.constexpr, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, channel, there, at = _row(CHANNELS, BLOCK)
    y = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
    if SUMMED:
        y = (y + tl.load(added + at, mask=there, other=0.0).to(tl.float32)).to(out.dtype.element_ty)
        tl.store(total + at, y, mask=there)
        y = y.to(tl.float32)
    scale = tl.rsqrt(tl.sum(y * y, 0) / CHANNELS + eps)
    tl.store(scales + row, scale)
    y = y * scale * tl.load(weight + channel, mask=there, other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(y, (BLOCK // 2, 2)))
    c, s = _turns(cos, sin, row % tokens, WIDTH, BLOCK)
    turned = tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), (BLOCK,))
    tl.store(out + at, turned.to(out.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _norm_rope_gradient(  # type: ignore[no-untyped-def]
    gradient, total, scales, weight, cos, sin, below, tokens,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, channel, there, at = _row(CHANNELS, BLOCK)
    g = tl.load(gradient + at, mask=there, other=0.0).to(tl.float32)
    even, odd = tl.split(tl.reshape(g, (BLOCK // 2, 2)))
    c, s = _turns(cos, sin, row % tokens, WIDTH, BLOCK)
    back = tl.reshape(tl.join(even * c + odd * s, odd * c - even * s), (BLOCK,))
    back = back * tl.load(weight + channel, mask=there, other=0.0).to(tl.float32)
    scale = tl.load(scales + row)
    normed = tl.load(total + at, mask=there, other=0.0).to(tl.float32) * scale
    slope = (back - normed * (tl.sum(back * normed, 0) / CHANNELS)) * scale
    tl.store(below + at, slope.to(below.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _queries(tokens, heads, WIDTH: tl.constexpr, ROWS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Of a program's block of queries: rows, whether they are there, the channels of its head, and places in memory."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    batch, head = tl.program_id(1) // heads, tl.program_id(1) % heads
    channel = head * WIDTH + tl.arange(0, WIDTH)
    at = (batch * tokens + rows).to(tl.int64)[:, None] * (heads * WIDTH) + channel[None, :]
    return rows, rows < tokens, channel, at


@triton.jit  # type: ignore[untyped-decorator]
def _attend(  # type: ignore[no-untyped-def]
    query, key, value, out, sums, scale, tokens, length, heads,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, inside, channel, at = _queries(tokens, heads, WIDTH, ROWS)
    q = tl.load(query + at, mask=inside[:, None], other=0.0)
    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    mass = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, WIDTH), tl.float32)
    for start in range(0, length, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < length
        of_keys = columns[:, None] * (heads * WIDTH) + channel[None, :]
        k = tl.load(key + of_keys, mask=there[:, None], other=0.0)
        logits = tl.where(there[None, :], tl.dot(q, tl.trans(k), input_precision="ieee") * scale, float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        smaller = tl.exp2(peak - higher)
        weights = tl.exp2(logits - higher[:, None])
        peak, mass = higher, mass * smaller + tl.sum(weights, 1)
        v = tl.load(value + of_keys, mask=there[:, None], other=0.0)
        mixed = mixed * smaller[:, None] + tl.dot(weights.to(v.dtype), v, input_precision="ieee")
    tl.store(out + at, (mixed / mass[:, None]).to(out.dtype.element_ty), mask=inside[:, None])
    tl.store(sums + tl.program_id(1).to(tl.int64) * tokens + rows, peak + tl.log2(mass), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _attend_gradient(  # type: ignore[no-untyped-def]
    gradient, query, key, value, out, sums, below, scale, tokens, length, heads,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    rows, inside, channel, at = _queries(tokens, heads, WIDTH, ROWS)
    q = tl.load(query + at, mask=inside[:, None], other=0.0)
    g = tl.load(gradient + at, mask=inside[:, None], other=0.0)
    o = tl.load(out + at, mask=inside[:, None], other=0.0)
    along = tl.sum(g.to(tl.float32) * o.to(tl.float32), 1)  # what softmax takes off, since its weights sum to one
    total = tl.load(sums + tl.program_id(1).to(tl.int64) * tokens + rows, mask=inside, other=0.0)
    slope = tl.zeros((ROWS, WIDTH), tl.float32)
    for start in range(0, length, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        there = columns < length
        of_keys = columns[:, None] * (heads * WIDTH) + channel[None, :]
        k = tl.load(key + of_keys, mask=there[:, None], other=0.0)
        v = tl.load(value + of_keys, mask=there[:, None], other=0.0)
        logits = tl.dot(q, tl.trans(k), input_precision="ieee") * (scale * 1.4426950408889634)  # to the base of 2
        weights = tl.where(there[None, :], tl.exp2(logits - total[:, None]), 0.0)
        slopes = weights * (tl.dot(g, tl.trans(v), input_precision="ieee") - along[:, None])
        slope += tl.dot(slopes.to(k.dtype), k, input_precision="ieee")
    tl.store(below + at, (slope * scale).to(below.dtype.element_ty), mask=inside[:, None])
