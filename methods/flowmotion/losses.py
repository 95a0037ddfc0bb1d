"""FlowMotion's loss: clean latents and the sizes of their frame differences against the reference's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def flowmotion_loss(predicted: Tensor, reference: Tensor, *, latent_weight: float, motion_weight: float) -> Tensor:
    """latent_weight * MSE(x_0) + motion_weight * MSE(|D x_0|), of clean latents (B, C, F, h, w), F >= 2.

    Source: the official run.py (weights 20 and 5). The first term is blind to nothing: it pulls appearance and layout
    as well. The second is blind to the sign of a change.
    """
    return latent_weight * F.mse_loss(predicted, reference) + motion_weight * difference_loss(predicted, reference)


def difference_loss(predicted: Tensor, reference: Tensor) -> Tensor:
    """Mean squared gap of |x_j - x_i| over the consecutive pairs, then every frame against every other, stacked.

    As |x_j - x_i| = |x_i - x_j|, each pair i < j is computed once and counted twice; consecutive ones three times.
    """
    frames = predicted.shape[2]
    first, second = torch.triu_indices(frames, frames, offset=1, device=predicted.device)
    gaps = (predicted[:, :, second] - predicted[:, :, first]).abs()
    gaps = gaps - (reference[:, :, second] - reference[:, :, first]).abs()
    times = 2.0 + (second - first == 1).to(gaps.dtype)
    squares = gaps.square().mean(dim=(0, 1, 3, 4))  # (F (F - 1) / 2,)
    total: Tensor = (squares * times).sum() / times.sum()
    return total


def steered(velocity: Tensor, direction: Tensor, across: float) -> Tensor:
    """The part of a velocity along a direction plus `across` of the rest, place by place over the channels.

    velocity, direction: (B, C, F, h, w). Where the direction is zero nothing lies along it.
    """
    square = direction.square().sum(1, keepdim=True).clamp_min(1e-12)
    along = (velocity * direction).sum(1, keepdim=True) / square * direction
    return along + across * (velocity - along)
