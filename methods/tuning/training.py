"""Training on one clip: the schedule, the optimizer with its watch for NaN, random times, and noised batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.errors import NotFiniteError

from ..backbones.backbone import Backbone
from ..backbones.flow import logit_normal_times, noised, shift_times

CHECK_EVERY = 50  # steps between looks at the loss; each one makes the host wait for the device
Report = Callable[[str, int, int], None]
TimeDensity = Literal["logit_normal", "uniform"]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast one stage learns.

    lr_name: the setting to lower if it diverges (default: `STAGE_lr`); betas: of AdamW.
    """

    stage: str
    steps: int
    lr: float
    weight_decay: float
    warmup_steps: int
    lr_schedule: str
    max_grad_norm: float
    lr_name: str = ""
    betas: tuple[float, float] = (0.9, 0.999)

    @classmethod
    def of(cls, config: Any, stage: str, steps: int) -> Self:
        """The schedule that a configuration with `STAGE_lr` and `STAGE_weight_decay` gives a stage."""
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


class Learner:
    """AdamW over some parameters by a schedule, which looks now and then whether the loss is finite.

    shares: what part of the schedule's rate each parameter learns at; all of it by default.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], schedule: Schedule, shares: Sequence[float] | None = None
    ) -> None:
        self.parameters = list(parameters)
        self.schedule = schedule
        self.done = 0
        self._summed: Tensor | None = None
        self._optimizer = torch.optim.AdamW(
            _groups(self.parameters, shares),
            lr=schedule.lr,
            betas=schedule.betas,
            weight_decay=schedule.weight_decay,
            fused=True,
        )

    def step(self, value: Tensor) -> None:
        """One step down a loss. Raises NotFiniteError within CHECK_EVERY steps of a NaN."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.done) * group["share"]
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        if self.schedule.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.max_grad_norm)
        self._optimizer.step()
        self.done += 1
        self._summed = value.detach() if self._summed is None else self._summed + value.detach()
        if self.done % CHECK_EVERY == 0 or self.done == self.schedule.steps:
            self.check()

    def check(self) -> None:
        """Raises NotFiniteError if a loss since the last look was NaN or infinite."""
        if self._summed is not None and not bool(torch.isfinite(self._summed)):
            stage, lr = self.schedule.stage, self.schedule.lr
            raise NotFiniteError(
                f"the loss of the {stage} stage was NaN or infinite by step {self.done}; "
                f"lower {self.schedule.lr_name or f'{stage}_lr'} ({lr:g})"
            )
        self._summed = None


def _groups(parameters: Sequence[nn.Parameter], shares: Sequence[float] | None) -> list[dict[str, Any]]:
    """AdamW's parameter groups: one for each share."""
    by_share: dict[float, list[nn.Parameter]] = {}
    for parameter, share in zip(parameters, shares or [1.0] * len(parameters), strict=True):
        by_share.setdefault(share, []).append(parameter)
    return [{"params": found, "share": share} for share, found in by_share.items()]


def train(
    parameters: Sequence[nn.Parameter],
    loss: Callable[[], Tensor],
    schedule: Schedule,
    report: Report,
    shares: Sequence[float] | None = None,
) -> None:
    """Minimize `loss`, which draws its own batch, by a `Learner`. Raises NotFiniteError soon after a NaN."""
    if not parameters or not schedule.steps:
        return
    learner = Learner(parameters, schedule, shares)
    for step in range(schedule.steps):
        learner.step(loss())
        report(schedule.stage, step + 1, schedule.steps)


def encode_frames(backbone: Backbone, clip: Clip) -> Tensor:
    """Latents (T, C, 1, h, w) of a prepared clip's frames, each encoded as a video of its own."""
    frames = [backbone.encode(Clip(clip.frames[i : i + 1], clip.fps)) for i in range(len(clip))]
    return torch.cat(frames)


def random_times(
    backbone: Backbone,
    batch: int,
    generator: torch.Generator,
    density: TimeDensity = "logit_normal",
    *,
    shift: float | None = None,
    lowest: float = 0.0,
) -> Tensor:
    """Random flow times (B,) in [lowest, 1], float32 on the backbone's device; drawn on the CPU, so alike on all.

    shift moves them toward noise; None takes the backbone's own.
    """
    shift = backbone.shift if shift is None else shift
    if density == "logit_normal":
        t = logit_normal_times(batch, shift, generator, "cpu")
    else:
        t = shift_times(torch.rand(batch, generator=generator), shift)
    return (lowest + (1 - lowest) * t).to(backbone.device, non_blocking=True)


def predict(
    backbone: Backbone, latents: Tensor, text: Tensor, t: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Predicted and true velocity (B, C, F, h, w) of noised latents at times t (B,); text (1, L, D)."""
    noise = torch.randn(latents.shape, generator=generator).to(latents.device, non_blocking=True)
    predicted = backbone.velocity(noised(latents, noise, t), t, text.expand(len(t), -1, -1))
    return predicted, noise - latents


@contextmanager
def checkpointing(transformer: Any, wanted: bool) -> Iterator[None]:
    """Gradient checkpointing inside the block, if wanted: less memory, more time, the same numbers."""
    switch = wanted and not transformer.gradient_checkpointing
    if switch:
        transformer.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if switch:
            transformer.disable_gradient_checkpointing()
