"""The loss of MotionClone on the nearest thing to temporal attention that a video transformer has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..taps.attention import QueryKey
from ..taps.token_grid import TokenGrid


def frame_maps(tap: QueryKey, grid: TokenGrid) -> Tensor:
    """(K, n, F, F): for each head and place, how frame i's token attends to the same place in the frames j.

    The slice of the full attention map with both tokens at one place, renormalized over j: what is left of a row once
    all other places are gone. The softmax's own denominator cancels, so the full map is never made. Rows sum to 1.
    """
    wide = torch.promote_types(tap.query.dtype, torch.float32)
    # (K, F, n, d) -> (K, n, F, d)
    query, key = (x[0].to(wide).unflatten(1, (grid.frames, grid.cells)).transpose(1, 2) for x in (tap.query, tap.key))
    maps: Tensor = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(-1)
    return maps


def strongest(maps: Tensor, *, others: bool = False) -> tuple[Tensor, Tensor]:
    """The largest value of each row of maps (..., F, F) and its index: two (..., F, 1).

    others: leave out what a frame gives to itself, which is often the largest and says nothing of motion.
    """
    if others:
        maps = maps - torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device) * 2  # values are at most 1
    values, indices = maps.max(-1, keepdim=True)
    return values, indices


def sparse_loss(
    maps: Mapping[int, Tensor], reference: Mapping[int, tuple[Tensor, Tensor]], weight: float = 2000.0
) -> Tensor:
    """weight * sum over blocks of the mean squared gap at the reference's strongest entries.

    maps: block -> (K, n, F, F); reference: block -> values and indices of `strongest`.
    Source: MotionClone, arXiv:2406.05338 (top-1 sparse constraint); weight 2000 as released.
    """
    gaps = [
        (maps[block].gather(-1, indices) - values).square().mean() for block, (values, indices) in reference.items()
    ]
    return weight * torch.stack(gaps).sum()
