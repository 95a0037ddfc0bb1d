"""Muon: momentum whose matrix updates are orthogonalized; batched over equal shapes to save kernel launches.

Source: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), with the update scale of
Liu et al., arXiv:2502.16982, Section 2.2 (0.2 * sqrt(max(rows, columns)), which matches AdamW's update size).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # quintic iteration that drives singular values to about 1


def orthogonalized(g: Tensor, iterations: int = 5) -> Tensor:
    """Nearest semi-orthogonal matrices of g (S, rows, columns), up to singular values in about [0.7, 1.2]; bfloat16."""
    a, b, c = COEFFICIENTS
    x = g.bfloat16()
    wide: Tensor = x.mT if x.shape[-2] > x.shape[-1] else x
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(iterations):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.mT if x.shape[-2] > x.shape[-1] else wide


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalized updates, for 2D parameters only; lr is on AdamW's scale."""

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    by_shape[p.shape].append(p)
            for shape, params in by_shape.items():
                self._update(params, max(shape), group)

    def _update(self, params: list[Tensor], longest: int, group: dict[str, float]) -> None:
        grads = [p.grad for p in params if p.grad is not None]
        for p in params:
            self.state[p].setdefault("momentum", torch.zeros_like(p))
        buffers = [self.state[p]["momentum"] for p in params]
        torch._foreach_lerp_(buffers, grads, 1 - group["momentum"])
        nesterov = torch._foreach_lerp(grads, buffers, group["momentum"])
        updates = orthogonalized(torch.stack(list(nesterov))).float() * (0.2 * longest**0.5)
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(params, list(updates.to(params[0].dtype).unbind()), alpha=-group["lr"])
