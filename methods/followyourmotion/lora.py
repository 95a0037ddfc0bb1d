"""PEFT LoRAs on one branch of the split attentions: add, freeze, merge, read and write their weights."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from .split import BranchName


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
    config = lora_config(branch, rank, scale)
    # PEFT draws from the global generator (all of it is overwritten below), and warns of a second adapter.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        inject_adapter_in_model(config, layers, adapter_name=branch)
    layers.requires_grad_(False)
    # Injecting makes the new adapter the only active one everywhere: the other branch would silently stop working.
    for module in _lora_layers(layers):
        module.set_adapter(list(module.lora_A))
    layers.requires_grad_(False)
    parameters: list[nn.Parameter] = []
    for module in _lora_layers(layers, branch):
        # PEFT follows the base's bfloat16, in which most updates would be rounded away.
        a, b = (part[branch].float().weight for part in (module.lora_A, module.lora_B))
        bound = 1 / math.sqrt(a.shape[1])
        with torch.no_grad():
            a.copy_((torch.rand(a.shape, generator=generator) * 2 - 1) * bound)
            b.zero_()
        parameters += [a.requires_grad_(True), b.requires_grad_(True)]
    return parameters


def lora_weights(layers: nn.ModuleList, branch: BranchName) -> dict[str, Tensor]:
    """Copies on the CPU of one branch's LoRA, keyed as PEFT keys them: `0.spatial.q.lora_A.weight`."""
    return {
        name.replace(f".{branch}.weight", ".weight"): parameter.detach().cpu().clone()
        for name, parameter in layers.named_parameters()
        if f".{branch}." in name and name.endswith(f".{branch}.weight")
    }


def load_lora(
    layers: nn.ModuleList, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float
) -> None:
    """Add one branch's LoRA with these weights, frozen. Raises KeyError if they are of another split."""
    add_lora(layers, branch, rank=rank, scale=scale, generator=torch.Generator())
    layers.requires_grad_(False)
    with torch.no_grad():
        for name, parameter in layers.named_parameters():
            if f".{branch}." in name and name.endswith(f".{branch}.weight"):
                parameter.copy_(weights[name.replace(f".{branch}.weight", ".weight")])


def merge_lora(layers: nn.ModuleList, branch: BranchName) -> None:
    """Add a frozen branch's LoRA to the branch's own weights, so that it costs nothing until another one is added.

    Only in float32 and with the model's own norm: bfloat16 would round the small change away, and `isolate_norm`
    must tell the untouched projection from the tuned one.
    """
    if any(layer.isolate_norm for layer in layers):
        return
    for module in _lora_layers(layers, branch):
        if module.get_base_layer().weight.dtype == torch.float32:
            module.merge()


def _lora_layers(layers: nn.ModuleList, branch: str | None = None) -> list[Any]:
    found = [module for module in layers.modules() if isinstance(module, LoraLayer)]
    return [module for module in found if branch is None or branch in module.lora_A]
