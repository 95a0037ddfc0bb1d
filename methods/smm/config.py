"""Configuration of SMM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require, setting

from ..guidance.method import GuidanceConfig


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """The defaults are preset `official`: the constants of omerbt/diffusion-motion-transfer.

    First 40% of 50 steps, 10 Adam steps of 0.007 to 0.004, factor 4, about 1,000 inversion steps.
    """

    guided_share: float = 0.4
    iterations: int = 10
    lr_from: float = 7e-3
    lr_to: float = 4e-3
    block: int | None = setting(None, "whose output is compared, 0-based; none: the middle one")
    source: Literal["inverted", "noised"] = setting(
        "inverted", "the reference's features at time t: from its `inverted` path, or its `noised` latents"
    )
    low_frequency_start: bool = setting(
        True, "start from noise with the inverted latents' low frequencies, else from noise alone"
    )
    frequency_factor: int = setting(4, "low is what survives shrinking by it")
    inversion_substeps: int = setting(20, "Euler steps of the inversion per sampling step")

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
