"""DeT: the algorithm from top to bottom."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..backbones.draws import Draw
from ..backbones.flow import noised
from ..tuning.method import TunedMethod
from ..tuning.training import train
from .config import PRESETS
from .config import Config as DetConfig
from .kernel import TemporalKernel, temporal_kernels
from .losses import tracking_loss
from .tracking import LatentTracks, track_latents


class Det(TunedMethod):
    """DeT's temporal kernels beside every self-attention.

    fit: the kernels alone learn the clip, by the flow-matching loss and, if asked for, the dense point tracking loss.
    generate: sample from noise with the kernels at work.
    """

    name: ClassVar[str] = "det"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="noise", sees_reference=False)
    Config: ClassVar[type] = DetConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def host(self, settings: dict[str, Any]) -> AbstractContextManager[nn.ModuleList]:
        """The backbone with a fresh kernel beside every self-attention."""
        return temporal_kernels(self.backbone.transformer, settings["bottleneck"], settings["kernel_frames"])

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """One stage on the whole clip."""
        config, generator = self.config, self.generator(seed, "train")
        for kernel in layers:
            cast(TemporalKernel, kernel).draw(generator)
        latents = self.backbone.encode(clip)
        tracks = self._tracks(clip, latents) if config.tracking_loss else None

        def draw() -> Draw:
            noise = torch.randn(latents.shape, generator=generator)
            t = self.times(1, generator)
            return Draw((noise, t), variant=self.follows_tracks(t))

        def loss(draw: Draw) -> Tensor:
            noise, t = draw.tensors
            x = noised(latents, noise, t)
            predicted = self.backbone.velocity(x, t, text)
            return self.loss(predicted, noise - latents, x, t, tracks if draw.variant else None)

        schedule = config.schedule("train", config.steps)
        train(self.backbone, list(layers.parameters()), draw, loss, schedule, self.runtime.report)

    def follows_tracks(self, t: Tensor) -> bool:
        """Whether the tracking loss counts at a time (1,): at small ones, where the predicted clip is sharp."""
        return bool(self.config.tracking_loss) and float(t) <= self.config.tracking_time_max

    def loss(self, predicted: Tensor, target: Tensor, x: Tensor, t: Tensor, tracks: LatentTracks | None) -> Tensor:
        """The flow-matching loss of velocities (1, C, F, h, w), plus the tracking loss of x_0 = x - t v by tracks."""
        total = F.mse_loss(predicted, target)
        if tracks is not None:
            clean = x - t.view(1, 1, 1, 1, 1) * predicted
            total = total + self.config.tracking_weight * tracking_loss(clean, tracks.points, tracks.visible)
        return total

    def _tracks(self, clip: Clip, latents: Tensor) -> LatentTracks:
        config = self.config
        return track_latents(clip, latents, config.tracker, config.tracked_per_side, str(self.backbone.device))
