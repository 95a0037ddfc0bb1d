"""Inversion for flow models: the noise from which a model's own steps lead back to a clip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .backbones.backbone import Backbone
from .backbones.flow import euler, sampling_times


@torch.no_grad()
def invert(
    backbone: Backbone,
    latents: Tensor,
    text: Tensor,
    *,
    steps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Latents (1, C, F, h, w) at time 1 of a clip's latents: Euler steps against the direction of sampling.

    No classifier-free guidance, as in DDIM inversion: with it the way back would not be the way there. What is left of
    the clip's layout in the result is what methods start from; it is Gaussian only as far as the model is.
    """
    times = sampling_times(steps, backbone.shift).flip(0)
    return euler(lambda x, t: backbone.velocity(x, t, text), latents, times, on_step)
