"""Configuration of MotionDirector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..tuning.config import TINY_INVERSION, TINY_LORA, TINY_STAGES
from ..tuning.lora_method import InvertedStartConfig


@dataclass(frozen=True)
class Config(InvertedStartConfig):
    """The defaults are preset `official`: the released code's constants.

    showlab/MotionDirector, MotionDirector_train.py and its configuration for one video: rank 32, dropout 0.1, AdamW
    5e-4 with decay 1e-2, 150 steps, mask 0.2; MotionDirector_inference.py: 50 inversion steps, noise prior 0.5. Its 30
    sampling steps and guidance 12 belong to its own backbone and are not taken over.
    """

    steps: int = setting(150, "each is a spatial and a temporal one")
    dropout: float = 0.1
    noise_prior: float = 0.5
    spatial_share: float = setting(0.8, "of the steps in which the spatial path acts and learns")
    debias_weight: float = setting(1.0, "of the appearance-debiased loss")
    debias_beta: float = setting(1.0, "its beta, with alpha = sqrt(beta^2 + 1)")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "debias_weight", "debias_beta"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(0 <= self.spatial_share <= 1, "spatial_share", "in [0, 1]", self.spatial_share)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # As many temporal steps as followyourmotion's preset `tiny` has. More of the inverted latents ties clips to the
    # reference's places.
    "tiny": TINY_LORA | TINY_INVERSION | {"steps": TINY_STAGES["temporal_steps"], "noise_prior": 0.1},
}
