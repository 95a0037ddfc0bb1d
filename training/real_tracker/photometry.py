"""What happens to a clip between the world and the file: light, lens, sensor, codec, and what generators do to it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import Draws

BLOCK = 8  # pixels of a codec's block


def _cosines(device: str) -> Tensor:
    """(64, 1, 8, 8): the filters of the block transform, orthonormal."""
    k = torch.arange(BLOCK, device=device, dtype=torch.float32)
    basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] /= math.sqrt(2)
    return torch.einsum("ai,bj->abij", basis, basis).reshape(BLOCK * BLOCK, 1, BLOCK, BLOCK)


def compress(frames: Tensor, step: Tensor) -> Tensor:
    """Frames (M, 3, H, W) in [0, 1] through a coarse block transform with steps (M,) of lightness, twice that of
    color."""
    mix = frames.new_tensor([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
    ycc = torch.einsum("ij,mjhw->mihw", mix, frames)
    filters = _cosines(str(frames.device))
    high = torch.arange(BLOCK, device=frames.device, dtype=torch.float32)
    frequency = (high[:, None] + high[None]).reshape(1, -1, 1, 1)

    def quantize(plane: Tensor, steps: Tensor) -> Tensor:
        spectrum = F.conv2d(plane, filters, stride=BLOCK)
        grain = steps[:, None, None, None] * (1 + frequency * 0.25)
        kept = (spectrum.abs() / grain + 0.33).floor() * spectrum.sign() * grain  # with the dead zone that codecs have
        return F.conv_transpose2d(kept, filters, stride=BLOCK)

    light = quantize(ycc[:, :1], step)
    small = F.avg_pool2d(ycc[:, 1:], 2).flatten(0, 1).unsqueeze(1)
    color = F.interpolate(
        quantize(small, step.repeat_interleave(2) * 2).view(len(frames), 2, *small.shape[-2:]),
        scale_factor=2.0,
        mode="bilinear",
    )
    return torch.einsum("ij,mjhw->mihw", torch.linalg.inv(mix), torch.cat([light, color], 1))


def _some(draws: Draws, clips: int, chance: float) -> Tensor:
    return draws.coin(clips, chance=chance)[:, None, None, None, None].float()


def _soften(frames: Tensor, factor: int) -> Tensor:
    small = F.avg_pool2d(frames, factor)
    return F.interpolate(small, scale_factor=float(factor), mode="bilinear")


def disturb(frames: Tensor, draws: Draws) -> Tensor:
    """Frames (B, T, 3, S, S) in [0, 1] after exposure, flicker, lens and sensor, boiling, codec; each only for some
    clips."""
    clips, steps, _, side, _ = frames.shape
    light = draws.paths(clips, 1, steps).transpose(1, 2)[..., None, None] * 0.1 * _some(draws, clips, 0.3)
    flicker = draws.normal(clips, steps, 3, 1, 1) * 0.025 * _some(draws, clips, 0.2)
    frames = frames * torch.exp(light + flicker) + 0.03 * draws.normal(clips, 1, 3, 1, 1)
    if bool(
        torch.rand(1, generator=torch.Generator().manual_seed(draws.generator.initial_seed() % 2**31)).item() < 0.5
    ):
        boil = F.interpolate(draws.normal(clips * steps, 3, side // 8, side // 8), size=(side, side), mode="bilinear")
        still = F.interpolate(draws.normal(clips, 3, side // 4, side // 4), size=(side, side), mode="bilinear")[:, None]
        frames = frames + boil.view(clips, steps, 3, side, side) * 0.05 * _some(draws, clips, 0.3) * draws.uniform(
            clips, 1, 1, 1, 1
        )
        frames = frames + still * 0.05 * _some(draws, clips, 0.1)  # dirt on the lens that does not move with the world
    flat = frames.flatten(0, 1)
    soft = (draws.uniform(clips) < 0.3).repeat_interleave(steps)[:, None, None, None]
    flat = torch.where(soft, _soften(flat, 2), flat)
    noise = (
        draws.normal(*flat.shape)
        * (0.03 * draws.uniform(clips) * draws.coin(clips, chance=0.6)).repeat_interleave(steps)[:, None, None, None]
    )
    flat = (flat + noise).clamp(0, 1)
    strength = draws.size(clips, low=0.01, high=0.12)
    coded = compress(flat, strength.repeat_interleave(steps))
    use = draws.coin(clips, chance=0.6).repeat_interleave(steps)[:, None, None, None]
    return torch.where(use, coded, flat).clamp(0, 1).view_as(frames)
