"""How far tuning one kind of head moves the other kind, through the norm that all heads share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from .adapter import MotionAdapter
from .branches import BranchName
from .decoupled_attention import DecoupledAttention
from .decoupled_lora import DecoupledLoras, decoupled_loras


@torch.no_grad()
def norm_leak(layer: DecoupledAttention, x: Tensor, tuned: BranchName) -> float | None:
    """Relative L2 change of the *other* branch's normalized q and k by the layer's LoRAs; 0 = isolated.

    x: (B, S, D), the attention's inputs; tuned: the branch with a LoRA. None if the layer lacks one of the branches.
    """
    other = layer.channels("temporal" if tuned == "spatial" else "spatial").to(x.device)
    if not 0 < len(other) < x.shape[-1]:
        return None
    changed = layer.normalized(x)[:2]
    loras, layer.loras = layer.loras, nn.ModuleDict()
    before = layer.normalized(x)[:2]
    layer.loras = loras
    a, b = (torch.cat(pair, -2)[..., other] for pair in (before, changed))
    return float((a - b).norm() / a.norm())


@torch.no_grad()
def measure_leak(
    backbone: Backbone, adapter: MotionAdapter, latents: Tensor, text: Tensor, t: float = 0.5
) -> dict[str, float]:
    """Mean `norm_leak` over layers of each branch of an adapter, on noised latents (1, C, F, h, w) at time t.

    text: (1, L, D). Layers get the inputs that they get in the tuned model, and only their own LoRA is switched off.
    """
    leaks: dict[str, float] = {}
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(latents.device)
    config = adapter.config
    for branch, weights in adapter.loras.items():
        with decoupled_loras(backbone.transformer, adapter.temporal, isolate_norm=config.isolate_norm) as loras:
            loras.load_lora(branch, weights, rank=config.rank, scale=config.lora_scale)
            inputs = _inputs(backbone, loras, (1 - t) * latents + t * noise, torch.full((1,), t), text)
            values = [norm_leak(layer, x, branch) for layer, x in zip(loras.layers, inputs, strict=True)]
        known = [value for value in values if value is not None]
        leaks[branch] = sum(known) / max(1, len(known))
    return leaks


def _inputs(backbone: Backbone, loras: DecoupledLoras, x: Tensor, t: Tensor, text: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])) for layer in loras.layers]
    backbone.velocity(x, t.to(x.device), text)
    for hook in hooks:
        hook.remove()
    return seen
