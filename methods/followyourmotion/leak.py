"""How far tuning one kind of head moves the other kind, through the norm that all heads share."""

from __future__ import annotations

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from ..backbones.backbone import Backbone
from .adapter import MotionAdapter
from .lora import load_lora
from .split import BRANCHES, BranchName, SplitAttention, split_heads


@torch.no_grad()
def norm_leak(layer: SplitAttention, x: Tensor, tuned: BranchName) -> float | None:
    """Relative L2 change of the *other* branch's normalized q and k by the LoRA of branch `tuned`; 0 = isolated.

    x: (B, S, D), the attention's inputs; the LoRA is not merged. None if the layer lacks one of the branches.
    """
    if len(layer.branches) < 2:
        return None
    changed = [layer.normalized(name, x) for name in ("q", "k")]
    loras = [module for module in layer.modules() if isinstance(module, LoraLayer)]
    for module in loras:
        module.enable_adapters(False)
    before = [layer.normalized(name, x) for name in ("q", "k")]
    for module in loras:
        module.enable_adapters(True)
    edge = len(layer.branches[0].heads) * layer.width
    other = slice(edge, None) if tuned == "spatial" else slice(0, edge)
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
    for branch in BRANCHES:
        if branch not in adapter.loras:
            continue
        with split_heads(backbone.transformer, adapter.temporal, isolate_norm=adapter.config.isolate_norm) as layers:
            rank, scale = adapter.config.rank, adapter.config.lora_scale
            load_lora(layers, branch, adapter.loras[branch], rank=rank, scale=scale)
            inputs = _inputs(backbone, layers, (1 - t) * latents + t * noise, torch.full((1,), t), text)
            found = [norm_leak(layer, x, branch) for layer, x in zip(layers, inputs, strict=True)]  # type: ignore[arg-type]
        known = [value for value in found if value is not None]
        leaks[branch] = sum(known) / max(1, len(known))
    return leaks


def _inputs(backbone: Backbone, layers: nn.ModuleList, x: Tensor, t: Tensor, text: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []
    hooks = [layer.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0])) for layer in layers]
    backbone.velocity(x, t.to(x.device), text)
    for hook in hooks:
        hook.remove()
    return seen
