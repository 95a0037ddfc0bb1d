"""DiTFlow: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from motionbench.clip import Clip
from motionbench.method import InputContract

from ..guidance.attention_flow import best_displacements, frame_pairs, score_factors, soft_displacements
from ..guidance.attention_method import AttentionMethod
from ..guidance.method import REFERENCE, GuidanceAdapter
from ..guidance.sampling import Guide, Loss, Step
from ..taps.attention import queries_and_keys
from ..taps.features import check_blocks
from ..taps.token_grid import TokenGrid
from .config import PRESETS
from .config import Config as DitFlowConfig
from .injection import Injection, injection
from .losses import flow_loss

FLOW = "flow"  # the name of the reference's displacements among an adapter's tensors


class DitFlow(AttentionMethod):
    """DiTFlow: the latents are led so that their attention moves as that of the reference does.

    fit: where each token of the clean reference looks most in every other frame. generate: in the first steps, optimize
    the latents so that their tokens look, on average, as far the same way.
    """

    name: ClassVar[str] = "ditflow"
    contract: ClassVar[InputContract] = InputContract(trains=False, start_latent="noise", sees_reference=True)
    Config: ClassVar[type] = DitFlowConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    _switch: Injection | None = None  # there while a clip is made with injection

    def chosen_blocks(self) -> list[int]:
        """The block that is read; the one of the injection must be there too."""
        check_blocks([self.config.injected_block], len(self.backbone.transformer.blocks))
        return super().chosen_blocks()

    @property
    def opened_blocks(self) -> tuple[int, ...]:
        """That of the injection."""
        return (self.config.injected_block,) if self.config.kv_injection else ()

    @torch.no_grad()
    def inspect(self, latents: Tensor, *, seed: int) -> dict[str, Tensor]:
        """The reference's flow (F * F, n, 2) int16, from clean latents at time 0 with an empty prompt."""
        (block,), grid = self.blocks, TokenGrid.of(self.backbone.transformer, latents.shape[2:])
        text = self.backbone.encode_text([""])
        tap = queries_and_keys(self.backbone, latents, torch.zeros(1, device=latents.device), text, [block])[block]
        # The pairs are those of this clip's own frames; the released code takes six whatever comes.
        flow = best_displacements(*score_factors(tap, grid), grid, frame_pairs(grid.frames))
        return {FLOW: flow.to(torch.int16)}

    def generate(self, adapter: GuidanceAdapter, prompt: str, *, seed: int) -> Clip:
        """As the base class does it, with the reference's keys and values at hand if they are wanted."""
        config = self.config
        if not config.kv_injection:
            return super().generate(adapter, prompt, seed=seed)
        reference = adapter.tensors[REFERENCE].to(self.backbone.device)
        with injection(self.backbone, config.injected_block, reference) as self._switch:
            try:
                return super().generate(adapter, prompt, seed=seed)
            finally:
                self._switch = None

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        return FlowGuide(self, adapter.tensors[FLOW].to(start), text, self._switch)


class FlowGuide(Guide):
    """Draws the flow of the clip being made to that of the reference, (F * F, n, 2) in tokens."""

    def __init__(self, method: DitFlow, reference: Tensor, text: Tensor, switch: Injection | None) -> None:
        self.method = method
        self.reference = reference
        self.text = text
        self.switch = switch

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of a guided step, which also lets the injection act until the step is done."""
        backbone, config, (block,) = self.method.backbone, self.method.config, self.method.blocks
        grid = TokenGrid.of(backbone.transformer, latents.shape[2:])
        pairs = frame_pairs(grid.frames)
        if self.switch is not None:
            self.switch.active = True

        def loss(x: Tensor) -> Tensor:
            tap = queries_and_keys(backbone, x, step.t, self.text, [block])[block]
            flow = soft_displacements(*score_factors(tap, grid), grid, pairs, config.temperature)
            return flow_loss(flow, self.reference, still=config.still_tokens)

        return loss

    def velocity(self, velocity: Tensor, latents: Tensor, step: Step) -> Tensor:
        """The model's own; it has been computed, so the injection ends."""
        if self.switch is not None:
            self.switch.active = False
        return velocity
