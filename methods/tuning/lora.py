"""PEFT LoRAs on a transformer's self-attentions: add, switch, read, write, and leave the model as it was."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from peft import LoraConfig


def attention_lora(rank: int, scale: float, dropout: float = 0.0) -> LoraConfig:
    """The PEFT configuration of a LoRA on q, k, v and the output projection of whole attentions; scale = alpha / rank.

    For the modules that `lora_host` yields. dropout: of the LoRA's input, while it is trained.
    """
    from peft import LoraConfig  # seconds, which a run's first process need not wait for

    return LoraConfig(
        r=rank,
        lora_alpha=rank * scale,
        lora_dropout=dropout,
        target_modules=r"\d+\.(to_[qkv]|to_out\.0)",
        init_lora_weights=False,
    )


@contextmanager
def lora_host(transformer: Any) -> Iterator[nn.ModuleList]:
    """A Wan transformer's self-attentions, to put LoRAs on; on leaving, the model is what it was."""
    attentions: list[Any] = [block.attn1 for block in transformer.blocks]
    projections = [(attention.to_q, attention.to_k, attention.to_v, attention.to_out[0]) for attention in attentions]
    asked = [p for p in transformer.parameters() if p.requires_grad]
    transformer.requires_grad_(False)
    try:
        yield nn.ModuleList(attentions)
    finally:
        for attention, (q, k, v, o) in zip(attentions, projections, strict=True):
            attention.to_q, attention.to_k, attention.to_v, attention.to_out[0] = q, k, v, o
        for parameter in asked:
            parameter.requires_grad_(True)


def inject_lora(layers: nn.ModuleList, config: LoraConfig, name: str, generator: torch.Generator) -> list[nn.Parameter]:
    """Put a fresh LoRA of that name on the modules that `config` targets; returns what is to be trained.

    B is zero, so nothing changes yet; A is uniform as in PEFT, but drawn from `generator` instead of the global one.
    All LoRAs are active after this, and everything but the new one is frozen.
    """
    from peft import inject_adapter_in_model

    # PEFT draws from the global generator (all of it is overwritten below), and warns of a second adapter.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        inject_adapter_in_model(config, layers, adapter_name=name)
    layers.requires_grad_(False)
    # Injecting makes the new adapter the only active one everywhere: the others would silently stop working.
    for module in lora_layers(layers):
        module.set_adapter(list(module.lora_A))
    layers.requires_grad_(False)
    parameters: list[nn.Parameter] = []
    for module in lora_layers(layers, name):
        # PEFT follows the base's bfloat16, in which most updates would be rounded away.
        a, b = (part[name].float().weight for part in (module.lora_A, module.lora_B))
        bound = 1 / math.sqrt(a.shape[1])
        with torch.no_grad():
            a.copy_((torch.rand(a.shape, generator=generator) * 2 - 1) * bound)
            b.zero_()
        parameters += [a.requires_grad_(True), b.requires_grad_(True)]
    return parameters


def activate_lora(layers: nn.ModuleList, active: Sequence[str], *, trained: str | None = None) -> None:
    """Let the LoRAs of these names act, and no others; only `trained` asks for gradients."""
    for module in lora_layers(layers):
        module.set_adapter(list(active))  # this asks for the gradients of all of them
        for part in (module.lora_A, module.lora_B):
            for name, linear in part.items():
                linear.requires_grad_(name == trained)


def merge_lora(layers: nn.ModuleList, name: str) -> None:
    """Let plain projections with a LoRA in their weights take the place of all LoRA layers: as good, and cheaper.

    For a frozen LoRA on the attentions that `lora_host` yields, which puts their own projections back in the end; any
    other LoRA on them is gone. Nothing happens in bfloat16, which would round the small change away.
    """
    attentions: list[Any] = list(layers)
    for attention in attentions:
        for part in ("to_q", "to_k", "to_v"):
            setattr(attention, part, _merged(getattr(attention, part), name))
        attention.to_out[0] = _merged(attention.to_out[0], name)


def _merged(module: Any, name: str) -> nn.Module:
    base: nn.Linear = module.get_base_layer()
    if base.weight.dtype != torch.float32:
        return module  # type: ignore[no-any-return]
    plain = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device=base.weight.device)
    with torch.no_grad():
        plain.weight.copy_(base.weight + module.get_delta_weight(name))
        if base.bias is not None:
            plain.bias.copy_(base.bias)
    return plain.requires_grad_(False)


def lora_weights(layers: nn.ModuleList, name: str) -> dict[str, Tensor]:
    """Copies on the CPU of one LoRA's weights, keyed as PEFT keys them: `0.to_q.lora_A.weight`."""
    return {
        key.replace(f".{name}.weight", ".weight"): parameter.detach().cpu().clone()
        for key, parameter in layers.named_parameters()
        if f".{name}." in key and key.endswith(f".{name}.weight")
    }


def fill_lora(layers: nn.ModuleList, name: str, weights: dict[str, Tensor]) -> None:
    """Give a LoRA these weights and freeze everything. Raises KeyError if they are of other layers."""
    layers.requires_grad_(False)
    with torch.no_grad():
        for key, parameter in layers.named_parameters():
            if f".{name}." in key and key.endswith(f".{name}.weight"):
                parameter.copy_(weights[key.replace(f".{name}.weight", ".weight")])


def lora_layers(layers: nn.ModuleList, name: str | None = None) -> list[Any]:
    """The modules that hold a LoRA, of that name or of any."""
    from peft.tuners.lora import LoraLayer

    holders = [module for module in layers.modules() if isinstance(module, LoraLayer)]
    return [module for module in holders if name is None or name in module.lora_A]
