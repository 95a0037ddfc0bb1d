"""A seeded, untrained stand-in for a backbone: the real transformer class, a linear 'VAE', random word embeddings."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import WanTransformer3DModel
from motionbench.methods.backbones.backbone import Backbone
from motionbench.methods.backbones.backbone_spec import BackboneSpec
from motionbench.methods.backbones.flow import euler, gaussian, sampling_times
from torch import Tensor

from motionbench.backbone import BackboneEntry
from motionbench.clip import Clip


def random_transformer(layers: int = 2, heads: int = 4, width: int = 12, seed: int = 0) -> Any:
    """WanTransformer3DModel with every parameter random (biases and gains too), and so no symmetry to hide behind."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=heads,
            attention_head_dim=width,
            in_channels=4,
            out_channels=4,
            text_dim=8,
            freq_dim=16,
            ffn_dim=32,
            num_layers=layers,
        )
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(0, 0.3)
                elif "norm_q" in name or "norm_k" in name:
                    parameter.uniform_(0.5, 2.0)
    return model.eval().requires_grad_(False)


class StandIn(Backbone):
    """8x8 pixels of 9 frames; latents are 4x4 with 4 channels: the mean color of 2x2 pixels, and a row index."""

    frames_apart = False  # they are, but it has no VAE to tell by

    def __init__(self, layers: int = 2, heads: int = 4) -> None:
        self.name = "stand_in"
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.frames, self.height, self.width, self.fps = 9, 8, 8, 8.0
        self.shift, self.guidance, self.steps = 3.0, 2.0, 3
        self.spec = BackboneSpec(9, 8, 8, 8.0, text_tokens=5, shift=3.0, guidance=2.0, steps=3)
        self.transformer = random_transformer(layers, heads)

    def latent_shape(self, frames: int | None = None) -> tuple[int, int, int, int]:
        return 4, frames or self.frames, 4, 4

    def prepare(self, clip: Clip) -> Clip:
        picks = np.linspace(0, len(clip) - 1, self.frames).round().astype(int)
        return Clip(np.ascontiguousarray(clip.frames[picks][:, :8, :8]), self.fps)

    def encode(self, clip: Clip) -> Tensor:
        x = torch.from_numpy(clip.frames).float() / 127.5 - 1  # (T, H, W, 3)
        cells = F.avg_pool2d(x.permute(0, 3, 1, 2), 2)  # (T, 3, 4, 4)
        index = torch.linspace(-1, 1, 4)[None, None, :, None].expand(len(clip), 1, 4, 4)
        return torch.cat([cells, index], 1).transpose(0, 1)[None]

    def decode(self, latents: Tensor) -> Clip:
        x = latents[0, :3].transpose(0, 1).repeat_interleave(2, -1).repeat_interleave(2, -2)
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return Clip(pixels.permute(0, 2, 3, 1).contiguous().numpy(), self.fps)

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        seeds = [zlib.crc32(text.encode()) for text in texts]
        return torch.stack([torch.randn(5, 8, generator=torch.Generator().manual_seed(s)) for s in seeds]).to(
            self.dtype
        )

    def sample(
        self,
        text: Tensor,
        *,
        seed: int,
        steps: int | None = None,
        guidance: float | None = None,
        frames: int | None = None,
        start: Tensor | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        with torch.no_grad():
            if start is None:
                start = gaussian((1, *self.latent_shape(frames)), seed, self.device)
            times = sampling_times(steps or self.steps, self.shift)
            return euler(lambda x, t: self.velocity(x, t, text), start, times, on_step)


def moving_square(frames: int = 9, size: int = 8) -> Clip:
    """A bright square that moves right over a dark ground."""
    pixels = np.full((frames, size, size, 3), 40, np.uint8)
    for i in range(frames):
        x = min(i * size // frames, size - 2)
        pixels[i, 2:5, x : x + 2] = (250, 200, 40)
    return Clip(pixels, 8.0)


ENTRY = BackboneEntry("A stand-in.", create=lambda runtime: StandIn(), revision=lambda: "1")
