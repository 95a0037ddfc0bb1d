"""FlowMotion: the algorithm from top to bottom."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from motionbench.method import InputContract

from ..backbones.backbone import Backbone
from ..guidance.method import GuidanceAdapter, GuidanceMethod
from ..guidance.noised_reference import NoisedReference
from ..guidance.sampling import Guide, Loss, Step
from .config import PRESETS
from .config import Config as FlowMotionConfig
from .losses import flowmotion_loss, steered


class FlowMotion(GuidanceMethod):
    """FlowMotion's guidance of foreseen clean latents.

    fit: encode the clip. generate: from noise; in the first steps pull the clean latents that the model foresees, and
    the sizes of their frame differences, to those of the reference.
    """

    name: ClassVar[str] = "flowmotion"
    contract: ClassVar[InputContract] = InputContract(trains=False, start_latent="noise", sees_reference=True)
    Config: ClassVar[type] = FlowMotionConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS

    @property
    def gradient_batch(self) -> int:
        """Its loss is of the guided velocity."""
        return 2

    def guide(self, adapter: GuidanceAdapter, text: Tensor, start: Tensor, *, seed: int) -> Guide:
        """The guide of one sampling."""
        reference = self.noised_reference(adapter, seed=seed)
        return FlowMotionGuide(self.config, self.backbone, reference, text, start, self.times()[:1])


class FlowMotionGuide(Guide):
    """Compares x_0 = z - t v of the sampled latents with that of the reference, noised to the same time."""

    def __init__(
        self,
        config: FlowMotionConfig,
        backbone: Backbone,
        reference: NoisedReference,
        text: Tensor,
        start: Tensor,
        start_time: Tensor,
    ) -> None:
        self.config = config
        self.backbone = backbone
        self.reference = reference
        self.start = start
        self.start_time = start_time.to(start.device)
        self.guided = backbone.guided_velocity(text, config.guidance)
        self.nothing = backbone.encode_text([""])

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of one step; the mean velocity so far is that of the latents as the step finds them."""
        config, target = self.config, self.foreseen_reference(step.t)
        mean = (latents - self.start) / (step.t - self.start_time) if step.index else None

        def loss(z: Tensor) -> Tensor:
            velocity = self.guided(z, step.t)
            if mean is not None:
                velocity = steered(velocity, mean, config.across)
            weights = {"latent_weight": config.latent_weight, "motion_weight": config.motion_weight}
            return flowmotion_loss(z - step.t * velocity, target, **weights)

        return loss

    def foreseen_reference(self, t: Tensor) -> Tensor:
        """The reference's clean latents, or with `source=predicted` what the unprompted model makes of x_t."""
        if self.config.source == "clean":
            return self.reference.latents
        noised = self.reference.at(t)
        return noised - t * self.backbone.velocity(noised, t, self.nothing)
