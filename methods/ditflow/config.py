"""Configuration of DiTFlow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..guidance.method import GuidanceConfig


@dataclass(frozen=True)
class Config(GuidanceConfig):
    """The defaults are preset `official`: arXiv:2412.07776 and its released configuration.

    5 Adam steps in the first 10 of 50, 0.002 to 0.001, temperature 2, injection in block 0. Its guidance 7 belongs to
    its own backbone and is not taken over.
    """

    block: int | None = setting(None, "whose self-attention is read; none: the middle one (15 of 30, 20 of 40)")
    temperature: float = setting(2.0, "multiplies the attention's scores before the softmax")
    still_tokens: bool = setting(
        False, "let cells that do not move in the reference count too, which holds the background"
    )
    kv_injection: bool = setting(True, "in guided steps, `injected_block` attends to the reference's keys and values")
    injected_block: int = setting(0, "of kv_injection")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.temperature > 0, "temperature", "positive", self.temperature)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    # Block 5 of 8: in the middle ones of `tiny`, attention says little of motion; and none does near pure noise, so the
    # guidance lasts long. See the README for how this was found.
    "tiny": {
        "block": 5,
        "guided_share": 0.7,
        "lr_from": 0.03,
        "lr_to": 0.015,
        "kv_injection": False,
        "gradient_checkpointing": False,
    },
}
