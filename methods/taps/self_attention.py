"""What methods need of a transformer: blocks with a self-attention of Wan's parts, and what those compare."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from motionbench.errors import ConfigError

PARTS = ("to_q", "to_k", "to_v", "to_out")
WAN = ("tiny", "wan2.1-1.3b", "wan2.1-14b")


def self_attentions(transformer: Any) -> list[Any]:
    """The self-attention of every block (`blocks[i].attn1`), or an empty list if the transformer is not built so."""
    attentions = [getattr(block, "attn1", None) for block in getattr(transformer, "blocks", ())]
    return attentions if all(hasattr(attention, part) for attention in attentions for part in PARTS) else []


def require_self_attentions(method: str, backbone: Any) -> None:
    """Raises ConfigError naming the backbones that a method can run on, unless this is one of their kind."""
    if not self_attentions(backbone.transformer):
        raise ConfigError(
            f"{method} cannot run on backbone {backbone.name}: it works on the self-attentions of a Wan-type "
            f"transformer (blocks[i].attn1 with {', '.join(PARTS)}), and this is a "
            f"{type(backbone.transformer).__name__}; it runs on {', '.join(WAN)} and other Wan-type backbones"
        )


@contextmanager
def frozen(transformer: Any) -> Iterator[None]:
    """No gradient for any weight inside the block; what asked for one before asks again afterwards."""
    asked = [p for p in transformer.parameters() if p.requires_grad]
    transformer.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


@contextmanager
def hooked(modules: nn.ModuleList, handles: list[Any]) -> Iterator[nn.ModuleList]:
    """The modules while their hooks are in place; on leaving, the hooks are gone."""
    try:
        yield modules
    finally:
        for handle in handles:
            handle.remove()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, S, K, D) with each pair of channels turned by its angle; cos, sin (1, S, 1, D) as Wan has them."""
    pairs, cos, sin = x.unflatten(-1, (-1, 2)), cos[..., 0::2], sin[..., 1::2]
    if x.dtype == torch.float32 and x.device.type == "cpu":  # one pass instead of seven; compilers lack complex numbers
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin)).flatten(-2)
    even, odd = pairs.unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).type_as(x)


def compared_heads(
    attention: Any, hidden_states: Tensor, rotary_emb: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Queries and keys (B, S, K, D) that a Wan self-attention compares for hidden states (B, S, K * D).

    Wan norms all heads together, so the split into heads comes after.
    """
    query = attention.norm_q(attention.to_q(hidden_states)).unflatten(2, (attention.heads, -1))
    key = attention.norm_k(attention.to_k(hidden_states)).unflatten(2, (attention.heads, -1))
    if rotary_emb is None:
        return query, key
    return rotate(query, *rotary_emb), rotate(key, *rotary_emb)
