"""Configuration of VMC and of its SMA variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motionbench.config import require, setting

from ..tuning.config import TINY_INVERSION, TINY_LORA, TINY_STEPS
from ..tuning.lora_method import InvertedStartConfig
from .losses import Axis


@dataclass(frozen=True)
class Config(InvertedStartConfig):
    """The defaults are preset `official`: HyeonHo99/Video-Motion-Customization, train_inference.py.

    configs/car_forest.yml: 400 steps of 1e-4, decay 1e-2, clipping at 1, 75 inversion steps. Preset `sma`:
    arXiv:2403.15249 (500 steps, weights 0.08 and 0.53, 2 levels, 0.05). Its 75 sampling steps and guidance 9 belong to
    its own backbone and are not taken over.
    """

    steps: int = setting(400, "of training")
    lr: float = 1e-4
    inversion_steps: int = 75
    axis: Axis = setting(
        "time", "over which VMC's cosine runs: `time` (released code), `channel`, or `frame`, signed (the paper)"
    )
    sma: bool = setting(False, "add Spectral Motion Alignment")
    global_weight: float = setting(0.08, "of its wavelet loss")
    local_weight: float = setting(0.53, "of its Fourier loss")
    wavelet_levels: int = setting(2, "of the wavelet loss")
    high_frequency: float = setting(0.05, "weight of the highest frequency in the Fourier loss; the lowest has 1")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "global_weight", "local_weight"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))
        require(self.wavelet_levels >= 1, "wavelet_levels", "at least 1", self.wavelet_levels)
        require(0 < self.high_frequency <= 1, "high_frequency", "in (0, 1]", self.high_frequency)


PRESETS: dict[str, dict[str, Any]] = {
    "official": {},
    "sma": {"sma": True, "steps": 500},
    # As many steps as followyourmotion's preset `tiny` has in both stages.
    "tiny": TINY_LORA | TINY_INVERSION | {"steps": TINY_STEPS},
}
