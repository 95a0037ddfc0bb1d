"""The losses of FastVMT: flow in windows against the reference's, and keys that stay alike along the flow."""

from __future__ import annotations

import torch
from torch import Tensor


def distance_weights(pairs: Tensor, reach: int, last: float = 0.8) -> Tensor:
    """(P,) weights of frame pairs (i, j): from 1 at j = i down to `last` at j = i + reach - 1, linearly."""
    return torch.linspace(1, last, reach)[pairs[:, 1] - pairs[:, 0]]


def windowed_flow_loss(flow: Tensor, reference: Tensor, weights: Tensor) -> Tensor:
    """Mean over frame pairs of weight times the squared gap of displacements (P, n, 2), summed over cells, tokens^2.

    A sum over cells, as released: its share against the tracking loss grows with the size of the grid.
    """
    gaps = (flow - reference).square().flatten(1).sum(1)
    return (gaps * weights.to(gaps)).mean()


def successions(pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Where a pair (i, j) of `pairs` (P, 2), sorted by i, then j, follows one of the same i: (S,) its index, and (S,)
    its weight, such that every i that has two pairs counts the same and all weights sum to 1."""
    index = (pairs[1:, 0] == pairs[:-1, 0]).nonzero().flatten() + 1
    of = pairs[index, 0]
    weights = 1 / (of[:, None] == of).sum(1).double() / max(1, len(of.unique()))
    return index, weights


def tracking_loss(means: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Mean change of a tile's windowed mean key from one frame j to the next, as seen from the same frame i.

    means: (P, M, D) of frame pairs; index, weights: their `successions`. A frame i with one j alone says nothing; with
    none that has two the loss is 0. The mean runs over tiles and steps of each i, then over i.
    """
    steps = torch.linalg.vector_norm(means[index] - means[index - 1], dim=-1)  # (S, M)
    return (steps.mean(1) * weights.to(steps)).sum() if len(index) else means.sum() * 0
