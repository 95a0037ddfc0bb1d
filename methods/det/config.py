"""Configuration of DeT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from motionbench.config import require

from ..tuning.config import TINY, TINY_STEPS, OptimizerConfig
from ..tuning.training import Schedule


@dataclass(frozen=True)
class Config(OptimizerConfig):
    """steps; bottleneck: channels r inside a temporal kernel; kernel_frames: frames k it spans, odd.

    beta1, beta2: of AdamW. tracking_loss: add the dense point tracking loss, tracking_weight times, at times up to
    tracking_time_max, along tracks that `tracker` finds in the reference on a grid of tracked_per_side squared points.
    The rest as in `OptimizerConfig`. The defaults are preset `official`: the released code's constants (train script
    for CogVideoX: 500 steps of 1e-5, betas 0.9 and 0.95, r = 128, k = 3, the MSE alone); preset `tracked` is the
    paper's loss (weight 0.1, t <= 400 of 1000, 100 points) on tracks by `real`. Its 50 sampling steps and guidance 6
    belong to its own backbone and are not taken over.
    """

    steps: int = 500
    lr: float = 1e-5
    beta1: float = 0.9
    beta2: float = 0.95
    bottleneck: int = 128
    kernel_frames: int = 3
    tracking_loss: bool = False
    tracking_weight: float = 0.1
    tracking_time_max: float = 0.4
    tracker: str = "tiny"
    tracked_per_side: int = 10

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
