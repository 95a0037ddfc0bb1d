"""Configuration of Motion Inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require

from ..tuning.config import TINY, TINY_INVERSION, TINY_STEPS, InvertedStart
from .embeddings import ValueKind


@dataclass(frozen=True)
class Config(InvertedStart):
    """steps; lr: of the motion embeddings; value_lr: of the value embeddings.

    value: `place` (one embedding of each place), `frame_place` (of each place in each frame) or `none`.
    debias_weight, debias_beta: of the appearance-debiased part of the loss, as in MotionDirector.
    The rest as in `InvertedStart`. The defaults are preset `official`: the released code's constants (400 steps of
    0.02, spatial rate 0.0005, the debiased hybrid loss, and BlendInit 0.5, here noise_prior) with the value embeddings
    of its port to transformers in DeT's repository. Preset `unet` has them as the paper does.
    """

    steps: int = 400
    lr: float = 2e-2
    value_lr: float = 5e-4
    noise_prior: float = 0.5
    value: ValueKind = "place"
    debias_weight: float = 1.0
    debias_beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "debias_weight", "debias_beta"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(self.value_lr > 0, "value_lr", "positive", self.value_lr)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "unet": {"value": "frame_place"},
    # As many steps as followyourmotion's preset `tiny` has in both stages.
    "tiny": TINY | TINY_INVERSION | {"lr": 8e-2, "steps": TINY_STEPS, "noise_prior": 0.1},
}
