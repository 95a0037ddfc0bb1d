"""Adaptive RoPE: sparse frames keep their places on the time axis of the whole clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def paper_positions(frames: int, sampled: int) -> tuple[float, ...]:
    """Places of `sampled` latent frames on an axis of `frames`: F/2 + (F/F_samp)(i - F_samp/2), that is i * F / F_samp.

    Source: arXiv:2506.05207, adaptive RoPE. Differs from `true_positions`: the last frame lands at F - F/F_samp,
    not at F - 1, so uniformly sampled motion is stretched by (F - F/F_samp) / (F - 1).
    """
    return tuple(frames / 2 + frames / sampled * (i - sampled / 2) for i in range(sampled))


def true_positions(kept: Sequence[int], total: int, dense: int, sparse: int) -> tuple[float, ...]:
    """Places of the `sparse` latents of the pixel frames `kept` (of `total`) on the axis of the clip's `dense` latents.

    Wan's VAE packs frames 4j - 3 ... 4j into latent j (frame 0 alone into latent 0): latent j of the excerpt stands
    where its last frame stood. Without temporal compression these are the kept indices themselves.
    """
    inner = (len(kept) - 1) // max(1, sparse - 1)  # frames of the excerpt per latent of the excerpt
    outer = (total - 1) / max(1, dense - 1)  # frames of the clip per latent of the clip
    return tuple(kept[j * inner] / outer for j in range(sparse))


class PlacedRope(nn.Module):
    """Wan's rotary embedding with the temporal columns at given float positions; exact where they are integers.

    Set `positions` (one per latent frame) before each forward; None gives 0, 1, 2, ... as the wrapped module does.
    """

    def __init__(self, rope: Any, theta: float = 10000.0) -> None:
        super().__init__()
        self.rope = rope
        self.theta = theta
        self.positions: tuple[float, ...] | None = None
        self._tables: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, each (1, S, 1, D), for latents (B, C, F, h, w) with tokens in frame-major order."""
        key = (self.positions, tuple(latents.shape[2:]), latents.device)
        if key not in self._tables:
            self._tables[key] = self._build(latents)
        return self._tables[key]

    def _build(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self.rope(latents)
        if self.positions is None:
            return cos, sin
        frames = latents.shape[2] // self.rope.patch_size[0]
        if len(self.positions) != frames:
            raise ValueError(f"{len(self.positions)} positions for {frames} latent frames")
        d = self.rope.t_dim
        # float64 until the end, like the table of the wrapped module: integer positions then give the same bits.
        frequency = 1.0 / (self.theta ** (torch.arange(0, d, 2, dtype=torch.float64)[: d // 2] / d))
        angle = torch.outer(torch.tensor(self.positions, dtype=torch.float64), frequency)
        angle = angle.repeat_interleave(2, dim=1)  # (F, t_dim), each frequency for both of its channels
        cells = cos.shape[1] // frames
        time = [f(angle).to(cos).repeat_interleave(cells, dim=0)[None, :, None] for f in (torch.cos, torch.sin)]
        return torch.cat([time[0], cos[..., d:]], -1), torch.cat([time[1], sin[..., d:]], -1)


@contextmanager
def placed_rope(transformer: Any) -> Iterator[PlacedRope]:
    """The transformer with movable frame positions; its own embedding is back on leaving."""
    rope = transformer.rope
    placed = PlacedRope(rope)
    transformer.rope = placed
    try:
        yield placed
    finally:
        transformer.rope = rope
