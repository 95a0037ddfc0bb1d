"""The four sums that tell heads apart in one pass on a GPU: no attention map is ever written to memory.

Each program has some query rows of one head and walks along all keys. As in flash attention, exponentials are taken
against the largest logit so far, and what has been summed is scaled down when a larger one comes; here it is five sums
that are scaled, not an output. Blocks of keys that a mask cannot touch do not look at it.
"""

from __future__ import annotations

import subprocess
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.errors import TritonError

from ..taps.token_grid import TokenGrid
from .head_stream import block_size

# What comes of a kernel that cannot be compiled, or a driver or C compiler that is missing.
KERNEL_ERRORS = (RuntimeError, OSError, subprocess.SubprocessError, TritonError)
ROWS, COLUMNS = 128, 64  # of a block of logits: queries times keys


def kernel_sums(query: Tensor, key: Tensor, grid: TokenGrid) -> Tensor:
    """(5, K) float64, what `head_stream.stream_sums` gives, of query and key (K, S, d), d at most 256.

    Products of bfloat16 are exact and summed in float32, as are the sums along a row; rows are summed in float64.
    """
    heads, tokens, width = query.shape
    sums = torch.empty(5, heads, tokens, device=query.device)
    key = key.to(query.dtype)
    blocks = (triton.cdiv(tokens, ROWS), heads)
    shapes: dict[str, Any] = {"FRAMES": grid.frames, "CELLS": grid.cells, "BLOCK": block_size(grid)}
    with torch.cuda.device_of(query):  # Triton launches on the current device
        _sum_rows[blocks](
            query, key, sums, width**-0.5 * 1.4426950408889634, *query.stride(), *key.stride(), width,
            **shapes, TOKENS=tokens, WIDTH=max(16, triton.next_power_of_2(width)), ROWS=ROWS, COLUMNS=COLUMNS,
            num_warps=8, num_stages=3,
        )  # fmt: skip
    return sums.sum(2, dtype=torch.float64)


@triton.jit  # type: ignore[untyped-decorator]
def _sum_rows(  # type: ignore[no-untyped-def]
    query, key, sums, scale,
    query_head, query_row, query_column, key_head, key_row, key_column, width,
    FRAMES: tl.constexpr, CELLS: tl.constexpr, BLOCK: tl.constexpr, TOKENS: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    REACH: tl.constexpr = CELLS // BLOCK  # of a band, in blocks
    head = tl.program_id(1)
    first = tl.program_id(0) * ROWS
    rows = first + tl.arange(0, ROWS)
    channels = tl.arange(0, WIDTH)
    q = tl.load(
        query + head * query_head + rows[:, None] * query_row + channels[None, :] * query_column,
        mask=(rows[:, None] < TOKENS) & (channels[None, :] < width),
        other=0.0,
    )
    frame, cell = rows // CELLS, rows % CELLS
    by_frame, by_place = rows // BLOCK, (cell * FRAMES + frame) // BLOCK  # the row's block in either order
    last = tl.minimum(first + ROWS, TOKENS) - 1
    whole = first // CELLS == last // CELLS  # all rows in one frame, and so their cells in one stretch
    low_cell, high_cell = tl.where(whole, first % CELLS, 0), tl.where(whole, last % CELLS, CELLS - 1)
    # Columns that the frame's own mask and the band in frame-major order may touch, and cells of the other band.
    low_column = tl.minimum((first // CELLS) * CELLS, (first // BLOCK - REACH + 1) * BLOCK)
    high_column = tl.maximum((last // CELLS + 1) * CELLS, (last // BLOCK + REACH) * BLOCK)
    low_place = ((low_cell * FRAMES) // BLOCK - REACH + 1) * BLOCK // FRAMES - 1
    high_place = ((high_cell * FRAMES + FRAMES - 1) // BLOCK + REACH) * BLOCK // FRAMES + 1

    peak = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    square = tl.zeros((ROWS,), tl.float32)
    own_frame = tl.zeros((ROWS,), tl.float32)
    own_cell = tl.zeros((ROWS,), tl.float32)
    frame_band = tl.zeros((ROWS,), tl.float32)
    place_band = tl.zeros((ROWS,), tl.float32)
    for start in range(0, TOKENS, COLUMNS):
        columns = start + tl.arange(0, COLUMNS)
        k = tl.load(
            key + head * key_head + columns[None, :] * key_row + channels[:, None] * key_column,
            mask=(columns[None, :] < TOKENS) & (channels[:, None] < width),
            other=0.0,
        )
        logits = tl.dot(q, k, input_precision="ieee") * scale  # to the base of 2
        logits = tl.where(columns[None, :] < TOKENS, logits, float("-inf"))
        higher = tl.maximum(peak, tl.max(logits, 1))
        smaller = tl.exp2(peak - higher)
        mass = tl.exp2(logits - higher[:, None])
        peak = higher
        total = total * smaller + tl.sum(mass, 1)
        square = square * smaller * smaller + tl.sum(mass * mass, 1)
        own_frame, own_cell = own_frame * smaller, own_cell * smaller
        frame_band, place_band = frame_band * smaller, place_band * smaller
        if (start < high_column) & (start + COLUMNS > low_column):
            own_frame += tl.sum(tl.where(frame[:, None] == (columns // CELLS)[None, :], mass, 0.0), 1)
            apart = by_frame[:, None] - (columns // BLOCK)[None, :]
            frame_band += tl.sum(tl.where((apart < REACH) & (apart > -REACH), mass, 0.0), 1)
        end = tl.minimum(start + COLUMNS, TOKENS) - 1
        across = start // CELLS != end // CELLS  # the columns lie in two frames or more
        low, high = tl.where(across, 0, start % CELLS), tl.where(across, CELLS - 1, end % CELLS)
        if (low <= high_place) & (high >= low_place):
            cells, frames = columns % CELLS, columns // CELLS
            there = (cell[:, None] == cells[None, :]) & (frame[:, None] != frames[None, :])
            own_cell += tl.sum(tl.where(there, mass, 0.0), 1)
            apart = by_place[:, None] - ((cells * FRAMES + frames) // BLOCK)[None, :]
            place_band += tl.sum(tl.where((apart < REACH) & (apart > -REACH), mass, 0.0), 1)
    inside = rows < TOKENS
    to = sums + head * TOKENS + rows
    step = TOKENS * tl.num_programs(1)
    tl.store(to, own_frame / total, mask=inside)
    tl.store(to + step, own_cell / total, mask=inside)
    tl.store(to + 2 * step, frame_band / total, mask=inside)
    tl.store(to + 3 * step, place_band / total, mask=inside)
    tl.store(to + 4 * step, square / (total * total), mask=inside)
