"""MotionClone-style guidance: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from motionbench.method import InputContract
from motionbench.seeds import derive_seed

from ..backbones.flow import gaussian, noised
from ..guidance.attention_method import AttentionMethod
from ..guidance.method import GuidanceAdapter
from ..guidance.sampling import Guide, Loss, Step, loss_gradient
from ..taps.attention import queries_and_keys
from ..taps.features import check_blocks, middle_block
from ..taps.token_grid import TokenGrid
from .config import PRESETS
from .config import Config as MotionCloneConfig
from .losses import frame_maps, sparse_loss, strongest
from .schedule import ramp, uneven_times


class MotionClone(AttentionMethod):
    """MotionClone-style: the strongest entries of attention along frames are cloned; an analogue, not a port.

    fit: the strongest entry of each row of the noised reference's attention along frames. generate: bend each of the
    first steps so that the clip's attention has those entries too.
    A video transformer has no temporal attention, so a slice of the full one takes its place.
    """

    name: ClassVar[str] = "motionclone"
    contract: ClassVar[InputContract] = InputContract(trains=False, start_latent="noise", sees_reference=True)
    Config: ClassVar[type] = MotionCloneConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    @torch.no_grad()
    def inspect(self, latents: Tensor, *, seed: int) -> dict[str, Tensor]:
        """Values and indices (K, n, F, 1) of each block's strongest entries, with an empty prompt."""
        backbone, config = self.backbone, self.config
        t = torch.full((1,), config.reference_time, device=latents.device)
        noise = gaussian(tuple(latents.shape), derive_seed(seed, self.name, "reference"), latents.device)
        text = backbone.encode_text([""])
        maps = self.maps(noised(latents, noise, t), t, text)
        kept: dict[str, Tensor] = {}
        for block, attention in maps.items():
            values, indices = strongest(attention, others=config.others)
            kept |= {f"values.{block}": values, f"indices.{block}": indices.to(torch.int16)}
        return kept

    def times(self) -> Tensor:
        """The times of sampling, closer together where the guidance acts."""
        config = self.config
        steps = config.sample_steps or self.backbone.steps
        return uneven_times(steps, config.guided_steps, config.guided_range, self.backbone.shift)

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        reference = {}
        for block in self.blocks:
            values, indices = (adapter.tensors[f"{name}.{block}"].to(start.device) for name in ("values", "indices"))
            reference[block] = values, indices.long()
        return SparseGuide(self, reference, text)

    def maps(self, latents: Tensor, t: Tensor, text: Tensor) -> dict[int, Tensor]:
        """Attention along frames (K, n, F, F) of each block that is read."""
        grid = TokenGrid.of(self.backbone.transformer, latents.shape[2:])
        taps = queries_and_keys(self.backbone, latents, t, text, self.blocks)
        return {block: frame_maps(tap, grid) for block, tap in taps.items()}

    def chosen_blocks(self) -> list[int]:
        """The blocks that are read, ascending: those of `config.blocks`, or the middle one if there are none."""
        if not self.config.blocks:
            return [middle_block(self.backbone, None)]
        check_blocks(self.config.blocks, len(self.backbone.transformer.blocks))
        return sorted(set(self.config.blocks))


class SparseGuide(Guide):
    """Bends the first steps toward the reference's strongest entries, by block."""

    def __init__(self, method: MotionClone, reference: dict[int, tuple[Tensor, Tensor]], text: Tensor) -> None:
        self.method = method
        self.reference = reference
        self.text = text

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of a step, by whose gradient it is bent."""

        def loss(x: Tensor) -> Tensor:
            return sparse_loss(self.method.maps(x, step.t, self.text), self.reference, self.method.config.weight)

        return loss

    def correct(self, following: Tensor, latents: Tensor, step: Step) -> Tensor:
        """following - ramp * t * t_next * gradient of the loss at the step's own latents.

        The released code keeps the clip that it predicts as it was and adds the gradient to the noise alone, which
        moves the next latents by sqrt(1 - a_next) sqrt(1 - a) times the gradient, downhill; t stands for sqrt(1 - a).
        With the gradient in the predicted clip too, the sign would turn.
        """
        config = self.method.config
        strength = ramp(step.index, config.guided_steps, config.ramp_steps)
        if not strength:
            return following
        _, gradient = loss_gradient(self.loss_at(latents, step), latents)
        return following - strength * step.t * step.t_next * gradient
