"""Configuration of FastVMT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from motionbench.config import require, setting

from ..guidance.attention_flow import HeadMean
from ..guidance.method import GuidanceConfig
from ..guidance.sampling import InnerSchedule
from .windows import TileQuery


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """The defaults are preset `official`: mayuelala/FastVMT at 97476b0, diffsynth/pipelines/wan_video.py.

    10 AdamW steps in the first 20 of 50, 0.003 to 0.002 within each, a gradient every third, decay 0.01, reach 4,
    strength 0.82. Its guidance 5.8 and shift 7 are not taken over.
    """

    guided_share: float = 0.4
    iterations: int = 10
    lr_from: float = 3e-3
    lr_to: float = 2e-3
    lr_along: Literal["steps", "iterations"] = setting(
        "iterations", "the learning rate falls over the guided `steps`, or over the `iterations` of each"
    )
    weight_decay: float = 1e-2
    gradient_every: int = 3
    block: int | None = setting(14, "whose self-attention is read; none: the middle one")
    heads: HeadMean = setting(
        "features", "average queries and keys over heads first (`features`), or their products (`scores`)"
    )
    reach: int = setting(4, "frames j of 0 <= j - i < reach are compared with frame i")
    last_weight: float = setting(0.8, "of the farthest frame; the nearest has 1")
    tile: tuple[int, int] = setting((3, 4), "rows and columns of cells that share a window")
    tile_query: TileQuery = setting("center", "what places the window")
    window: int = setting(21, "its side, in cells")
    temperature: float = setting(1.0, "of the softmax over the window")
    flow_weight: float = setting(5.0, "of the flow loss")
    tracking_weight: float = setting(1.0, "of the tracking loss")
    start: Literal["noised_reference", "noise"] = setting(
        "noised_reference",
        "`noised_reference`: at time shift(strength), the reference noised to it; `noise`: at time 1",
    )
    strength: float = setting(0.82, "of the reference start, in (0, 1]")

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
