"""VMC and SMA: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..backbones.draws import Draw
from ..tuning.lora_method import KEPT, LoraMethod
from ..tuning.training import predict, train
from .config import PRESETS
from .config import Config as VmcConfig
from .losses import global_loss, local_loss, vmc_loss


class Vmc(LoraMethod):
    """VMC's frame-difference loss, SMA by a switch.

    fit: a LoRA learns the differences of consecutive frames' velocities (with `sma` their spectra too); then invert the
    clip. generate: from the inverted latents.
    """

    name: ClassVar[str] = "vmc"
    contract: ClassVar[InputContract] = InputContract(trains=True, start_latent="inverted", sees_reference=False)
    Config: ClassVar[type] = VmcConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def tune(self, layers: nn.ModuleList, clip: Clip, text: Tensor, *, seed: int) -> None:
        """One stage on the whole clip."""
        config, generator = self.config, self.generator(seed, "train")
        parameters = self.add_lora(layers, KEPT, generator)
        latents = self.backbone.encode(clip)

        def loss(draw: Draw) -> Tensor:
            return self.loss(*predict(self.backbone, latents, text, *draw.tensors))

        schedule, draws = config.schedule("train", config.steps), self.draws(latents, generator)
        train(self.backbone, parameters, draws, loss, schedule, self.runtime.report)

    def loss(self, predicted: Tensor, target: Tensor) -> Tensor:
        """VMC's loss of velocities (B, C, F, h, w), plus SMA's two if switched on."""
        config = self.config
        total = vmc_loss(predicted, target, config.axis)
        if config.sma:
            total = total + config.global_weight * global_loss(predicted, target, config.wavelet_levels)
            total = total + config.local_weight * local_loss(predicted, target, config.high_frequency)
        return total
