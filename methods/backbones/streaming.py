"""Transformer blocks in host memory: brought to the device for their turn, in sampling and in training."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor

# Kept free beside the weights at 81 frames 480x832: LoRAs of rank 128 on 14B with their optimizer (3.4 GB), what
# training keeps of recomputed blocks (6 GB), or sampling's largest activations (5 GB).
RESERVE_BYTES = 10 * 10**9


def blocks_to_stream(transformer: Any, limit_bytes: int) -> int:
    """How many blocks must stay in host memory so that the weights leave RESERVE_BYTES of a limit."""
    blocks = list(transformer.blocks)
    block = sum(p.numel() * p.element_size() for p in blocks[0].parameters())
    total = sum(p.numel() * p.element_size() for p in transformer.parameters())
    missing: int = total - (limit_bytes - RESERVE_BYTES)
    wanted: int = -(-missing // block)
    return min(len(blocks), max(0, wanted))


def place(transformer: Any, device: torch.device, streamed: int) -> Any:
    """The transformer on a device, but for its first `streamed` blocks, which come and go; for frozen weights only.

    Those blocks keep nothing but their input for the gradient, as if they were checkpointed. What is put on a block
    later, such as a LoRA, must be on the device, and stays there.
    """
    for block in list(transformer.blocks)[:streamed]:
        _stream(block, device)
    resident = [block for block in transformer.blocks if not is_streamed(block)]
    for child in [*resident, *(part for name, part in transformer.named_children() if name != "blocks")]:
        child.to(device)
    for name, parameter in transformer.named_parameters(recurse=False):
        setattr(transformer, name, torch.nn.Parameter(parameter.to(device), requires_grad=parameter.requires_grad))
    return transformer


def is_streamed(block: Any) -> bool:
    """Whether a block comes and goes."""
    return hasattr(block, "visit")


class Visit:
    """Brings a block's own weights to the device, as a context, and takes them away again."""

    def __init__(self, block: Any, device: torch.device) -> None:
        self.device = device
        self.weights = list(block.parameters())
        pinned = device.type == "cuda"
        self.host = [p.data.pin_memory() if pinned else p.data for p in self.weights]
        self._put(self.host)

    def __enter__(self) -> None:
        self._put([data.to(self.device, non_blocking=True, copy=True) for data in self.host])

    def __exit__(self, *_: object) -> None:
        self._put(self.host)

    def _put(self, data: list[Tensor]) -> None:
        for parameter, value in zip(self.weights, data, strict=True):
            parameter.data = value


class _Turn(torch.autograd.Function):
    """A block's turn in training: forward without a graph, and once more with one when the gradient comes."""

    @staticmethod
    def forward(ctx: Any, block: Any, anchor: Tensor, hidden: Tensor, *rest: Any) -> Tensor:
        ctx.block, ctx.rest = block, rest
        ctx.save_for_backward(hidden)
        with torch.no_grad(), block.visit:
            out: Tensor = type(block).forward(block, hidden, *rest)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (hidden,) = ctx.saved_tensors
        hidden = hidden.detach().requires_grad_(ctx.needs_input_grad[2])
        with torch.enable_grad(), ctx.block.visit:
            out = type(ctx.block).forward(ctx.block, hidden, *ctx.rest)
            torch.autograd.backward(out, gradients[0])  # adds to the LoRA's gradients, too
        return (None, None, hidden.grad, *(None for _ in ctx.rest))


def _stream(block: Any, device: torch.device) -> None:
    block.visit = Visit(block, device)

    def forward(self: Any, hidden: Tensor, *rest: Any) -> Tensor:
        if not torch.is_grad_enabled():
            with self.visit:
                out: Tensor = type(self).forward(self, hidden, *rest)
            return out
        anchor = torch.zeros((), device=hidden.device, requires_grad=True)  # the first block's input needs no gradient
        turn: Tensor = _Turn.apply(self, anchor, hidden, *rest)
        return turn

    block.forward = MethodType(forward, block)
