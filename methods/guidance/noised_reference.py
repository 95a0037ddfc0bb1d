"""The reference as a sampler would meet it: its latents noised to a time, always with the same noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from torch import Tensor

from ..backbones.flow import gaussian, noised


@dataclass(frozen=True, eq=False)
class NoisedReference:
    """Clean latents and the noise that belongs to them, both (1, C, F, h, w)."""

    latents: Tensor
    noise: Tensor

    @classmethod
    def from_seed(cls, latents: Tensor, seed: int) -> Self:
        """The reference with noise from a seed; drawn on the CPU, so alike on all devices."""
        return cls(latents, gaussian(tuple(latents.shape), seed, latents.device))

    def at(self, t: Tensor) -> Tensor:
        """x_t = (1 - t) x_0 + t eps at times t (1,): the clean reference at 0, its noise at 1."""
        return noised(self.latents, self.noise, t)
