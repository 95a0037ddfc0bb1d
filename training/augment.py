"""What a generated clip suffers, as augmentations for the learned metrics: the VAE's round trip, blur, flicker,
noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from motionbench.errors import MissingWeightsError

Decoder = Callable[[Tensor, torch.Generator], Tensor]
LATENT_NOISE = 0.12  # for training: a sampler's latents are not the encoder's


def load_decoder(folder: Path | None, device: str, *, latent_noise: float = 0.0) -> Decoder:
    """The round trip of frames (M, 3, H, W) in [0, 1] through the `AutoencoderKLWan` in `folder`; approximated by
    blur if None.

    Frames go through one by one, as the embedded VAE was trained. latent_noise: largest noise on the latents, in
    their own standard deviations. Raises MissingWeightsError if the folder holds no such model.
    """
    if folder is None:
        return blur_decoder
    from diffusers import AutoencoderKLWan

    try:
        vae: Any = AutoencoderKLWan.from_pretrained(str(folder), torch_dtype=torch.float32, local_files_only=True)
    except (OSError, ValueError) as error:
        raise MissingWeightsError(
            f"no AutoencoderKLWan in {folder}: {error}; give the folder that holds its config.json"
        ) from error
    vae = vae.to(device).eval().requires_grad_(False)

    def decode(frames: Tensor, generator: torch.Generator) -> Tensor:
        latents = vae.encode(frames.unsqueeze(2) * 2 - 1).latent_dist.mode()
        level = latent_noise * torch.rand(len(latents), 1, 1, 1, 1, device=latents.device, generator=generator)
        spread = latents.float().std(dim=(0, 2, 3, 4), keepdim=True)
        noise = torch.randn(latents.shape, device=latents.device, generator=generator)
        decoded: Tensor = vae.decode((latents + level * spread * noise).to(latents.dtype)).sample
        return (decoded.squeeze(2).float() / 2 + 0.5).clamp(0, 1)

    return decode


def blur_decoder(frames: Tensor, generator: torch.Generator) -> Tensor:
    """A stand-in for the VAE: 3/4 of the resolution is kept, plus faint correlated noise (4x4 blocks)."""
    height, width = frames.shape[-2:]
    small = F.interpolate(
        frames, size=(height * 3 // 4, width * 3 // 4), mode="bilinear", antialias=True, align_corners=False
    )
    soft = F.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
    noise = torch.randn(len(frames), 3, height // 4, width // 4, device=frames.device, generator=generator)
    return (soft + 0.02 * F.interpolate(noise, size=(height, width), mode="bilinear", align_corners=False)).clamp(0, 1)


@torch.no_grad()
def decode_clips(frames: Tensor, decoder: Decoder, generator: torch.Generator) -> Tensor:
    """Clips (B, T, 3, H, W) through the decoder, all frames independently; bfloat16 on a GPU."""
    on_gpu = frames.device.type == "cuda"
    with torch.autocast(frames.device.type, dtype=torch.bfloat16, enabled=on_gpu):
        decoded = decoder(frames.flatten(0, 1), generator)
    return decoded.float().view(frames.shape)


def decode_some(frames: Tensor, decoder: Decoder, generator: torch.Generator) -> Tensor:
    """Clips (B, T, 3, H, W) of which a random half went through the decoder."""
    batch = len(frames)
    chosen = torch.randperm(batch, device=frames.device, generator=generator)[: (batch + 1) // 2]
    return frames.index_copy(0, chosen, decode_clips(frames[chosen], decoder, generator))


def _per_clip(
    frames: Tensor, generator: torch.Generator, share: float, low: float, high: float, per_frame: bool = False
) -> Tensor:
    """Uniform strengths in [low, high], one a clip (or a frame), zero for clips outside a random `share`: (B, T or 1,
    1, 1, 1)."""
    batch, steps = frames.shape[0], frames.shape[1] if per_frame else 1
    amount = low + (high - low) * torch.rand(batch, steps, 1, 1, 1, device=frames.device, generator=generator)
    return amount * (torch.rand(batch, 1, 1, 1, 1, device=frames.device, generator=generator) < share)


@torch.no_grad()
def disturb(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, flicker (brightness and contrast per frame) and noise, each on part of the clips (B, T, 3, H, W) in [0,
    1]."""
    flat = frames.flatten(0, 1)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=frames.device) / 16
    wide = (kernel[:, None] * kernel[None, :]).expand(3, 1, 5, 5)
    soft = F.conv2d(F.pad(flat, (2, 2, 2, 2), mode="replicate"), wide, groups=3).view_as(frames)
    out = torch.lerp(frames, soft, _per_clip(frames, generator, 0.3, 0.0, 1.0).expand_as(frames))
    out = out * (1 + _per_clip(frames, generator, 0.35, -0.15, 0.15, per_frame=True))
    out = out + _per_clip(frames, generator, 0.35, -0.08, 0.08, per_frame=True)
    noise = torch.randn(out.shape, device=out.device, generator=generator)
    return (out + noise * _per_clip(frames, generator, 0.5, 0.0, 0.03)).clamp(0, 1)
