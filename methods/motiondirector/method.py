"""MotionDirector: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..backbones.draws import Draw
from ..backbones.flow import noised
from ..tuning.debiased_loss import temporal_loss
from ..tuning.learner import Learner
from ..tuning.lora import activate_lora
from ..tuning.lora_method import KEPT, LoraMethod
from ..tuning.training import encode_frames, take_steps
from .config import PRESETS
from .config import Config as DirectorConfig


class MotionDirector(LoraMethod):
    """MotionDirector's dual-path LoRAs and debiased loss.

    fit: in each step a spatial LoRA learns one frame, and a temporal one the whole clip on top of it, with the same
    noise and time; then invert the clip. generate: the temporal LoRA alone, from inverted latents mixed with noise.
    """

    name: ClassVar[str] = "motiondirector"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="inverted", sees_reference=False)
    Config: ClassVar[type] = DirectorConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """Train both LoRAs step by step, each with an optimizer of its own."""
        config, generator = self.config, self.generator(seed, "train")
        schedules = [config.schedule(stage, config.steps) for stage in ("spatial", "temporal")]
        spatial, temporal = (Learner(self.add_lora(layers, s.stage, generator), s) for s in schedules)
        latents = self.backbone.encode(clip)
        frames = self._own_frames(clip, latents.shape[2])
        weights = {"weight": config.debias_weight, "beta": config.debias_beta}

        def draw() -> Draw:
            noise = torch.randn(latents.shape, generator=generator)
            t = self.times(1, generator)
            frame, anchor = torch.randint(len(frames), (2,), generator=generator).split(1)
            both = float(torch.rand(1, generator=generator)) < config.spatial_share
            return Draw((noise, t, frame, anchor), variant=both)

        def step(draw: Draw) -> None:
            noise, t, frame, anchor = draw.tensors
            if draw.variant:
                activate_lora(layers, ["spatial"], trained="spatial")
                one, its_noise = frames[frame], noise.index_select(2, frame)
                spatial.descend(F.mse_loss(self._velocity(one, its_noise, t, text), its_noise - one))
            activate_lora(layers, ["spatial", KEPT] if draw.variant else [KEPT], trained=KEPT)
            predicted = self._velocity(latents, noise, t, text)
            temporal.descend(temporal_loss(predicted, noise - latents, anchor, **weights))

        def learners(draw: Draw) -> list[Learner]:
            return [spatial, temporal] if draw.variant else [temporal]

        take_steps(self.backbone, draw, step, learners, config.schedule("train", config.steps), self.runtime.report)
        spatial.check()  # it took fewer steps than its schedule has

    def _velocity(self, latents: Tensor, noise: Tensor, t: Tensor, text: Tensor) -> Tensor:
        return self.backbone.velocity(noised(latents, noise, t), t, text)

    def _own_frames(self, clip: Clip, count: int) -> Tensor:
        """(F, C, 1, h, w): for each of F latent frames, the last of the pictures in it as a video of its own.

        A slice of the clip's latents would be no picture where the autoencoder compresses time.
        """
        frames = encode_frames(self.backbone, clip)
        stride = (len(clip) - 1) // max(1, count - 1)
        return frames[torch.arange(count) * stride]
