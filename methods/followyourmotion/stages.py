"""The two training stages: spatial LoRA on single frames, temporal LoRA on sparse motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..tuning.training import Report, Schedule, predict, random_times, train
from .config import Config
from .losses import denoise_loss, motion_loss
from .rope import PlacedRope
from .sampling import Excerpt

StageName = Literal["spatial", "temporal"]


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
        predicted, target = predict(backbone, latents, text, t, generator)
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
        predicted, target = predict(backbone, latents, text, t, generator)
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


def times(config: Config, backbone: Backbone, stage: StageName, batch: int, generator: torch.Generator) -> Tensor:
    """Random flow times (B,) of a stage, float32 on the backbone's device; drawn on the CPU, so alike on all."""
    shift = config.spatial_shift if stage == "spatial" else config.temporal_shift
    lowest = config.temporal_time_min if stage == "temporal" else 0.0
    return random_times(backbone, batch, generator, config.time_density, shift=shift, lowest=lowest)
