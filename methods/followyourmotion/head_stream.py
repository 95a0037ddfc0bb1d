"""The four sums that tell heads apart, over attention maps that are never held whole.

A chunk has all heads and some query rows of one frame. Each mask is then a few ranges of columns, so a chunk is written
once by the product, once by the softmax, read once for its square, and in small parts for the masks.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..taps.token_grid import TokenGrid

BLOCK = 128  # tokens; the released code measures mass under bands of blocks of this size
CHUNK_ELEMENTS = 1 << 26  # of one chunk of maps: 256 MiB in float32


def block_size(grid: TokenGrid) -> int:
    """Tokens of a block: 128, or a frame's cells if that is less (the released code has empty bands then)."""
    return min(BLOCK, grid.cells)


def band(grid: TokenGrid, block: int) -> tuple[int, int]:
    """The range of tokens whose block is less than cells // block size blocks away from block number `block`."""
    size = block_size(grid)
    reach = grid.cells // size
    return max(0, (block - reach + 1) * size), min(grid.tokens, (block + reach) * size)


def chunk_rows(heads: int, grid: TokenGrid, elements: int) -> int:
    """Query rows of a chunk: as many as `elements` numbers hold, at least one and at most a frame's."""
    return max(1, min(grid.cells, elements // (heads * grid.tokens)))


def stream_bytes(heads: int, grid: TokenGrid, width: int, elements: int = CHUNK_ELEMENTS) -> int:
    """An upper bound of what `stream_sums` allocates: logits, their softmax, the part under the place-major band (and
    its product with the mask) of a chunk, with the mask itself; and float32 copies of query rows and keys.
    """
    rows = chunk_rows(heads, grid, elements)
    places = min(grid.cells, rows + 2 * (grid.cells // block_size(grid) + 1) * block_size(grid) // grid.frames + 4)
    chunk = 4 * heads * rows * grid.tokens
    under_band = heads * rows * grid.frames * places * 4
    mask = rows * grid.frames * places * (4 + 3) + 64 * (rows + grid.frames * places)
    copies = 4 * heads * width * (grid.tokens + rows)
    return 2 * chunk + 2 * under_band + mask + 2 * copies + (1 << 16)


def stream_sums(query: Tensor, key: Tensor, grid: TokenGrid, elements: int = CHUNK_ELEMENTS) -> Tensor:
    """(5, K) float64: <A, M> of M_spatial, M_temporal and the two bands, and |A|^2, of A = softmax(q k^T / sqrt(d)).

    query, key: (K, S, D), S = grid.tokens, after norm and RoPE. Products and sums are in float32 at least, also of
    bfloat16 inputs. On a GPU there is no synchronization with the host in it.
    """
    heads, _, width = query.shape
    sums = torch.zeros(5, heads, dtype=torch.float64, device=query.device)
    keys = _operand(key).transpose(1, 2)
    for frame, start, stop in _chunks(grid, chunk_rows(heads, grid, elements)):
        first = frame * grid.cells
        rows = _operand(query[:, first + start : first + stop])
        attention = _product(rows, keys).mul_(width**-0.5).softmax(-1)  # (K, R, S)
        sums[0] += attention[..., first : first + grid.cells].sum((1, 2))
        sums[1] += _other_frames(attention, grid, frame, start)
        sums[2] += _frame_major_band(attention, grid, first + start)
        sums[3] += _place_major_band(attention, grid, frame, start)
        sums[4] += torch.linalg.vector_norm(attention, dim=2).double().square().sum(1)
        del attention  # before the next product, or there would be three chunks at once
    return sums


def _chunks(grid: TokenGrid, rows: int) -> Iterator[tuple[int, int, int]]:
    """(frame, first cell, past the last cell) of each chunk."""
    for frame in range(grid.frames):
        for start in range(0, grid.cells, rows):
            yield frame, start, min(start + rows, grid.cells)


def _operand(x: Tensor) -> Tensor:
    """What is multiplied: bfloat16 as it is where the product can be float32, else float32."""
    return x.contiguous() if x.dtype == torch.bfloat16 and x.is_cuda and _has_wide_product() else x.float()


def _has_wide_product() -> bool:
    return tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 8)


def _product(rows: Tensor, keys: Tensor) -> Tensor:
    """rows (K, R, D) times keys (K, D, S) as (K, R, S) float32; of bfloat16 operands each product is exact."""
    if rows.dtype == torch.float32:
        return torch.bmm(rows, keys)
    wide: Tensor = torch.bmm(rows, keys, out_dtype=torch.float32)
    return wide


def _other_frames(attention: Tensor, grid: TokenGrid, frame: int, start: int) -> Tensor:
    """(K,): mass at the row's own place in the other frames."""
    rows = attention.shape[1]
    cube = attention.unflatten(2, (grid.frames, grid.cells))[..., start : start + rows]  # (K, R, F, R)
    places = cube.diagonal(dim1=1, dim2=3)  # (K, F, R): columns at the rows' own places
    mass: Tensor = places.sum((1, 2)) - places[:, frame].sum(1)
    return mass


def _frame_major_band(attention: Tensor, grid: TokenGrid, first: int) -> Tensor:
    """(K,): mass under |block_i - block_j| < cells // block with blocks in frame-major order; rows from `first` on."""
    rows = attention.shape[1]
    mass = torch.zeros(attention.shape[0], device=attention.device)
    for block in range(first // block_size(grid), (first + rows - 1) // block_size(grid) + 1):
        top = max(block * block_size(grid) - first, 0)
        low, high = band(grid, block)
        mass += attention[:, top : (block + 1) * block_size(grid) - first, low:high].sum((1, 2))
    return mass


def _place_major_band(attention: Tensor, grid: TokenGrid, frame: int, start: int) -> Tensor:
    """(K,): the same with blocks in place-major order, where token (frame f, cell p) has number p * frames + f."""
    rows = attention.shape[1]
    edges = [band(grid, ((start + r) * grid.frames + frame) // block_size(grid)) for r in (0, rows - 1)]
    left, right = edges[0][0] // grid.frames, -(-edges[1][1] // grid.frames)  # all places that any row reaches
    device = attention.device
    numbers = (torch.arange(rows, device=device, dtype=torch.int32) + start) * grid.frames + frame
    blocks = torch.div(numbers, block_size(grid), rounding_mode="floor")[:, None, None]
    places = torch.arange(left, right, device=device, dtype=torch.int32) * grid.frames
    columns = places + torch.arange(grid.frames, device=device, dtype=torch.int32)[:, None]  # (F, Q)
    columns = torch.div(columns, block_size(grid), rounding_mode="floor")
    mask = (columns - blocks).abs() < grid.cells // block_size(grid)  # (R, F, Q)
    part = attention.unflatten(2, (grid.frames, grid.cells))[..., left:right]  # (K, R, F, Q)
    mass: Tensor = (part * mask).sum((1, 2, 3))
    return mass
