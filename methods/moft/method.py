"""MOFT: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from motionbench.method import InputContract

from ..backbones.backbone import Backbone
from ..guidance.method import GuidanceAdapter, GuidanceMethod
from ..guidance.noised_reference import NoisedReference
from ..guidance.sampling import Guide, Loss, Step
from ..taps.features import block_features, middle_block
from .config import PRESETS
from .config import Config as MoftConfig
from .losses import moft_loss, motion_channels


class Moft(GuidanceMethod):
    """Content-free features of motion channels as guidance.

    fit: encode the clip. generate: from noise; in the first steps turn the content-free features in the reference's
    motion channels toward the reference's, place by place.
    """

    name: ClassVar[str] = "moft"
    contract: ClassVar[InputContract] = InputContract(trains=False, start_latent="noise", sees_reference=True)
    Config: ClassVar[type] = MoftConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        return MoftGuide(self.config, self.backbone, self.noised_reference(adapter, seed=seed), text)


class MoftGuide(Guide):
    """Compares one block's features with those of the reference, noised to the same time."""

    def __init__(self, config: MoftConfig, backbone: Backbone, reference: NoisedReference, text: Tensor) -> None:
        self.config = config
        self.backbone = backbone
        self.reference = reference
        self.text = text
        self.nothing = backbone.encode_text([""])
        self.block = middle_block(backbone, config.block)

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of one step, in the channels in which the reference moves at its time."""
        reference = self.reference_features(step.t)
        count = max(1, round(self.config.channel_share * reference.shape[-1]))
        channels = motion_channels(reference, count, self.config.components)

        def loss(z: Tensor) -> Tensor:
            features = block_features(self.backbone, z, step.t, self.text, self.block)
            return moft_loss(features, reference, channels)

        return loss

    def reference_features(self, t: Tensor) -> Tensor:
        """(1, T, h, w, D) of the reference, unprompted, at time t (1,), or at time 0 with `source=clean`."""
        time = torch.zeros_like(t) if self.config.source == "clean" else t
        return block_features(self.backbone, self.reference.at(time), time, self.nothing, self.block)
