"""The losses of VMC and SMA: on motion vectors, that is the differences of consecutive frames' velocities."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Axis = Literal["time", "channel", "frame"]


def vmc_loss(predicted: Tensor, target: Tensor, axis: Axis = "time") -> Tensor:
    """1 - cosine of the motion vectors D v and D v^, averaged; velocities (B, C, F, h, w), F >= 2.

    `time`: of |D v|, over the F-1 differences of each channel and place, as in the released code
    (HyeonHo99/Video-Motion-Customization, train_inference.py, `dim=2` of (B, C, F, H, W)); in [0, 1]. The absolute
    value is the code's too. It loses the sign, so a reversed change is no error. `channel`: the same, over C.
    `frame`: of D v itself, each frame's difference one vector, as the paper's equation has it; in [0, 2].
    """
    a, b = predicted.diff(dim=2), target.diff(dim=2)
    if axis == "frame":
        return (1 - F.cosine_similarity(a.transpose(1, 2).flatten(2), b.transpose(1, 2).flatten(2), dim=2)).mean()
    return (1 - F.cosine_similarity(a.abs(), b.abs(), dim=2 if axis == "time" else 1)).mean()


def haar_bands(x: Tensor, levels: int) -> list[Tensor]:
    """Orthonormal Haar wavelet coefficients along the frames (axis 2): details from fine to coarse, then what is left.

    An odd number of frames is made even by repeating the last; it ends early once one frame is left.
    """
    bands = []
    for _ in range(levels):
        if x.shape[2] < 2:
            break
        if x.shape[2] % 2:
            x = torch.cat([x, x[:, :, -1:]], dim=2)
        even, odd = x[:, :, ::2], x[:, :, 1::2]
        bands.append((even - odd) / math.sqrt(2))
        x = (even + odd) / math.sqrt(2)
    return [*bands, x]


def global_loss(predicted: Tensor, target: Tensor, levels: int = 2) -> Tensor:
    """SMA's global alignment: mean absolute gap of each band of the motion vectors' Haar coefficients, summed.

    Source: arXiv:2403.15249 (1D wavelets over all frames, level 2, L1). How bands are reduced is our reading.
    """
    gaps = haar_bands(predicted.diff(dim=2) - target.diff(dim=2), levels)  # the transform is linear
    return torch.stack([gap.abs().mean() for gap in gaps]).sum()


def local_loss(predicted: Tensor, target: Tensor, high: float = 0.05) -> Tensor:
    """SMA's local refinement: weighted mean gaps of amplitude and of phase of each motion vector's 2D spectrum, summed.

    The weight falls from 1 at frequency zero to `high` at the highest, as high ** (r / r_max); phases are compared
    around the circle, so that -pi and pi are equal. Source: arXiv:2403.15249 (amplitude and phase of a 2D FFT, low
    frequencies first, 0.05); the weight's form is our reading.
    """
    a, b = (torch.fft.fft2(v.diff(dim=2).float(), norm="ortho") for v in (predicted, target))
    weight = low_frequencies_first(a.shape[-2], a.shape[-1], high).to(a.device)
    amplitude = (a.abs() - b.abs()).abs()
    phase = torch.angle(a * b.conj()).abs()
    total: Tensor = ((amplitude + phase) * weight).mean() / weight.mean()
    return total


def low_frequencies_first(height: int, width: int, high: float) -> Tensor:
    """(h, w) weights of the bins of an FFT: 1 at zero, `high` at the farthest bin, geometric in the radius between."""
    radius = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)[None])
    weights: Tensor = high ** (radius / radius.max().clamp_min(1e-12))
    return weights
