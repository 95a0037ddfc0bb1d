"""Configuration of the naive two-stage LoRA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..tuning.config import TINY_LORA, TINY_STAGES
from ..tuning.lora_method import TuningConfig


@dataclass(frozen=True)
class Config(TuningConfig):
    """The defaults are preset `official`. There is no official code: rank, rate and steps are those of the LoRA fits
    that the field's papers compare with (rank 32, 1e-4 to 5e-4, 150 to 500 steps).
    """

    spatial_steps: int = setting(300, "of the first stage, on single frames")
    temporal_steps: int = setting(500, "of the second stage, on clips")
    spatial_batch: int = setting(1, "single frames a step")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("spatial_steps", "temporal_steps"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(self.spatial_batch >= 1, "spatial_batch", "at least 1", self.spatial_batch)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # Steps, batch and optimizer of followyourmotion's preset `tiny`; only what that method adds is absent.
    "tiny": TINY_LORA | TINY_STAGES,
}
