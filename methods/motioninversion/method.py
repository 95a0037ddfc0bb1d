"""Motion Inversion: the algorithm from top to bottom."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..backbones.draws import Draw
from ..backbones.flow import noised
from ..taps.token_grid import TokenGrid
from ..tuning.debiased_loss import temporal_loss
from ..tuning.method import TunedAdapter, TunedMethod
from ..tuning.training import train
from .config import PRESETS
from .config import Config as InversionConfig
from .embeddings import MotionEmbedding, motion_embeddings


class MotionInversion(TunedMethod):
    """Motion Inversion's embeddings of frames and places.

    fit: embeddings before q, k and v of every self-attention learn the clip by the debiased hybrid loss; then invert
    it. generate: with those of q and k, and what frames do not share of v's, from inverted latents mixed with noise.
    """

    name: ClassVar[str] = "motioninversion"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="inverted", sees_reference=False)
    Config: ClassVar[type] = InversionConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def host(self, settings: dict[str, Any]) -> AbstractContextManager[nn.ModuleList]:
        """The backbone with fresh embeddings on every self-attention."""
        transformer = self.backbone.transformer
        grid = TokenGrid.of(transformer, self.backbone.latent_shape()[1:])
        return motion_embeddings(transformer, grid, settings["value"])

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """One stage on the whole clip."""
        config, generator = self.config, self.generator(seed, "train")
        latents = self.backbone.encode(clip)

        def draw() -> Draw:
            noise = torch.randn(latents.shape, generator=generator)
            t = self.times(1, generator)
            return Draw((noise, t, torch.randint(latents.shape[2], (1,), generator=generator)))

        def loss(draw: Draw) -> Tensor:
            noise, t, anchor = draw.tensors
            predicted = self.backbone.velocity(noised(latents, noise, t), t, text)
            weights = {"weight": config.debias_weight, "beta": config.debias_beta}
            return temporal_loss(predicted, noise - latents, anchor, **weights)

        named = list(layers.named_parameters())
        shares = [config.value_lr / config.lr if name.endswith("value") else 1.0 for name, _ in named]
        schedule = config.schedule("train", config.steps)
        train(self.backbone, [p for _, p in named], draw, loss, schedule, self.runtime.report, shares)

    def keep(self, layers: nn.ModuleList) -> dict[str, Tensor]:
        """All embeddings, those of v for their differences over frames."""
        _debias(layers)
        return super().keep(layers)

    def fill(self, layers: nn.ModuleList, adapter: TunedAdapter) -> None:
        """The adapter's embeddings, debiased."""
        super().fill(layers, adapter)
        _debias(layers)


def _debias(layers: nn.ModuleList) -> None:
    for embedding in layers:
        cast(MotionEmbedding, embedding).debias = True
