"""Training on one clip: steps on draws made ahead, random times, and noised batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from motionbench.clip import Clip

from ..backbones.backbone import Backbone
from ..backbones.draws import Draw, DrawsAhead
from ..backbones.flow import logit_normal_times, noised, shift_times
from ..backbones.replay import ReplayedSteps, recorder_on
from .learner import Learner, Schedule

Report = Callable[[str, int, int], None]
TimeDensity = Literal["logit_normal", "uniform"]


def train(
    backbone: Backbone,
    parameters: Sequence[nn.Parameter],
    draw: Callable[[], Draw],
    loss: Callable[[Draw], Tensor],
    schedule: Schedule,
    report: Report,
    shares: Sequence[float] | None = None,
) -> None:
    """Minimize `loss` of random draws by a `Learner`. Raises NotFiniteError soon after a NaN.

    draw: the random numbers of one step, on the CPU; loss: of them on the backbone's device. Steps may be replayed, so
    of what is not in its draw, `loss` may depend on nothing that changes from step to step.
    """
    if not parameters or not schedule.steps:
        return
    learner = Learner(parameters, schedule, shares)
    take_steps(backbone, draw, lambda drawn: learner.descend(loss(drawn)), lambda _: [learner], schedule, report)


def take_steps(
    backbone: Backbone,
    draw: Callable[[], Draw],
    step: Callable[[Draw], None],
    learners: Callable[[Draw], Sequence[Learner]],
    schedule: Schedule,
    report: Report,
) -> None:
    """A schedule's steps on draws that are on the device in time, replayed where the device can.

    step: must `descend` with the learners that `learners` says take part in a draw. Raises NotFiniteError.
    """
    with recorder_on(backbone.device, backbone.replays) as recorder:
        steps = Steps(DrawsAhead(draw, schedule.steps, backbone.device), ReplayedSteps(step, recorder), learners)
        for done in range(schedule.steps):
            steps.take()
            report(schedule.stage, done + 1, schedule.steps)


class Steps:
    """Training steps, one after the other: each is given to the device before the next one's numbers are drawn."""

    def __init__(self, draws: DrawsAhead, step: ReplayedSteps, learners: Callable[[Draw], Sequence[Learner]]) -> None:
        self.draws, self.step, self.learners = draws, step, learners

    def take(self) -> None:
        """The next step. Raises NotFiniteError soon after a NaN."""
        draw = self.draws.take()
        taking_part = self.learners(draw)
        for learner in taking_part:
            learner.begin()
        self.step(draw)
        self.draws.look_ahead()
        for learner in taking_part:
            learner.finish()


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
    """Random flow times (B,) in [lowest, 1], float32 on the CPU, so alike on all devices.

    shift moves them toward noise; None takes the backbone's own.
    """
    shift = backbone.shift if shift is None else shift
    if density == "logit_normal":
        t = logit_normal_times(batch, shift, generator, "cpu")
    else:
        t = shift_times(torch.rand(batch, generator=generator), shift)
    return lowest + (1 - lowest) * t


def predict(backbone: Backbone, latents: Tensor, text: Tensor, t: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true velocity (B, C, F, h, w) of latents with that noise at times t (B,); text (1, L, D)."""
    predicted = backbone.velocity(noised(latents, noise, t), t, text.expand(len(t), -1, -1))
    return predicted, noise - latents
