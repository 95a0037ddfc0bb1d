"""Bilinear reading of maps around many places, as the `tiny` tracker's network does it: whole squares at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Patches(NamedTuple):
    """Squares of K x K whole cells in maps of h x w cells, K = 2 radius + 2, around places between them: what bilinear
    readings at all integer offsets up to `radius` need. They all share the fractions, hence four weights.

    cells (..., K, K): number of each in its map, the border repeated outside; fraction (..., 2) of the places,
    x then y.
    """

    cells: Tensor
    fraction: Tensor

    @classmethod
    def around(cls, places: Tensor, radius: int, h: int, w: int) -> Patches:
        """places (..., 2), x then y in pixels of the map."""
        low = places.floor()
        whole = low.long().unsqueeze(-1) + torch.arange(-radius, radius + 2, device=places.device)  # (..., 2, K)
        index = whole[..., 1, :].clamp(0, h - 1).unsqueeze(-1) * w + whole[..., 0, :].clamp(0, w - 1).unsqueeze(-2)
        return cls(index, places - low)


def at_stride(points: Tensor, stride: float) -> Tensor:
    """Pixels of the full-size frame as pixels of a map whose cells are `stride` pixels wide; centers at integers."""
    return (points + 0.5) / stride - 0.5


def read_features(maps: Tensor, places: Tensor, radius: int) -> Tensor:
    """Bilinear reading of maps (B, T, h, w, C) around places (B, N, T, 2) in pixels of the map: (B, N, T, Q, C), the
    Q = (2 radius + 1)**2 integer offsets row by row. Three times as fast on the CPU as grid_sample."""
    b, steps, h, w, channels = maps.shape
    index, fraction = Patches.around(places, radius, h, w)
    frame = torch.arange(b * steps, device=maps.device).view(b, 1, steps, 1, 1)
    index = index + frame * (h * w)
    if maps.device.type != "cpu":
        return _read_squares(maps.reshape(-1, channels), index, fraction)
    corners = [index[..., :-1, :-1], index[..., :-1, 1:], index[..., 1:, :-1], index[..., 1:, 1:]]
    index = torch.stack(corners, dim=-1).flatten(-3, -2)  # (B, N, T, Q, 4)
    x, y = fraction.unsqueeze(-2).unbind(-1)  # (B, N, T, 1)
    weights = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=-1).expand_as(index)
    read = F.embedding_bag(  # the weighted sum of four whole vectors
        index.view(-1, 4), maps.reshape(-1, channels), mode="sum", per_sample_weights=weights.reshape(-1, 4)
    )
    return read.view(*index.shape[:-1], channels)


def _read_squares(vectors: Tensor, index: Tensor, fraction: Tensor) -> Tensor:
    """The same reading by whole squares index (..., K, K): each vector is fetched once for all readings that it is
    part of, and the gradient needs no sorting, which takes longer than all the rest on a GPU."""
    square = vectors.index_select(0, index.flatten()).view(*index.shape, vectors.shape[-1])
    x, y = fraction[..., None, None, None].unbind(-4)  # (..., 1, 1, 1)
    lines = torch.lerp(square[..., :-1, :, :], square[..., 1:, :, :], y)
    return torch.lerp(lines[..., :-1, :], lines[..., 1:, :], x).flatten(-3, -2)


def read_maps(maps: Tensor, places: Tensor, radius: int) -> Tensor:
    """Bilinear reading of maps (..., h, w), each around its own place (..., 2): (..., Q) as in `read_features`."""
    index, fraction = Patches.around(places, radius, *maps.shape[-2:])
    square = maps.flatten(-2).gather(-1, index.flatten(-2)).view_as(index)
    x, y = fraction[..., None, None].unbind(-3)
    lines = torch.lerp(square[..., :-1, :], square[..., 1:, :], y)
    return torch.lerp(lines[..., :-1], lines[..., 1:], x).flatten(-2)
