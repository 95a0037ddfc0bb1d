"""Cross-attention to a text that stays the same: its keys and values are computed once, not in every step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.errors import ShapeError

from . import fused


class FixedTextAttention(nn.Module):
    """A Wan cross-attention whose keys and values (1, L, K * d) are given; what it is told of a text is ignored."""

    keys: Tensor
    values: Tensor

    def __init__(self, attention: Any, text: Tensor) -> None:
        super().__init__()
        self.attention = attention
        self.register_buffer("keys", attention.norm_k(attention.to_k(text)), persistent=False)
        self.register_buffer("values", attention.to_v(text), persistent=False)

    def forward(self, hidden_states: Tensor, *_: Any) -> Tensor:
        """(B, S, D) -> (B, S, D)."""
        attention, batch = self.attention, hidden_states.shape[0]
        query = attention.norm_q(attention.to_q(hidden_states))
        if fused.usable(query) and query.shape[-1] // attention.heads in fused.WIDTHS:
            own: Tensor = attention.to_out[0](fused.attend(query, self.keys, self.values, attention.heads))
            return own
        # One text for the whole batch: written out, since not every attention kernel takes a stride of zero.
        key, value = (x.expand(batch, -1, -1).contiguous() for x in (self.keys, self.values))
        q, k, v = (x.unflatten(2, (attention.heads, -1)).transpose(1, 2) for x in (query, key, value))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out: Tensor = attention.to_out[0](mixed)
        return out


@contextmanager
def fixed_text(transformer: Any, text: Tensor) -> Iterator[None]:
    """The transformer for this text (1, L, D_text) only, whatever it is given; on leaving, it is what it was.

    Attentions whose keys and values learn stay as they are: what is computed once has no gradient. Raises ShapeError.
    """
    if len(text) != 1:
        raise ShapeError(f"one text (1, L, D) expected, got {tuple(text.shape)}; leave texts that differ unfixed")
    attentions = [(block, block.attn2) for block in transformer.blocks if not _learns(transformer, block.attn2)]
    with torch.no_grad():
        embedded = transformer.condition_embedder.text_embedder(text)
        fixed = [FixedTextAttention(attention, embedded) for _, attention in attentions]
    try:
        for (block, _), attention in zip(attentions, fixed, strict=True):
            block.attn2 = attention
        yield
    finally:
        for block, attention in attentions:
            block.attn2 = attention


def _learns(transformer: Any, attention: Any) -> bool:
    """Whether something that a text goes through on its way to keys and values asks for a gradient."""
    way = (transformer.condition_embedder.text_embedder, attention.to_k, attention.norm_k, attention.to_v)
    return any(parameter.requires_grad for part in way for parameter in part.parameters())
