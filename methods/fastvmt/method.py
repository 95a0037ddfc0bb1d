"""FastVMT: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from motionbench.method import InputContract
from motionbench.seeds import derive_seed

from ..backbones.flow import gaussian, noised, shift_times
from ..guidance.attention_flow import frame_pairs, score_factors
from ..guidance.attention_method import AttentionMethod
from ..guidance.method import REFERENCE, GuidanceAdapter
from ..guidance.noised_reference import NoisedReference
from ..guidance.sampling import Guide, Loss, Step
from ..taps.attention import queries_and_keys
from ..taps.token_grid import TokenGrid
from .config import PRESETS
from .config import Config as FastVmtConfig
from .losses import distance_weights, successions, tracking_loss, windowed_flow_loss
from .windows import Windows


class FastVmt(AttentionMethod):
    """FastVMT: from the noised reference, attention inside windows is led to move as the reference does.

    fit: encode the reference. generate: from the noised reference, optimize the latents in the first steps so that
    their tokens look as far the same way, and at alike keys, as those of the reference noised to the same time.
    """

    name: ClassVar[str] = "fastvmt"
    contract: ClassVar[InputContract] = InputContract(
        trains=False, start_latent="noised_reference", sees_reference=True
    )
    Config: ClassVar[type] = FastVmtConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    def times(self) -> Tensor:
        """The times of sampling: all steps between the time of the strength and 0 (from 1 with a noise start)."""
        config, backbone = self.config, self.backbone
        first = config.strength if config.start == "noised_reference" else 1.0
        steps = config.sample_steps or backbone.steps
        return shift_times(torch.linspace(first, 0, steps + 1), backbone.shift)

    def start(self, adapter: GuidanceAdapter, *, seed: int) -> Tensor:
        """The reference noised by the seed's noise to the first time, or that noise alone."""
        reference = adapter.tensors[REFERENCE].to(self.backbone.device)
        noise = gaussian(tuple(reference.shape), derive_seed(seed, "sample"), self.backbone.device)
        return noise if self.config.start == "noise" else noised(reference, noise, self.times()[:1].to(noise.device))

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        grid = TokenGrid.of(self.backbone.transformer, start.shape[2:])
        return WindowGuide(self, self.noised_reference(adapter, seed=seed), text, grid)


class WindowGuide(Guide):
    """Draws the windowed flow of the clip being made to that of the reference at the same time."""

    def __init__(self, method: FastVmt, reference: NoisedReference, text: Tensor, grid: TokenGrid) -> None:
        config = method.config
        self.method = method
        self.reference = reference
        self.text = text
        pairs, device = frame_pairs(grid.frames, config.reach), method.backbone.device
        same = pairs[:, 0] == pairs[:, 1]
        own, others = pairs[same], pairs[~same]
        weights = distance_weights(torch.cat([own, others]), config.reach, config.last_weight)
        self.own, self.others, self.weights = own.to(device), others.to(device), weights.to(device)
        self.successions = tuple(x.to(device) for x in successions(others))
        self.windows = Windows(grid, config.tile, config.window, config.temperature, config.tile_query)
        self._empty = method.backbone.encode_text([""])

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """5 L_AMF + L_track against the reference noised to the step's time."""
        config = self.method.config
        target = self.windows.flow(*self._factors(self.reference.at(step.t), step, self._empty), self.own, self.others)

        def loss(x: Tensor) -> Tensor:
            query, key = self._factors(x, step, self.text)
            flow = self.windows.flow(query, key, self.own, self.others)
            tracking = tracking_loss(self.windows.key_means(query, key, self.others), *self.successions)
            gap = windowed_flow_loss(flow, target, self.weights)
            total: Tensor = config.flow_weight * gap + config.tracking_weight * tracking
            return total

        return loss

    def _factors(self, latents: Tensor, step: Step, text: Tensor) -> tuple[Tensor, Tensor]:
        (block,) = self.method.blocks
        tap = queries_and_keys(self.method.backbone, latents, step.t, text, [block])[block]
        return score_factors(tap, self.windows.grid, self.method.config.heads)
