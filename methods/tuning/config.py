"""The settings that the trained methods share: optimizer, training times, sampling, and inverted starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from motionbench.config import require, setting

from .learner import Schedule
from .training import TimeDensity


@dataclass(frozen=True)
class OptimizerConfig:
    """What all trained methods are tuned and sampled by."""

    lr: float = setting(5e-4, "learning rate of AdamW")
    weight_decay: float = setting(1e-2, "of AdamW")
    warmup_steps: int = setting(0, "linear, at the start")
    lr_schedule: Literal["constant", "cosine"] = setting("constant", "after the warmup")
    max_grad_norm: float = setting(1.0, "0 turns clipping off")
    time_density: TimeDensity = setting(
        "logit_normal", "of the training times, which are shifted as the backbone's own"
    )
    gradient_checkpointing: bool = setting(True, "recompute activations: memory for time")
    sample_steps: int | None = setting(None, "of sampling; none: the backbone's own")
    guidance: float | None = setting(None, "classifier-free guidance; none: the backbone's own")

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
    """And of methods that start from inverted latents: how much of them, and how they are found (see `inversion`)."""

    noise_prior: float = setting(
        1.0, "share p in (0, 1] of inverted latents in the start: sqrt(p) * inverted + sqrt(1 - p) * noise"
    )
    inversion_steps: int = setting(50, "by the tuned model with an empty prompt")
    inversion_iterations: int = setting(1, "evaluations a step; 1 is Euler")
    inversion_noise: float = setting(0.0, "time in [0, 1) to which the clip is noised first; 0 inverts the clip itself")
    renormalize: bool = setting(False, "bring every channel of the inverted latents to mean 0 and deviation 1")

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
