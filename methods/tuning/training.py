"""Training on one clip: the schedule, the optimizer with its watch for NaN, random times, and noised batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from motionbench.clip import Clip
from motionbench.errors import NotFiniteError

from ..backbones.backbone import Backbone
from ..backbones.draws import Draw, DrawsAhead
from ..backbones.flow import logit_normal_times, noised, shift_times
from ..backbones.replay import ReplayedSteps, recorder_on

CHECK_EVERY = 50  # steps between looks at the loss
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

    shares: what part of the schedule's rate each parameter learns at; all of it by default. A step is `begin` and
    `finish` on the host, and `descend` between them, which a CUDA graph may record: no number is read or set in it.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], schedule: Schedule, shares: Sequence[float] | None = None
    ) -> None:
        self.parameters = list(parameters)
        self.schedule = schedule
        self.done = 0
        device = self.parameters[0].device
        self._on_gpu = device.type == "cuda"
        self.watch = LossWatch(schedule, device)
        self._optimizer = torch.optim.AdamW(
            self._groups(shares),
            lr=schedule.lr,
            betas=schedule.betas,
            weight_decay=schedule.weight_decay,
            fused=True,
            capturable=self._on_gpu,
        )

    def step(self, value: Tensor) -> None:
        """One step down a loss. Raises NotFiniteError soon after a NaN."""
        self.begin()
        self.descend(value)
        self.finish()

    def begin(self) -> None:
        """Sets the step's learning rate."""
        for group in self._optimizer.param_groups:
            rate = self.schedule.rate(self.done) * group["share"]
            if self._on_gpu:
                group["lr"].fill_(rate)  # a launch, not a copy that the host waits for
            else:
                group["lr"] = rate

    def descend(self, value: Tensor) -> None:
        """Gradients of a loss, clipped, and AdamW's step by them."""
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(value)
        if self.schedule.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.max_grad_norm)
        self._optimizer.step()
        self.watch.see(value.detach())

    def finish(self) -> None:
        """Counts the step, and looks at the loss if it is time to. Raises NotFiniteError."""
        self.done += 1
        if self.done == self.schedule.steps:
            self.check()
        elif self.done % CHECK_EVERY == 0:
            self.watch.look(self.done)

    def check(self) -> None:
        """Raises NotFiniteError if a loss was NaN or infinite up to now; waits for the device."""
        self.watch.check(self.done)

    def _groups(self, shares: Sequence[float] | None) -> list[dict[str, Any]]:
        """AdamW's parameter groups: one for each share; on a GPU the rate is a number in its memory."""
        by_share: dict[float, list[nn.Parameter]] = {}
        for parameter, share in zip(self.parameters, shares or [1.0] * len(self.parameters), strict=True):
            by_share.setdefault(share, []).append(parameter)
        groups: list[dict[str, Any]] = [{"params": found, "share": share} for share, found in by_share.items()]
        for group in groups if self._on_gpu else []:
            group["lr"] = torch.tensor(self.schedule.lr, device=group["params"][0].device)
        return groups


class LossWatch:
    """The sum of a stage's losses, NaN or infinite as soon as one was, and the last of them.

    On a GPU a look copies the sum and reads what the look before copied, so that the host waits for nothing; a NaN is
    then found at most two looks later.
    """

    def __init__(self, schedule: Schedule, device: torch.device) -> None:
        self.schedule = schedule
        self.last = torch.zeros((), device=device)
        self._sum = torch.zeros((), device=device)
        self._copy: tuple[Tensor, torch.cuda.Event] | None = None
        if device.type == "cuda":
            self._copy = torch.zeros((), pin_memory=True), torch.cuda.Event()

    def see(self, value: Tensor) -> None:
        """Adds a loss; both tensors keep their places."""
        self.last.copy_(value)
        self._sum.add_(value)

    def look(self, done: int) -> None:
        """Raises NotFiniteError if a loss was NaN or infinite, on a GPU by the look before."""
        if self._copy is None:
            self.check(done)
            return
        copied, event = self._copy
        event.synchronize()  # of CHECK_EVERY steps ago
        self._require_finite(copied, done)
        copied.copy_(self._sum, non_blocking=True)
        event.record()

    def check(self, done: int) -> None:
        """Raises NotFiniteError if a loss was NaN or infinite; waits for the device."""
        self._require_finite(self._sum, done)

    def _require_finite(self, value: Tensor, done: int) -> None:
        if not bool(torch.isfinite(value)):
            stage, lr = self.schedule.stage, self.schedule.lr
            raise NotFiniteError(
                f"the loss of the {stage} stage was NaN or infinite by step {done}; "
                f"lower {self.schedule.lr_name or f'{stage}_lr'} ({lr:g})"
            )


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
