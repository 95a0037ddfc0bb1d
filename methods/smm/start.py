"""Where SMM starts: the reference's inverted path, and noise that keeps its low frequencies."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..backbones.backbone import Backbone
from ..backbones.flow import euler, sampling_times


@torch.no_grad()
def inverted_path(
    backbone: Backbone,
    latents: Tensor,
    text: Tensor,
    *,
    steps: int,
    substeps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> list[Tensor]:
    """A clip's latents (1, C, F, h, w) at the `steps` + 1 times of sampling, from 1 down to 0, by inversion.

    Euler steps from time 0 up, `substeps` between two times of sampling, without classifier-free guidance. The fine
    times contain the coarse ones, since both are even before they are shifted.
    """
    times = sampling_times(steps * substeps, backbone.shift).flip(0)
    path = [latents]
    for i in range(steps):
        stretch = times[i * substeps : (i + 1) * substeps + 1]
        path.append(euler(lambda x, t: backbone.velocity(x, t, text), path[-1], stretch))
        if on_step is not None:
            on_step(i + 1, steps)
    return path[::-1]


def mixed_frequencies(low: Tensor, high: Tensor, factor: int) -> Tensor:
    """The low spatial frequencies of one tensor (1, C, F, h, w) and the high ones of another, of the same shape.

    Low is what is left after shrinking each frame by `factor` and enlarging it again. Source: arXiv:2311.17009,
    Section 4.3 (factor 4).
    """
    return high + low_frequencies(low - high, factor)  # both are linear


def low_frequencies(x: Tensor, factor: int) -> Tensor:
    """What is left of (1, C, F, h, w) after shrinking each frame by a factor and enlarging it, bilinearly."""
    frames = rearrange(x, "1 c f h w -> f c h w")
    height, width = frames.shape[-2:]
    small = (max(1, height // factor), max(1, width // factor))
    shrunk = F.interpolate(frames, small, mode="bilinear", antialias=True)
    return rearrange(F.interpolate(shrunk, (height, width), mode="bilinear"), "f c h w -> 1 c f h w")
