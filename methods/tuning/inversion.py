"""Inversion for flow models: the noise from which a model's own steps lead back to a clip."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..backbones.backbone import Backbone
from ..backbones.flow import gaussian, noised, sampling_times


@torch.no_grad()
def invert(
    backbone: Backbone,
    latents: Tensor,
    text: Tensor,
    *,
    steps: int,
    iterations: int = 1,
    noise: float = 0.0,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Latents (1, C, F, h, w) at time 1 of a clip's latents: the sampler's steps, backwards and without guidance.

    A sampling step is x_a = x_b + (a - b) v(x_b, b), a < b. Its inverse takes the velocity at the end that is not known
    yet, so `iterations` are run of x_b <- x_a + (b - a) v(x_b, b). With 1, v(x_a, a) is taken in its place: Euler steps
    of the reversed flow, the analogue of DDIM inversion.

    noise: the time to which the clip is noised first (by `seed`), 0 inverts the clip as it is. A clean clip holds
    nothing that the flow could stretch into noise: a velocity is eps - x_0, a model sees no eps there, and the latents
    only shrink toward 0. A trace of real noise is carried along and arrives as noise.

    No classifier-free guidance, as in DDIM inversion: with it the way back would not be the way there.
    """
    times = _rising_times(steps, backbone.shift, noise)
    x = noised(latents, gaussian(tuple(latents.shape), seed, backbone.device), torch.tensor([noise]).to(latents.device))
    total = len(times) - 1
    for i in range(total):
        a, b = times[i], times[i + 1]
        at = (a if iterations == 1 else b).view(1).to(x.device)
        y = x
        for _ in range(iterations):
            y = x + (b - a) * backbone.velocity(y, at, text)
        x = y
        if on_step is not None:
            on_step(i + 1, total)
    return x


def _rising_times(steps: int, shift: float, lowest: float) -> Tensor:
    """`lowest`, then the times of a sampler of so many steps that lie above it, up to 1."""
    times = sampling_times(steps, shift).flip(0)
    return torch.cat([torch.tensor([lowest]), times[times > lowest + 1e-6]])


def renormalized(latents: Tensor) -> Tensor:
    """Latents (1, C, F, h, w) with every channel at mean 0 and deviation 1, as noise has them."""
    mean = latents.mean((2, 3, 4), keepdim=True)
    return (latents - mean) / latents.std((2, 3, 4), keepdim=True, correction=0).clamp_min(1e-6)
