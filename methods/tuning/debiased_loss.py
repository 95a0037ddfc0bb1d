"""MotionDirector's appearance-debiased loss: the clip, and the clip without what its frames share."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def debiased(velocity: Tensor, anchor: Tensor, beta: float = 1.0) -> Tensor:
    """sqrt(beta^2 + 1) * v_i - beta * v_anchor for every frame i of (B, C, F, h, w), anchor (1,); the same shape.

    Subtracting a frame takes away what all frames show alike. The factor keeps the variance of independent noise.
    Source: MotionDirector, arXiv:2310.08465, Section 4.2 (there on the predicted noise; v = eps - x_0 is as linear).
    """
    return math.sqrt(beta**2 + 1) * velocity - beta * velocity.index_select(2, anchor)


def temporal_loss(
    predicted: Tensor, target: Tensor, anchor: Tensor, *, weight: float = 1.0, beta: float = 1.0
) -> Tensor:
    """MSE of velocities (B, C, F, h, w), plus `weight` times the MSE of the debiased ones."""
    gap = F.mse_loss(debiased(predicted, anchor, beta), debiased(target, anchor, beta))
    return F.mse_loss(predicted, target) + weight * gap
