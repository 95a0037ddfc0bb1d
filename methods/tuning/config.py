"""The settings that the trained methods share: optimizer, training times, sampling, and inverted starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require

from .training import Schedule, TimeDensity


@dataclass(frozen=True)
class OptimizerConfig:
    """lr, weight_decay (AdamW), warmup_steps: linear, then lr_schedule; max_grad_norm: 0 turns clipping off.

    time_density: of the training times, shifted as the backbone's own. gradient_checkpointing: memory for time.
    sample_steps, guidance: None takes the backbone's own.
    """

    lr: float = 5e-4
    weight_decay: float = 1e-2
    warmup_steps: int = 0
    lr_schedule: Literal["constant", "cosine"] = "constant"
    max_grad_norm: float = 1.0
    time_density: TimeDensity = "logit_normal"
    gradient_checkpointing: bool = True
    sample_steps: int | None = None
    guidance: float | None = None

    def __post_init__(self) -> None:
        require(self.lr > 0, "lr", "positive", self.lr)
        for name in ("weight_decay", "warmup_steps", "max_grad_norm"):
            require(getattr(self, name) >= 0, name, "not negative", getattr(self, name))

    def schedule(self, stage: str, steps: int) -> Schedule:
        """The schedule of a stage of so many steps."""
        facts = (self.lr, self.weight_decay, self.warmup_steps, self.lr_schedule, self.max_grad_norm)
        return Schedule(stage, steps, *facts, lr_name="lr")


@dataclass(frozen=True)
class InvertedStart(OptimizerConfig):
    """And of methods that start from inverted latents: how much of them, and how they are found (see `inversion`).

    noise_prior: their share p of the start's variance, sqrt(p) * inverted + sqrt(1 - p) * noise, in (0, 1].
    inversion_steps: by the tuned model with an empty prompt; inversion_iterations: evaluations a step, 1 is Euler;
    inversion_noise: the time in [0, 1) to which the clip is noised first, 0 inverts the clip itself.
    renormalize: bring every channel of the inverted latents to mean 0 and deviation 1.
    """

    noise_prior: float = 1.0
    inversion_steps: int = 50
    inversion_iterations: int = 1
    inversion_noise: float = 0.0
    renormalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.noise_prior <= 1, "noise_prior", "in (0, 1]", self.noise_prior)
        require(0 <= self.inversion_noise < 1, "inversion_noise", "in [0, 1)", self.inversion_noise)
        for name in ("inversion_steps", "inversion_iterations"):
            require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))


# Common to the presets `tiny` of all trained methods: equal rank, steps, batch and optimizer. They were found for
# followyourmotion on tuning references (its README), which takes more temporal steps since.
TINY: dict[str, Any] = {
    "lr": 4e-3,  # at half of it, or of the rank, many fits do not turn a figure or a second object around
    "weight_decay": 0.01,
    "warmup_steps": 10,
    "lr_schedule": "cosine",
    "gradient_checkpointing": False,
}
TINY_LORA: dict[str, Any] = TINY | {"rank": 64}
TINY_STAGES: dict[str, Any] = {"spatial_steps": 25, "temporal_steps": 110, "spatial_batch": 8}
TINY_STEPS: int = TINY_STAGES["spatial_steps"] + TINY_STAGES["temporal_steps"]
# And of those that start from inverted latents: what leads back to the clip and is close to noise, see `inversion.py`.
TINY_INVERSION: dict[str, Any] = {"inversion_steps": 20, "inversion_iterations": 2, "inversion_noise": 0.1}
