"""The naive two-stage LoRA: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..backbones.draws import Draw
from ..tuning.lora import merge_lora
from ..tuning.lora_method import KEPT, LoraMethod
from ..tuning.training import encode_frames, predict, train
from .config import PRESETS
from .config import Config as TwoStageConfig


class TwoStageLora(LoraMethod):
    """Naive two-stage LoRA: frames, then the clip.

    fit: a first LoRA learns single frames, is frozen, and a second one learns the whole clip on top of it.
    generate: sample from noise with the second alone.
    """

    name: ClassVar[str] = "twostagelora"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="noise", sees_reference=False)
    Config: ClassVar[type] = TwoStageConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """Both stages; each minimizes the flow-matching loss."""
        self._learn_frames(layers, clip, text, self.generator(seed, "spatial"))
        self._learn_clip(layers, clip, text, self.generator(seed, "temporal"))

    def _learn_frames(self, layers: nn.ModuleList, clip: Clip, text: Tensor, generator: torch.Generator) -> None:
        config, backbone = self.config, self.backbone
        parameters = self.add_lora(layers, "spatial", generator)
        frames = encode_frames(backbone, clip)  # (T, C, 1, h, w)

        shape = (config.spatial_batch, *frames.shape[1:])

        def draw() -> Draw:
            picks = torch.randint(len(frames), (config.spatial_batch,), generator=generator)
            t = self.times(config.spatial_batch, generator)
            return Draw((picks, t, torch.randn(shape, generator=generator)))

        def loss(draw: Draw) -> Tensor:
            picks, t, noise = draw.tensors
            return F.mse_loss(*predict(backbone, frames[picks], text, t, noise))

        schedule = config.schedule("spatial", config.spatial_steps)
        train(backbone, parameters, draw, loss, schedule, self.runtime.report)

    def _learn_clip(self, layers: nn.ModuleList, clip: Clip, text: Tensor, generator: torch.Generator) -> None:
        config, backbone = self.config, self.backbone
        if config.dropout == 0:
            merge_lora(layers, "spatial")  # the first one stays active, frozen: it need not be computed apart
        parameters = self.add_lora(layers, KEPT, generator)
        latents = backbone.encode(clip)

        def loss(draw: Draw) -> Tensor:
            return F.mse_loss(*predict(backbone, latents, text, *draw.tensors))

        schedule = config.schedule("temporal", config.temporal_steps)
        train(backbone, parameters, self.draws(latents, generator), loss, schedule, self.runtime.report)
