"""The two training stages: spatial LoRA on single frames, temporal LoRA on sparse motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from ..backbones.draws import Draw
from ..tuning.learner import Schedule
from ..tuning.training import Report, predict, random_times, train
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

    shape = (config.spatial_batch, *frames.shape[1:])

    def draw() -> Draw:
        picks = torch.randint(len(frames), (config.spatial_batch,), generator=generator)
        t = times(config, backbone, "spatial", config.spatial_batch, generator)
        return Draw((picks, t, torch.randn(shape, generator=generator)))

    def loss(draw: Draw) -> Tensor:
        picks, t, noise = draw.tensors
        predicted, target = predict(backbone, frames[picks], text, t, noise)
        return denoise_loss(predicted, target)

    train(backbone, parameters, draw, loss, Schedule.of(config, "spatial", config.spatial_steps), report)


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

    batch = config.temporal_batch

    def draw() -> Draw:
        pick = int(torch.randint(len(excerpts), (1,), generator=generator))
        t = times(config, backbone, "temporal", batch, generator)
        shape = (batch, *excerpts[pick].latents.shape[1:])
        return Draw((t, torch.randn(shape, generator=generator)), variant=pick)

    def loss(draw: Draw) -> Tensor:
        excerpt = excerpts[cast(int, draw.variant)]
        rope.positions = excerpt.positions
        predicted, target = predict(backbone, excerpt.latents.expand(batch, -1, -1, -1, -1), text, *draw.tensors)
        total = denoise_loss(predicted, target)
        if config.motion_loss:
            total = total + config.motion_weight * motion_loss(predicted, target, config.motion_axis)
        return total

    steps = config.temporal_steps if config.decouple else config.spatial_steps + config.temporal_steps
    schedule = Schedule.of(config, "temporal", steps)
    try:
        train(backbone, parameters, draw, loss, schedule, report)
    finally:
        rope.positions = None


def times(config: Config, backbone: Backbone, stage: StageName, batch: int, generator: torch.Generator) -> Tensor:
    """Random flow times (B,) of a stage, float32 on the CPU, so alike on all devices."""
    shift = config.spatial_shift if stage == "spatial" else config.temporal_shift
    lowest = config.temporal_time_min if stage == "temporal" else 0.0
    return random_times(backbone, batch, generator, config.time_density, shift=shift, lowest=lowest)
