"""DeT's temporal kernel: a small convolution over time beside a self-attention, place by place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..taps.self_attention import frozen, hooked, self_attentions
from ..taps.token_grid import CurrentGrid, TokenGrid


class TemporalKernel(nn.Module):
    """Conv1d(d -> r, k frames) -> GELU -> Conv1d(r -> d), the second zero at first: no change before training.

    Always float32: in bfloat16 most updates would be rounded away.
    """

    def __init__(self, width: int, bottleneck: int, frames: int) -> None:
        super().__init__()
        self.down = nn.Conv1d(width, bottleneck, frames, padding=frames // 2)
        self.up = nn.Conv1d(bottleneck, width, 1)
        with torch.no_grad():
            for parameter in self.up.parameters():
                parameter.zero_()

    def draw(self, generator: torch.Generator) -> None:
        """Random weights of the first convolution, uniform as in torch, but drawn from `generator` on the CPU."""
        bound = 1 / math.sqrt(self.down.in_channels * self.down.kernel_size[0])
        with torch.no_grad():
            for parameter in self.down.parameters():
                parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)

    def forward(self, hidden: Tensor, grid: TokenGrid) -> Tensor:
        """Tokens (B, F*h*w, d), frame-major, to as many."""
        places = rearrange(hidden.float(), "b (f p) d -> (b p) d f", f=grid.frames, p=grid.cells)
        moved = self.up(nn.functional.gelu(self.down(places)))
        tokens: Tensor = rearrange(moved, "(b p) d f -> b (f p) d", b=len(hidden)).to(hidden.dtype)
        return tokens


@contextmanager
def temporal_kernels(transformer: Any, bottleneck: int, frames: int) -> Iterator[nn.ModuleList]:
    """A Wan transformer with a kernel beside each self-attention, everything else frozen; on leaving, as it was.

    A kernel reads what its attention reads and adds to what that returns, so the block's gate applies to both.
    """
    attentions = self_attentions(transformer)
    kernels = nn.ModuleList(TemporalKernel(a.to_q.in_features, bottleneck, frames) for a in attentions)
    kernels.to(next(transformer.parameters()).device)
    now = CurrentGrid(transformer)

    def beside(kernel: nn.Module) -> Any:
        def add(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
            moved: Tensor = kernel(inputs[0], now.grid)
            return output + moved

        return add

    hooks = [a.register_forward_hook(beside(k)) for a, k in zip(attentions, kernels, strict=True)]
    with frozen(transformer), hooked(kernels, [now.handle, *hooks]):
        yield kernels
