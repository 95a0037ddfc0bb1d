"""Configuration of FlowMotion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require, setting

from ..guidance.method import GuidanceConfig


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """The defaults are preset `official`: the official repository's run.py.

    10 of 50 steps, 3 Adam steps of 0.003, weights 20 and 5, 0.1; guidance 6 is the backbone's own there.
    """

    iterations: int = 3
    lr_from: float = 3e-3
    lr_to: float = 3e-3
    latent_weight: float = setting(20.0, "of the term of clean latents")
    motion_weight: float = setting(5.0, "of the term of their frame differences")
    across: float = setting(0.1, "share of the velocity kept across the mean velocity so far; 1: no projection")
    source: Literal["predicted", "clean"] = setting(
        "predicted",
        "the reference's clean latents: as the model foresees them from noised ones, or as they are",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("latent_weight", "motion_weight"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(0 <= self.across <= 1, "across", "in [0, 1]", self.across)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # Until t = 0.75: with its shift the first 20% of the steps lie above t = 0.94, where it foresees nothing of a clip,
    # which is why the clean latents themselves are the target.
    "tiny": {
        "source": "clean",
        "guided_share": 0.5,
        "iterations": 5,
        "lr_from": 0.03,
        "lr_to": 0.03,
        "gradient_checkpointing": False,
    },
}
