"""Configuration of FastVMT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from motionbench.config import require

from ..guidance.attention_flow import HeadMean
from ..guidance.method import GuidanceConfig
from ..guidance.sampling import InnerSchedule
from .windows import TileQuery


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """lr_along: the learning rate falls over the guided `steps`, or over the `iterations` of each.

    block: whose self-attention is read; None takes the middle one.

    heads: average queries and keys over heads first (`features`), or their products (`scores`).
    reach: frames j of 0 <= j - i < reach are compared with frame i; last_weight: of the farthest, the nearest has 1.
    tile (rows, columns): cells that share a window; tile_query: what places it; window: its side; temperature.
    flow_weight, tracking_weight: of the two losses.
    start: `noised_reference` begins at time shift(strength) with the reference noised to it, `noise` at time 1 with
    the seed's noise; strength in (0, 1] of the reference start.
    The rest as in `GuidanceConfig`. The defaults are preset `official`: mayuelala/FastVMT at 97476b0,
    diffsynth/pipelines/wan_video.py (10 AdamW steps in the first 20 of 50, 0.003 to 0.002 within each, a gradient
    every third, decay 0.01, reach 4, strength 0.82). Its guidance 5.8 and shift 7 are not taken over.
    """

    guided_share: float = 0.4
    iterations: int = 10
    lr_from: float = 3e-3
    lr_to: float = 2e-3
    lr_along: Literal["steps", "iterations"] = "iterations"
    weight_decay: float = 1e-2
    gradient_every: int = 3
    block: int | None = 14
    heads: HeadMean = "features"
    reach: int = 4
    last_weight: float = 0.8
    tile: tuple[int, int] = (3, 4)
    tile_query: TileQuery = "center"
    window: int = 21
    temperature: float = 1.0
    flow_weight: float = 5.0
    tracking_weight: float = 1.0
    start: Literal["noised_reference", "noise"] = "noised_reference"
    strength: float = 0.82

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("reach", "window"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        require(min(self.tile) >= 1, "tile", "at least 1 by 1", self.tile)
        require(self.temperature > 0, "temperature", "positive", self.temperature)
        for name in ("last_weight", "flow_weight", "tracking_weight"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(0 < self.strength <= 1, "strength", "in (0, 1]", self.strength)

    def schedule(self, steps: int) -> InnerSchedule:
        """The inner schedule of a sampling of so many steps."""
        return replace(super().schedule(steps), lr_along=self.lr_along)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # Block 5 of 8 and a mean over heads of products: see the README. Tiles and windows are to a grid of 8 x 8 tokens
    # about what those of the paper are to its own.
    "tiny": {
        "block": 5,
        "heads": "scores",
        "tile": (2, 2),
        "window": 5,
        "guided_share": 0.5,
        "lr_from": 0.03,
        "lr_to": 0.015,
        "strength": 0.92,
        "gradient_checkpointing": False,
    },
}
