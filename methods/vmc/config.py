"""Configuration of VMC and of its SMA variant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require

from ..tuning.config import TINY_INVERSION, TINY_LORA, TINY_STEPS
from ..tuning.lora_method import InvertedStartConfig


@dataclass(frozen=True)
class Config(InvertedStartConfig):
    """steps; axis: over which the cosine of VMC runs, `time` (released code) or `channel`.

    sma: add Spectral Motion Alignment, global_weight times the wavelet loss of wavelet_levels, and local_weight times
    the Fourier loss, in which the highest frequency weighs high_frequency of what the lowest does.
    The rest as in `InvertedStartConfig`. The defaults are preset `official`: HyeonHo99/Video-Motion-Customization,
    train_inference.py and configs/car_forest.yml (400 steps of 1e-4, decay 1e-2, clipping at 1, 75 inversion steps).
    Preset `sma`: arXiv:2403.15249 (500 steps, weights 0.08 and 0.53, 2 levels, 0.05).
    Its 75 sampling steps and guidance 9 belong to its own backbone and are not taken over.
    """

    steps: int = 400
    lr: float = 1e-4
    inversion_steps: int = 75
    axis: Literal["time", "channel"] = "time"
    sma: bool = False
    global_weight: float = 0.08
    local_weight: float = 0.53
    wavelet_levels: int = 2
    high_frequency: float = 0.05

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
