"""Attention flow: where the tokens of one frame look in another, streamed over frame pairs so that memory stays small.

All functions take scores as a product: queries and keys (F, n, D) with score = query . key, n cells per frame in rows
and columns. Displacements are (x, y) in tokens. The whole map of 21 frames of 1,560 cells would be 1.07e9 numbers;
a chunk here is `elements` of them, and its gradient computes it again instead of keeping it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..taps.attention import QueryKey
from ..taps.token_grid import TokenGrid

ELEMENTS = 1 << 24  # of one chunk of scores: 64 MiB in float32
HeadMean = Literal["scores", "features"]


def score_factors(tap: QueryKey, grid: TokenGrid, heads: HeadMean = "scores") -> tuple[Tensor, Tensor]:
    """Queries and keys (F, n, D) whose products are the scores of a clip (B = 1), float32 or wider.

    `scores`: the mean over heads of q k^T / sqrt(d), before any softmax; it is one product of all heads' channels
    side by side, over K sqrt(d), so D = K d. `features`: queries and keys are averaged over heads first; D = d.
    """
    wide = torch.promote_types(tap.query.dtype, torch.float32)
    query, key = tap.query[0].to(wide), tap.key[0].to(wide)  # (K, N, d)
    count, _, width = query.shape
    if heads == "scores":
        query, key = query.transpose(0, 1).flatten(1) / count, key.transpose(0, 1).flatten(1)
    else:
        query, key = query.mean(0), key.mean(0)
    shape = (grid.frames, grid.cells)
    return (query / width**0.5).unflatten(0, shape), key.unflatten(0, shape)


def frame_pairs(frames: int, reach: int | None = None) -> Tensor:
    """Ordered frame pairs (P, 2) int64, a frame with itself too: all of them, or those with 0 <= j - i < reach."""
    indices = torch.arange(frames)
    pairs = torch.cartesian_prod(indices, indices).reshape(-1, 2)
    gap = pairs[:, 1] - pairs[:, 0]
    return pairs if reach is None else pairs[(gap >= 0) & (gap < reach)]


def cell_positions(grid: TokenGrid, like: Tensor) -> Tensor:
    """(n, 2) places (x, y) of a frame's cells in tokens, of the type and on the device of `like`."""
    cells = torch.arange(grid.cells, device=like.device)
    return torch.stack([cells % grid.width, cells // grid.width], dim=1).to(like.dtype)


def stream_pairs(
    query: Tensor, key: Tensor, pairs: Tensor, reduce: Callable[[Tensor], Tensor], *, elements: int = ELEMENTS
) -> Tensor:
    """`reduce` of the scores (p, n, n) of frame pairs, rows of frame i by columns of frame j, for all P pairs.

    reduce keeps the first axis: (p, n, n) -> (p, ...); the result is (P, ...). With more than one chunk, scores are
    computed once more for the gradient, so that no two chunks are in memory at once.
    """
    chunks = pairs.to(query.device).split(max(1, elements // (query.shape[1] * key.shape[1])))
    again = len(chunks) > 1 and torch.is_grad_enabled() and (query.requires_grad or key.requires_grad)
    parts = []
    for chunk in chunks:
        part = partial(_reduced, chunk=chunk, reduce=reduce)
        parts.append(
            checkpoint(part, query, key, use_reentrant=False, preserve_rng_state=False) if again else part(query, key)
        )
    return torch.cat(parts)


def soft_displacements(
    query: Tensor,
    key: Tensor,
    grid: TokenGrid,
    pairs: Tensor,
    temperature: float = 1.0,
    *,
    elements: int = ELEMENTS,
) -> Tensor:
    """(P, n, 2): the mean offset from each cell of frame i to the cells of frame j, under softmax(temperature * score).

    The softmax runs over the cells of frame j alone.
    """
    places = cell_positions(grid, query)

    def expected(scores: Tensor) -> Tensor:
        return (temperature * scores).softmax(-1) @ places - places

    return stream_pairs(query, key, pairs, expected, elements=elements)


@torch.no_grad()
def best_displacements(
    query: Tensor, key: Tensor, grid: TokenGrid, pairs: Tensor, *, elements: int = ELEMENTS
) -> Tensor:
    """(P, n, 2): the offset from each cell of frame i to its best match in frame j; whole tokens, no gradient."""
    places = cell_positions(grid, query)

    def best(scores: Tensor) -> Tensor:
        return places[scores.argmax(-1)] - places

    return stream_pairs(query, key, pairs, best, elements=elements)


def _reduced(query: Tensor, key: Tensor, *, chunk: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    return reduce(query[chunk[:, 0]] @ key[chunk[:, 1]].transpose(1, 2))
