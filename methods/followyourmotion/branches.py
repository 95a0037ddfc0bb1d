"""The two kinds of attention heads, each with a LoRA of its own, and the channels that belong to heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

BranchName = Literal["spatial", "temporal"]
BRANCHES: tuple[BranchName, ...] = ("spatial", "temporal")


def head_channels(heads: Sequence[int], width: int) -> Tensor:
    """Channels (len(heads) * width,) that belong to these heads, in their order."""
    return (torch.tensor(heads, dtype=torch.long)[:, None] * width + torch.arange(width)).flatten()
