"""The decoupled LoRAs of a whole transformer: add, load, merge, read their weights, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.errors import ShapeError

from ..taps.self_attention import frozen
from .branches import BranchName
from .decoupled_attention import DecoupledAttention
from .low_rank import LowRank

MERGE_TOLERANCE = 0.05  # of a merged LoRA: rounding of the sum over the LoRA's own size


class DecoupledLoras:
    """All self-attentions of a transformer, with a LoRA on each branch that was given one."""

    def __init__(self, layers: list[DecoupledAttention], device: torch.device) -> None:
        self.layers = layers
        self.device = device  # where it is computed; weights may be in host memory between their turns
        self._before_merges: list[tuple[Tensor, Tensor]] = []  # merged weights, and copies of what they were

    def add_lora(
        self, branch: BranchName, *, rank: int, scale: float, generator: torch.Generator
    ) -> list[nn.Parameter]:
        """Put a fresh LoRA on a branch, scale = alpha / rank; returns what is to be trained.

        Nothing changes yet, since B is zero. Empty if no layer has heads of this kind.
        """
        channels = [layer.channels(branch) for layer in self.layers]
        if not any(len(some) for some in channels):
            return []
        parameters: list[nn.Parameter] = []
        for layer, some in zip(self.layers, channels, strict=True):
            lora = LowRank(some, layer.attention.inner_dim, rank, scale, generator).to(self.device)
            layer.loras[branch] = lora
            parameters += list(lora.parameters())
        return parameters

    def load_lora(self, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float) -> None:
        """Put a LoRA with these weights on a branch, frozen. Raises KeyError if they are of another split."""
        self.add_lora(branch, rank=rank, scale=scale, generator=torch.Generator())
        for i, lora in self._loras(branch):
            prefix = f"{i}.{branch}."
            lora.fill({key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)})

    def weights(self, branch: BranchName) -> dict[str, Tensor]:
        """Copies on the CPU of a branch's LoRA, keyed as PEFT keys them: `0.spatial.q.lora_A.weight`."""
        return {
            f"{i}.{branch}.{name}": value for i, lora in self._loras(branch) for name, value in lora.to_peft().items()
        }

    @torch.no_grad()
    def merge_lora(self, branch: BranchName) -> bool:
        """Add a branch's LoRA to the model's weights until the block ends, if they can hold it; says whether it did.

        Not with `isolate_norm`, which must tell the untouched projection from the tuned one, and not where rounding to
        the weights' number type would change the LoRA by more than MERGE_TOLERANCE of its size, in any layer.
        """
        loras = self._loras(branch)
        if not loras or any(layer.isolate_norm for layer in self.layers):
            return False
        if float(torch.stack([_rounding(self.layers[i], lora) for i, lora in loras]).max()) > MERGE_TOLERANCE:
            return False
        for i, lora in loras:
            for name, delta in lora.deltas().items():
                weight = self.layers[i].linear(name).weight.data
                self._before_merges.append((weight, weight.to("cpu", copy=True)))
                weight.copy_(weight.to(self.device, torch.float32) + delta)
            lora.requires_grad_(False)
            del self.layers[i].loras[branch]
        return True

    @torch.no_grad()
    def restore(self) -> None:
        """Undo all merges, the last one first."""
        while self._before_merges:
            weight, before = self._before_merges.pop()
            weight.copy_(before)

    def _loras(self, branch: BranchName) -> list[tuple[int, LowRank]]:
        return [(i, layer.loras[branch]) for i, layer in enumerate(self.layers) if branch in layer.loras]  # type: ignore[misc]


def _rounding(layer: DecoupledAttention, lora: LowRank) -> Tensor:
    """The largest relative error () of a layer's merged LoRA over q, k, v and o; 0 for a LoRA that adds nothing."""
    errors = []
    for name, delta in lora.deltas().items():
        weight = layer.linear(name).weight.data
        exact = weight.to(delta.device, torch.float32) + delta
        error = (exact.to(weight.dtype).float() - exact).norm() / delta.norm().clamp_min(1e-30)
        errors.append(torch.where(delta.any(), error, torch.zeros_like(error)))
    return torch.stack(errors).max()


@contextmanager
def decoupled_loras(
    transformer: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False
) -> Iterator[DecoupledLoras]:
    """The transformer with its self-attentions decoupled by `temporal` (L, K); on leaving, it is what it was."""
    attentions = [block.attn1 for block in transformer.blocks]
    if temporal.shape[0] != len(attentions):
        raise ShapeError(f"one row for each of {len(attentions)} layers expected, got {temporal.shape}")
    layers = [
        DecoupledAttention(a, row, isolate_norm=isolate_norm) for a, row in zip(attentions, temporal, strict=True)
    ]
    loras = DecoupledLoras(layers, transformer.patch_embedding.weight.device)
    with frozen(transformer):
        try:
            for block, layer in zip(transformer.blocks, layers, strict=True):
                block.attn1 = layer
            yield loras
        finally:
            loras.restore()
            for block, attention in zip(transformer.blocks, attentions, strict=True):
                block.attn1 = attention
