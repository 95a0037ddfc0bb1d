"""The two losses of the temporal stage: flow matching, and agreement of frame-to-frame velocity changes."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

MotionAxis = Literal["frame", "channel", "time"]


def denoise_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of velocities (B, C, F, h, w): the flow-matching loss of Wan."""
    return F.mse_loss(predicted, target)


def motion_loss(predicted: Tensor, target: Tensor, axis: MotionAxis = "frame") -> Tensor:
    """1 - cos(v_i - v_{i-1}, v^_i - v^_{i-1}), averaged, in [0, 2]; velocities (B, C, F, h, w), F >= 2.

    The paper does not say over which axis the cosine runs. `frame` (default): over C, h and w of each pair of frames,
    so that the places that change most weigh most, as motion does. `channel`: over C at each place, where a still
    background counts as much as the moving object. `time`: over the frame axis on *absolute* differences, as the
    released code has it; signs are lost, so a reversed change is no error there.
    Source: arXiv:2506.05207, L_motion. One frame has no differences: the loss is then 0.
    """
    if predicted.shape[2] < 2:
        return predicted.new_zeros(())
    a, b = predicted.diff(dim=2), target.diff(dim=2)  # (B, C, F-1, h, w)
    if axis == "time":
        return (1 - F.cosine_similarity(a.abs(), b.abs(), dim=2)).mean()
    if axis == "channel":
        return (1 - F.cosine_similarity(a, b, dim=1)).mean()
    pairs = [x.transpose(1, 2).flatten(2) for x in (a, b)]  # (B, F-1, C*h*w)
    return (1 - F.cosine_similarity(pairs[0], pairs[1], dim=2)).mean()
