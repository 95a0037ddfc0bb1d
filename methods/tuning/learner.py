"""AdamW by a schedule, with a watch for NaN: what one stage of training learns by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from motionbench.errors import NotFiniteError

CHECK_EVERY = 50  # steps between looks at the loss


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
        groups: list[dict[str, Any]] = [{"params": members, "share": share} for share, members in by_share.items()]
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
