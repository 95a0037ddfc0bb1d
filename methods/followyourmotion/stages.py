"""The two training stages: spatial LoRA on single frames, temporal LoRA on sparse motion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import torch
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.errors import NotFiniteError

from ..backbones.backbone import Backbone
from ..backbones.flow import logit_normal_times, noised, shift_times
from .config import Config
from .losses import denoise_loss, motion_loss
from .rope import PlacedRope
from .sampling import Excerpt

CHECK_EVERY = 50  # steps between looks at the loss; each one makes the host wait for the device
StageName = Literal["spatial", "temporal"]
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one stage learns; the fields are those of `Config` without the stage's name."""

    stage: StageName
    steps: int
    lr: float
    weight_decay: float
    warmup_steps: int
    lr_schedule: str
    max_grad_norm: float

    @classmethod
    def of(cls, config: Config, stage: StageName, steps: int) -> Self:
        """The schedule that a configuration gives a stage."""
        lr, decay = (getattr(config, f"{stage}_{name}") for name in ("lr", "weight_decay"))
        return cls(stage, steps, lr, decay, config.warmup_steps, config.lr_schedule, config.max_grad_norm)

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then constant or a cosine that reaches zero after the last step."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / (self.warmup_steps + 1)
        if self.lr_schedule == "constant":
            return self.lr
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr * 0.5 * (1 + math.cos(math.pi * progress))


def encode_frames(backbone: Backbone, clip: Clip) -> Tensor:
    """Latents (T, C, 1, h, w) of a prepared clip's frames, each encoded as a video of its own."""
    frames = [backbone.encode(Clip(clip.frames[i : i + 1], clip.fps)) for i in range(len(clip))]
    return torch.cat(frames)


def train_spatial(
    backbone: Backbone,
    frames: Tensor,
    text: Tensor,
    parameters: Sequence[nn.Parameter],
    config: Config,
    generator: torch.Generator,
    report: Report,
) -> None:
    """Stage 2 of the paper: the spatial LoRA learns what the reference looks like, from random single frames.

    frames: (T, C, 1, h, w); text: (1, L, D), the reference's caption.
    """

    def loss() -> Tensor:
        picks = torch.randint(len(frames), (config.spatial_batch,), generator=generator)
        latents = frames[picks.to(frames.device, non_blocking=True)]
        t = times(config, backbone, "spatial", config.spatial_batch, generator)
        predicted, target = _predict(backbone, latents, text, t, generator)
        return denoise_loss(predicted, target)

    schedule = Schedule.of(config, "spatial", config.spatial_steps)
    train(parameters, loss, schedule, report)


def train_temporal(
    backbone: Backbone,
    rope: PlacedRope,
    excerpts: Sequence[Excerpt],
    text: Tensor,
    parameters: Sequence[nn.Parameter],
    config: Config,
    generator: torch.Generator,
    report: Report,
) -> None:
    """Stage 3 of the paper: the temporal LoRA learns the motion, the spatial one being loaded and frozen.

    excerpts: sparse views of the clip; one is drawn for each step, with temporal_batch noises and times.
    """

    def loss() -> Tensor:
        pick = int(torch.randint(len(excerpts), (1,), generator=generator))
        rope.positions = excerpts[pick].positions
        latents = excerpts[pick].latents.expand(config.temporal_batch, -1, -1, -1, -1)
        t = times(config, backbone, "temporal", config.temporal_batch, generator)
        predicted, target = _predict(backbone, latents, text, t, generator)
        total = denoise_loss(predicted, target)
        if config.motion_loss:
            total = total + config.motion_weight * motion_loss(predicted, target, config.motion_axis)
        return total

    steps = config.temporal_steps if config.decouple else config.spatial_steps + config.temporal_steps
    schedule = Schedule.of(config, "temporal", steps)
    try:
        train(parameters, loss, schedule, report)
    finally:
        rope.positions = None


def train(parameters: Sequence[nn.Parameter], loss: Callable[[], Tensor], schedule: Schedule, report: Report) -> None:
    """Minimize `loss`, which draws its own batch, by AdamW. Raises NotFiniteError within CHECK_EVERY steps of a NaN."""
    if not parameters or not schedule.steps:
        return
    optimizer = torch.optim.AdamW(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True)
    summed: Tensor | None = None
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        value = loss()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        if schedule.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(parameters, schedule.max_grad_norm)
        optimizer.step()
        summed = value.detach() if summed is None else summed + value.detach()
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == schedule.steps:
            if not bool(torch.isfinite(summed)):
                raise NotFiniteError(
                    f"the loss of the {schedule.stage} stage was NaN or infinite by step {step + 1}; "
                    f"lower {schedule.stage}_lr ({schedule.lr:g})"
                )
            summed = None
        report(schedule.stage, step + 1, schedule.steps)


def times(config: Config, backbone: Backbone, stage: StageName, batch: int, generator: torch.Generator) -> Tensor:
    """Random flow times (B,) of a stage, float32 on the backbone's device; drawn on the CPU, so alike on all."""
    own = config.spatial_shift if stage == "spatial" else config.temporal_shift
    shift = backbone.shift if own is None else own
    if config.time_density == "logit_normal":
        t = logit_normal_times(batch, shift, generator, "cpu")
    else:
        t = shift_times(torch.rand(batch, generator=generator), shift)
    lowest = config.temporal_time_min if stage == "temporal" else 0.0
    return (lowest + (1 - lowest) * t).to(backbone.device, non_blocking=True)


def _predict(
    backbone: Backbone, latents: Tensor, text: Tensor, t: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Predicted and true velocity (B, C, F, h, w) of noised latents at times t (B,)."""
    noise = torch.randn(latents.shape, generator=generator).to(latents.device, non_blocking=True)
    predicted = backbone.velocity(noised(latents, noise, t), t, text.expand(len(t), -1, -1))
    return predicted, noise - latents
