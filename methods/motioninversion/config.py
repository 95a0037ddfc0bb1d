"""Configuration of Motion Inversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..tuning.config import TINY, TINY_INVERSION, TINY_STEPS, InvertedStart
from .embeddings import ValueKind


@dataclass(frozen=True)
class Config(InvertedStart):
    """The defaults are preset `official`: the released code's constants, with the value embeddings of its port to
    transformers in DeT's repository (400 steps of 0.02, spatial rate 0.0005, the debiased hybrid loss, BlendInit 0.5,
    here noise_prior). Preset `unet` has them as the paper does.
    """

    steps: int = setting(400, "of training")
    lr: float = setting(2e-2, "of the motion embeddings")
    value_lr: float = setting(5e-4, "of the value embeddings")
    noise_prior: float = 0.5
    value: ValueKind = setting(
        "place", "one embedding of each `place`, of each place in each frame (`frame_place`), or `none`"
    )
    debias_weight: float = setting(1.0, "of the appearance-debiased part of the loss, as in MotionDirector")
    debias_beta: float = setting(1.0, "its beta, as in MotionDirector")

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
