"""Configuration of MOFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require, setting

from ..guidance.method import GuidanceConfig


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """The defaults are preset `official`: the notebook of xizaoqu/MOFT takes 50 of 1,280 channels, about 4%.

    DiTFlow's port to transformers takes 4% and optimizes as it does itself (first 10 of 50 steps, 5 Adam steps of 0.002
    to 0.001, the middle block).
    """

    block: int | None = setting(None, "whose output is compared, 0-based; none: the middle one")
    channel_share: float = setting(0.04, "of the channels that count as motion channels, in (0, 1]")
    components: int = setting(1, "principal components of the reference's content-free features that choose them")
    source: Literal["noised", "clean"] = setting(
        "noised", "the reference's features: of its latents `noised` to the time of sampling, or `clean`, at time 0"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.channel_share <= 1, "channel_share", "in (0, 1]", self.channel_share)
        require(self.components >= 1, "components", "at least 1", self.components)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # With its shift the first 20% of the steps lie above t = 0.94, where it sees nothing of the reference yet.
    "tiny": {
        "guided_share": 0.6,
        "channel_share": 0.1,
        "lr_from": 0.05,
        "lr_to": 0.025,
        "gradient_checkpointing": False,
    },
}
