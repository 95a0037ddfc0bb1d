"""Configuration of MotionClone-style guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..guidance.sampling import InnerSchedule


@dataclass(frozen=True)
class Config:
    """The defaults are preset `official`, the released camera setting: 100 steps, 50 of them in the top 30% of noise.

    Preset `official_object`: 300, 180, 40%. reference_time 0.61 has the signal-to-noise ratio that step 400 of 1,000
    has in the released model's schedule.
    """

    blocks: tuple[int, ...] = setting((), "whose self-attentions are read; none: the middle one")
    reference_time: float = setting(0.61, "to which the reference is noised")
    weight: float = setting(2000.0, "of the loss")
    others: bool = setting(False, "leave out a frame's attention to itself when the strongest is chosen")
    sample_steps: int | None = setting(100, "of sampling; none: the backbone's own")
    guided_steps: int = setting(50, "of the sampling steps, from the first on")
    guided_range: float = setting(
        0.3, "share of the noise axis (before the shift) that they lie on; 0: all steps evenly apart"
    )
    ramp_steps: int = setting(10, "over so many the guidance fades in, and out at the end")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")
    gradient_checkpointing: bool = setting(True, "recompute activations: memory for time")

    def __post_init__(self) -> None:
        require(0 <= self.reference_time <= 1, "reference_time", "in [0, 1]", self.reference_time)
        require(0 <= self.guided_range < 1, "guided_range", "in [0, 1)", self.guided_range)
        for name in ("weight", "guided_steps", "ramp_steps"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(self.sample_steps is None or self.sample_steps >= 1, "sample_steps", "at least 1", self.sample_steps)

    def schedule(self, steps: int) -> InnerSchedule:
        """No step optimizes the latents: the guidance bends the steps instead."""
        return InnerSchedule(0, 0, 0.0, 0.0)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "official_object": {"sample_steps": 300, "guided_steps": 180, "guided_range": 0.4},
    # Block 5 of 8, see the README; the backbone's 20 steps, evenly apart.
    "tiny": {
        "blocks": (5,),
        "sample_steps": None,
        "guided_steps": 12,
        "guided_range": 0.0,
        "ramp_steps": 2,
        "gradient_checkpointing": False,
    },
}
