"""Latent guidance: Euler sampling in which a method improves the latents first, and may bend the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from motionbench.errors import NotFiniteError

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Step:
    """One Euler step: its number of `total`, and the times (1,) it leads from and to, float32 on the device."""

    index: int
    total: int
    t: Tensor
    t_next: Tensor

    def __str__(self) -> str:
        return f"step {self.index + 1} of {self.total} (t = {float(self.t):.3f})"


@dataclass(frozen=True)
class InnerSchedule:
    """How the latents are optimized: in the first `guided_steps`, `iterations` of AdamW each, with fresh moments.

    lr_from, lr_to: learning rate in the first and in the last guided step, linear between; or, with lr_along
    `iterations`, in the first and the last iteration of each. weight_decay: 0 is Adam.
    gradient_every: the gradient is computed anew at every so many iterations and used again at those between.
    """

    guided_steps: int
    iterations: int
    lr_from: float
    lr_to: float
    weight_decay: float = 0.0
    gradient_every: int = 1
    lr_along: Literal["steps", "iterations"] = "steps"

    def rate(self, index: int, iteration: int = 0) -> float:
        """The learning rate of an iteration in a guided step."""
        at, last = (index, self.guided_steps - 1) if self.lr_along == "steps" else (iteration, self.iterations - 1)
        share = at / max(1, last)
        return self.lr_from + (self.lr_to - self.lr_from) * share


class Guide:
    """What a method does while its clip is sampled; each of the three is left out by not overriding it."""

    def loss_at(self, latents: Tensor, step: Step) -> Loss:
        """The loss of this step as a function of latents (1, C, F, h, w); a scalar, with a gradient.

        Called once before the iterations, with the latents as the step finds them and without gradients: what is the
        same for all iterations, such as the reference's features at `step.t`, belongs here.
        """
        raise NotImplementedError

    def velocity(self, velocity: Tensor, latents: Tensor, step: Step) -> Tensor:
        """The velocity to go by, given the model's (with classifier-free guidance) at the optimized latents."""
        return velocity

    def correct(self, following: Tensor, latents: Tensor, step: Step) -> Tensor:
        """The latents to go on from, given those that the Euler step led to from `latents`; see `loss_gradient`."""
        return following


def sample_guided(
    velocity: Callable[[Tensor, Tensor], Tensor],
    guide: Guide,
    schedule: InnerSchedule,
    *,
    start: Tensor,
    times: Tensor,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Latents at the last of `times` (N + 1,) from `start` (1, C, F, h, w), guided on the way.

    velocity(x, t): such as `Backbone.guided_velocity`. Without guided steps, and with a guide that overrides nothing,
    the result is that of `Backbone.sample`, bit for bit. Raises NotFiniteError in the step that breaks.
    """
    latents, total = start, len(times) - 1
    for i in range(total):
        step = Step(i, total, times[i].expand(1).to(start.device), times[i + 1].expand(1).to(start.device))
        if i < schedule.guided_steps and schedule.iterations:
            latents = optimize(latents, guide, schedule, step)
        with torch.no_grad():
            v = guide.velocity(velocity(latents, step.t), latents, step)
            following = latents + (times[i + 1] - times[i]) * v
        latents = guide.correct(following, latents, step).detach()
        if not bool(torch.isfinite(latents).all()):
            raise NotFiniteError(f"the latents were NaN or infinite after {step}; lower the guidance's strength")
        if on_step is not None:
            on_step(i + 1, total)
    return latents


def optimize(latents: Tensor, guide: Guide, schedule: InnerSchedule, step: Step) -> Tensor:
    """The latents after one step's iterations; no graph outlives its iteration. Raises NotFiniteError."""
    with torch.no_grad():
        loss = guide.loss_at(latents, step)
    x = latents.detach().clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([x], lr=schedule.lr_from, weight_decay=schedule.weight_decay)
    summed = torch.zeros((), device=x.device)
    for iteration in range(schedule.iterations):
        optimizer.param_groups[0]["lr"] = schedule.rate(step.index, iteration)
        if iteration % schedule.gradient_every == 0:
            value, x.grad = loss_gradient(loss, x)
            summed += value
        optimizer.step()
    if not bool(torch.isfinite(summed)) or not bool(torch.isfinite(x).all()):  # once a step: it makes the host wait
        raise NotFiniteError(
            f"the guidance loss or its latents were NaN or infinite in {step}; lower lr_from ({schedule.lr_from:g}), "
            "or use float32"
        )
    return x.detach()


def loss_gradient(loss: Loss, latents: Tensor) -> tuple[Tensor, Tensor]:
    """A loss's value and its gradient (1, C, F, h, w) at some latents, both without a graph."""
    with torch.enable_grad():
        x = latents.detach().requires_grad_(True)
        value = loss(x)
        (gradient,) = torch.autograd.grad(value, x)
    return value.detach(), gradient
