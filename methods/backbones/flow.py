"""Rectified flow as Wan2.1 uses it: x_t = (1 - t) x_0 + t eps, v = eps - x_0, t from 1 (noise) to 0 (clip)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def shift_times(t: Tensor, shift: float) -> Tensor:
    """Times moved toward noise: shift * t / (1 + (shift - 1) * t), which maps [0, 1] onto itself.

    Source: Esser et al., arXiv:2403.03206, Section 5.3.2 (timestep shifting); Wan2.1 samples with 3 to 7.
    """
    return shift * t / (1 + (shift - 1) * t)


def sampling_times(steps: int, shift: float) -> Tensor:
    """The steps + 1 times of Euler sampling, from 1 down to 0: (steps + 1,) float32."""
    return shift_times(torch.linspace(1, 0, steps + 1), shift)


def logit_normal_times(batch: int, shift: float, generator: torch.Generator, device: torch.device | str) -> Tensor:
    """Training times: the sigmoid of a unit Gaussian, shifted: (B,) float32 in (0, 1), on `device`.

    Drawn on the generator's own device and moved without a host synchronization.
    Source: Esser et al., arXiv:2403.03206, Section 3.1 (logit-normal sampling).
    """
    draw = torch.randn(batch, generator=generator, device=generator.device)
    return shift_times(torch.sigmoid(draw), shift).to(device, non_blocking=True)


def noised(latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t of latents (B, C, F, h, w) at times t (B,)."""
    t = t.view(-1, 1, 1, 1, 1).to(latents.dtype)
    return (1 - t) * latents + t * noise


def gaussian(shape: tuple[int, ...], seed: int, device: torch.device | str) -> Tensor:
    """Unit Gaussian noise from a seed, drawn on the CPU so that every device starts from the same latent."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed % 2**63)).to(device)


def euler(
    velocity: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    times: Tensor,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Integrate dx/dt = velocity(x, t) over `times` from `start` (1, C, F, h, w); returns latents of the same shape."""
    x = start
    total = len(times) - 1
    for i in range(total):
        x = x + (times[i + 1] - times[i]) * velocity(x, times[i].expand(x.shape[0]).to(x.device))
        if on_step is not None:
            on_step(i + 1, total)
    return x
