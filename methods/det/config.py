"""Configuration of DeT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from motionbench.config import require, setting

from ..tuning.config import TINY, TINY_STEPS, OptimizerConfig
from ..tuning.learner import Schedule


@dataclass(frozen=True)
class Config(OptimizerConfig):
    """The defaults are preset `official`: the released code's constants (train script for CogVideoX).

    500 steps of 1e-5, betas 0.9 and 0.95, r = 128, k = 3, the MSE alone. Preset `tracked` is the paper's loss (weight
    0.1, t <= 400 of 1000, 100 points) on tracks by `real`. Its 50 sampling steps and guidance 6 belong to its own
    backbone and are not taken over.
    """

    steps: int = setting(500, "of training")
    lr: float = 1e-5
    beta1: float = setting(0.9, "of AdamW")
    beta2: float = setting(0.95, "of AdamW")
    bottleneck: int = setting(128, "channels r inside a temporal kernel")
    kernel_frames: int = setting(3, "frames k that a kernel spans, odd")
    tracking_loss: bool = setting(False, "add the dense point tracking loss")
    tracking_weight: float = setting(0.1, "of the tracking loss")
    tracking_time_max: float = setting(0.4, "the tracking loss acts at times up to it")
    tracker: str = setting("tiny", "finds the tracks in the reference")
    tracked_per_side: int = setting(10, "points of the tracks' grid per side")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "tracking_weight"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        for name in ("bottleneck", "tracked_per_side"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        odd = self.kernel_frames >= 1 and self.kernel_frames % 2 == 1
        require(odd, "kernel_frames", "odd and at least 1, so that a kernel has a middle", self.kernel_frames)
        require(0 <= self.tracking_time_max <= 1, "tracking_time_max", "in [0, 1]", self.tracking_time_max)

    def schedule(self, stage: str, steps: int) -> Schedule:
        """The schedule of a stage of so many steps, with DeT's betas."""
        return replace(super().schedule(stage, steps), betas=(self.beta1, self.beta2))


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "tracked": {"tracking_loss": True, "tracker": "real"},  # the paper's clips are real footage
    # As many steps as followyourmotion's preset `tiny` has in both stages. Five frames: latents of `tiny` are single
    # frames, those that the official three span are twelve.
    "tiny": TINY | {"steps": TINY_STEPS, "kernel_frames": 5},
}
