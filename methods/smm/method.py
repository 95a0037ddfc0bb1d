"""SMM: the algorithm from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from motionbench.errors import ConfigError
from motionbench.method import InputContract

from ..backbones.backbone import Backbone
from ..guidance.method import GuidanceAdapter, GuidanceMethod
from ..guidance.sampling import Guide, Loss, Step
from ..taps.features import block_features, middle_block, spatial_mean
from .config import PRESETS
from .config import Config as SmmConfig
from .losses import smm_loss
from .start import inverted_path, mixed_frequencies


class Smm(GuidanceMethod):
    """Spatial marginal means of features as guidance.

    fit: invert the clip and keep its features' spatial means at every guided time. generate: from noise with the
    inverted latents' low frequencies, while the means' differences between frames follow those of the reference.
    """

    name: ClassVar[str] = "smm"
    contract: ClassVar[InputContract] = InputContract(trains=False, start_latent="inverted", sees_reference=True)
    Config: ClassVar[type] = SmmConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def inspect(self, latents: Tensor, *, seed: int) -> dict[str, Tensor]:
        """`inverted`, the latents at time 1, and `means` (N, T, D) at the N guided `times` (N,)."""
        config, backbone, times = self.config, self.backbone, self.times()
        nothing = backbone.encode_text([""])
        path = inverted_path(
            backbone,
            latents,
            nothing,
            steps=len(times) - 1,
            substeps=config.inversion_substeps,
            on_step=lambda done, total: self.runtime.report("inversion", done, total),
        )
        guided = config.schedule(len(times) - 1).guided_steps
        block = middle_block(backbone, config.block)
        shown = times[:guided].to(latents.device)
        means = [frame_means(backbone, path[i], shown[i : i + 1], nothing, block) for i in range(guided)]
        empty = latents.new_zeros(0)
        return {"inverted": path[0], "times": times[:guided], "means": torch.cat(means) if means else empty}

    def start(self, adapter: GuidanceAdapter, *, seed: int) -> Tensor:
        """The seed's noise with the low frequencies of the inverted latents."""
        noise = super().start(adapter, seed=seed)
        if not self.config.low_frequency_start:
            return noise
        return mixed_frequencies(adapter.tensors["inverted"].to(noise.device), noise, self.config.frequency_factor)

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        block = middle_block(self.backbone, self.config.block)
        if self.config.source == "inverted":
            return SmmGuide(self.backbone, text, block, lambda step: kept_means(adapter, step).to(start.device))
        reference, nothing = self.noised_reference(adapter, seed=seed), self.backbone.encode_text([""])
        return SmmGuide(
            self.backbone,
            text,
            block,
            lambda step: frame_means(self.backbone, reference.at(step.t), step.t, nothing, block),
        )


class SmmGuide(Guide):
    """Compares the spatial means of one block's features with those of the reference, (1, T, D) by step."""

    def __init__(self, backbone: Backbone, text: Tensor, block: int, reference: Callable[[Step], Tensor]) -> None:
        self.backbone = backbone
        self.text = text
        self.block = block
        self.reference = reference

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of one step."""
        reference = self.reference(step)
        return lambda z: smm_loss(frame_means(self.backbone, z, step.t, self.text, self.block), reference)


def frame_means(backbone: Backbone, latents: Tensor, t: Tensor, text: Tensor, block: int) -> Tensor:
    """Spatial means (1, T, D) of a block's features of latents (1, C, F, h, w) at time t (1,); text (1, L, D_text)."""
    return spatial_mean(block_features(backbone, latents, t, text, block))


def kept_means(adapter: GuidanceAdapter, step: Step) -> Tensor:
    """The means (1, T, D) that the fit kept for a step. Raises ConfigError if it was sampled otherwise."""
    times = adapter.tensors["times"]
    if step.index >= len(times) or not torch.isclose(times[step.index : step.index + 1], step.t.cpu()).all():
        raise ConfigError(
            f"the adapter holds no features for {step}; fit again with these sample_steps and guided_share"
        )
    return adapter.tensors["means"][step.index : step.index + 1]
