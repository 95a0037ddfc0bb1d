"""PEFT LoRAs on one branch of the split attentions: add, freeze, merge, read and write their weights."""

from __future__ import annotations

import torch
from peft import LoraConfig
from torch import Tensor, nn

from ..lora import fill_lora, inject_lora, lora_layers, lora_weights
from .split import BranchName

__all__ = ["add_lora", "load_lora", "lora_config", "lora_weights", "merge_lora"]


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
