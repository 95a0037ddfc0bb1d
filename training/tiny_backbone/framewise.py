"""Frame-wise training of a causal video VAE: fast 2D convolutions in place of 3D ones that see one frame.

A causal 3D kernel that sees a single frame multiplies its past taps by zero padding, so they get no gradient. Set to
zero they stay zero, and the trained VAE treats every frame of a clip alike, with no drift along time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def _fold(conv: Any) -> Any:
    left, right, top, bottom = conv._padding[:4]

    def forward(x: Tensor, cache_x: Tensor | None = None) -> Tensor:
        frames = F.pad(x.squeeze(2), (left, right, top, bottom))
        return F.conv2d(frames, conv.weight[:, :, -1], conv.bias, stride=conv.stride[1:]).unsqueeze(2)

    return forward


def fold_time(vae: Any) -> Any:
    """The same VAE, in place, for inputs of one frame: every causal 3D convolution computes its last tap only.

    Past taps are set to zero. Use `vae.encoder` and `vae.decoder` directly afterwards; `unfold_time` undoes it.
    """
    for module in vae.modules():
        if type(module).__name__ == "WanCausalConv3d":
            with torch.no_grad():
                module.weight[:, :, :-1] = 0
            module.forward = _fold(module)
    return vae


def unfold_time(vae: Any) -> Any:
    """Give the convolutions of a folded VAE their own forward back."""
    for module in vae.modules():
        if type(module).__name__ == "WanCausalConv3d":
            module.__dict__.pop("forward", None)
    return vae


def encode_frames(vae: Any, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and log variance (M, z, h, w) of single frames (M, 3, H, W) in [-1, 1], by a folded VAE."""
    moments = vae.quant_conv(vae.encoder(frames.unsqueeze(2))).squeeze(2)
    mean, log_variance = moments.chunk(2, dim=1)
    return mean, log_variance.clamp(-30, 20)


def decode_frames(vae: Any, latents: Tensor) -> Tensor:
    """Frames (M, 3, H, W), unclamped (a clamp has no gradient), of latents (M, z, h, w) in the VAE's own scale."""
    frames: Tensor = vae.decoder(vae.post_quant_conv(latents.unsqueeze(2))).squeeze(2)
    return frames
