"""Export: both branches as one ordinary LoRA file that `diffusers.WanPipeline.load_lora_weights` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from motionbench.errors import ConfigError
from motionbench.files import write_atomically

from .adapter import MotionAdapter
from .branches import BRANCHES, BranchName, head_channels

MODULES = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}


def export_lora(adapter: MotionAdapter, path: Path, *, width: int, branches: tuple[BranchName, ...] = BRANCHES) -> None:
    """Write the adapter as one LoRA file of plain Wan self-attentions; `width` is the backbone's attention_head_dim.

    Raises ConfigError if the adapter cannot be written so (`isolate_norm` is no LoRA), StoreError if the disk refuses.
    """
    weights = ordinary_lora(adapter, width=width, branches=branches)
    write_atomically(path, save(weights, metadata={"format": "pt"}))


def ordinary_lora(
    adapter: MotionAdapter, *, width: int, branches: tuple[BranchName, ...] = BRANCHES
) -> dict[str, Tensor]:
    """The branches side by side in one LoRA, float32, keyed `transformer.blocks.0.attn1.to_q.lora_A.weight`.

    The rank is the sum of the branches' ranks in every layer, with zeros where a kind has no heads: readers take alpha
    from the commonest rank, and unequal ranks would be scaled wrongly. alpha is the rank; lora_scale is folded into B.
    """
    if adapter.config.isolate_norm:
        raise ConfigError("an adapter with isolate_norm changes the norm too, which no LoRA file can hold")
    present = [b for b in branches if b in adapter.loras]
    if not present:
        raise ConfigError(f"the adapter holds no LoRA of {' or '.join(branches)}; nothing to export")
    merged: dict[str, Tensor] = {}
    for layer, temporal in enumerate(adapter.temporal):
        for short, name in MODULES.items():
            a, b = _side_by_side(adapter, present, layer, short, temporal, width)
            merged[f"transformer.blocks.{layer}.attn1.{name}.lora_A.weight"] = a
            merged[f"transformer.blocks.{layer}.attn1.{name}.lora_B.weight"] = b
    return merged


def _side_by_side(
    adapter: MotionAdapter, branches: list[BranchName], layer: int, projection: str, temporal: Any, width: int
) -> tuple[Tensor, Tensor]:
    """A (R, D) and B (D, R) of one projection: a branch's B goes to its heads' rows, for `o` its A to their columns."""
    rank, size = adapter.config.rank, len(temporal) * width
    a, b = torch.zeros(rank * len(branches), size), torch.zeros(size, rank * len(branches))
    for i, branch in enumerate(branches):
        heads = np.flatnonzero(temporal == (branch == "temporal")).tolist()
        if not heads:
            continue
        key, part = f"{layer}.{branch}.{projection}", slice(i * rank, (i + 1) * rank)
        down, up = (adapter.loras[branch][f"{key}.lora_{x}.weight"].float() for x in "AB")
        up = up * adapter.config.lora_scale
        channels = head_channels(heads, width)
        if projection == "o":
            a[part, channels], b[:, part] = down, up
        else:
            a[part], b[channels, part] = down, up
    return a, b
