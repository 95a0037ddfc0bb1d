"""Configuration of SMM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require

from ..guidance.method import GuidanceConfig


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """block: whose output is compared, 0-based; None takes the middle one.

    source: the reference's features at time t come from its `inverted` path, or from its `noised` latents.
    low_frequency_start: start from noise whose low frequencies are the inverted latents', else from noise alone;
    frequency_factor: low is what survives shrinking by this factor. inversion_substeps: Euler steps of the inversion
    per sampling step. The rest as in `GuidanceConfig`. The defaults are preset `official`: the constants of
    omerbt/diffusion-motion-transfer (first 40% of 50 steps, 10 Adam steps of 0.007 to 0.004, factor 4, about 1,000
    inversion steps).
    """

    guided_share: float = 0.4
    iterations: int = 10
    lr_from: float = 7e-3
    lr_to: float = 4e-3
    block: int | None = None
    source: Literal["inverted", "noised"] = "inverted"
    low_frequency_start: bool = True
    frequency_factor: int = 4
    inversion_substeps: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("frequency_factor", "inversion_substeps"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # Directions are decided later than in large models: 16 guided steps of 5 iterations, where 20 x 10 are official.
    "tiny": {
        "guided_share": 0.8,
        "iterations": 5,
        "lr_from": 0.03,
        "lr_to": 0.015,
        "inversion_substeps": 1,
        "gradient_checkpointing": False,
        "guidance": 3.0,
    },
}
