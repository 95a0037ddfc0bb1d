"""PEFT LoRAs on one branch of the split attentions: add, freeze, merge, read and write their weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from torch import Tensor, nn

from ..tuning.lora import fill_lora, inject_lora, lora_layers, lora_weights
from .split import BranchName, split_heads

__all__ = ["SplitHeads", "add_lora", "load_lora", "lora_config", "lora_weights", "merge_lora", "split_lora_host"]


def lora_config(branch: BranchName, rank: int, scale: float) -> LoraConfig:
    """The PEFT configuration of a LoRA on q, k, v and the output projection of one branch; scale = alpha / rank."""
    return LoraConfig(
        r=rank,
        lora_alpha=rank * scale,
        target_modules=rf"\d+\.{branch}\.[qkvo]",
        init_lora_weights=False,
    )


def add_lora(
    layers: nn.ModuleList, branch: BranchName, *, rank: int, scale: float, generator: torch.Generator
) -> list[nn.Parameter]:
    """Put a fresh LoRA named like the branch on each of its projections; returns what is to be trained.

    B is zero, so nothing changes yet; A is uniform as in PEFT, but drawn from `generator` instead of the global one.
    Empty if no layer has heads of this kind. Everything else in `layers` is left frozen.
    """
    if not any(hasattr(layer, branch) for layer in layers):
        return []
    return inject_lora(layers, lora_config(branch, rank, scale), branch, generator)


def load_lora(
    layers: nn.ModuleList, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float
) -> None:
    """Add one branch's LoRA with these weights, frozen. Raises KeyError if they are of another split."""
    add_lora(layers, branch, rank=rank, scale=scale, generator=torch.Generator())
    fill_lora(layers, branch, weights)


def merge_lora(layers: nn.ModuleList, branch: BranchName) -> None:
    """Add a frozen branch's LoRA to the branch's own weights, so that it costs nothing until another one is added.

    Only in float32 and with the model's own norm: bfloat16 would round the small change away, and `isolate_norm`
    must tell the untouched projection from the tuned one.
    """
    if any(layer.isolate_norm for layer in layers):
        return
    for module in lora_layers(layers, branch):
        if module.get_base_layer().weight.dtype == torch.float32:
            module.merge()


class SplitHeads:
    """All split self-attentions with the PEFT LoRAs of branches: the counterpart of `fused.FusedHeads`."""

    def __init__(self, layers: nn.ModuleList) -> None:
        self.layers = layers

    def add_lora(
        self, branch: BranchName, *, rank: int, scale: float, generator: torch.Generator
    ) -> list[nn.Parameter]:
        """Put a fresh LoRA on a branch; returns what is to be trained, [] if no layer has heads of this kind."""
        return add_lora(self.layers, branch, rank=rank, scale=scale, generator=generator)

    def load_lora(self, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float) -> None:
        """Put a LoRA with these weights on a branch, frozen. Raises KeyError if they are of another split."""
        load_lora(self.layers, branch, weights, rank=rank, scale=scale)

    def merge_lora(self, branch: BranchName) -> None:
        """Add a branch's LoRA to its weights where they can hold it."""
        merge_lora(self.layers, branch)

    def weights(self, branch: BranchName) -> dict[str, Tensor]:
        """Copies on the CPU of a branch's LoRA, keyed as PEFT keys them: `0.spatial.q.lora_A.weight`."""
        return lora_weights(self.layers, branch)


@contextmanager
def split_lora_host(
    transformer: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False
) -> Iterator[SplitHeads]:
    """The transformer with its self-attentions split by `temporal` (L, K); on leaving, it is what it was."""
    with split_heads(transformer, temporal, isolate_norm=isolate_norm) as layers:
        yield SplitHeads(layers)
