"""Decoupled attention: the projections of spatial and of temporal heads as two parallel branches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.errors import ShapeError

from ..taps.self_attention import rotate

BranchName = Literal["spatial", "temporal"]
BRANCHES: tuple[BranchName, ...] = ("spatial", "temporal")


def head_channels(heads: Sequence[int], width: int) -> Tensor:
    """Channels (len(heads) * width,) that belong to these heads, in their order."""
    return (torch.tensor(heads, dtype=torch.long)[:, None] * width + torch.arange(width)).flatten()


class Branch(nn.Module):
    """The rows of q, k, v and the columns of the output projection that belong to some heads of an attention."""

    def __init__(self, attention: Any, heads: Sequence[int], *, out_bias: bool) -> None:
        super().__init__()
        self.heads = tuple(heads)
        channels = head_channels(heads, attention.inner_dim // attention.heads)
        self.q, self.k, self.v = (_rows(p, channels) for p in (attention.to_q, attention.to_k, attention.to_v))
        self.o = _columns(attention.to_out[0], channels, out_bias)


class SplitAttention(nn.Module):
    """A Wan self-attention as a spatial and a temporal branch: the same function until a branch is tuned.

    temporal: (K,) bool, any assignment; a kind without heads has no branch. Heads are reordered, spatial ones
    first, which attention does not notice; only the norm's gains move along. The RMSNorm of q and k spans all heads,
    as in the model, so tuning one head's q rescales all others'. isolate_norm takes the mean square from the
    untouched projections instead; then q, k and v of the other heads stay what they were.
    """

    gain_q: Tensor
    gain_k: Tensor

    def __init__(self, attention: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False) -> None:
        super().__init__()
        if temporal.shape != (attention.heads,):
            raise ShapeError(f"one flag for each of {attention.heads} heads expected, got {temporal.shape}")
        self.width = attention.inner_dim // attention.heads
        self.isolate_norm = isolate_norm
        kinds = {"spatial": np.flatnonzero(~temporal).tolist(), "temporal": np.flatnonzero(temporal).tolist()}
        order: list[int] = []
        for name, heads in kinds.items():
            if heads:
                self.add_module(name, Branch(attention, heads, out_bias=not order))  # the bias must be added once
                order += heads
        channels = head_channels(order, self.width).to(attention.norm_q.weight.device)
        self.eps = attention.norm_q.eps
        self.register_buffer("gain_q", attention.norm_q.weight.detach()[channels], persistent=False)
        self.register_buffer("gain_k", attention.norm_k.weight.detach()[channels], persistent=False)

    @property
    def branches(self) -> list[Branch]:
        """The branches that have heads, spatial before temporal."""
        return [m for m in self.children() if isinstance(m, Branch)]

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); the arguments of diffusers' `WanAttention` in self-attention."""
        q = self.normalized("q", hidden_states).unflatten(2, (-1, self.width))
        k = self.normalized("k", hidden_states).unflatten(2, (-1, self.width))
        v = torch.cat([b.v(hidden_states) for b in self.branches], -1).unflatten(2, (-1, self.width))  # (B, S, K, d)
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask).transpose(1, 2).flatten(2)
        parts = mixed.split([len(b.heads) * self.width for b in self.branches], dim=-1)
        outs: list[Tensor] = [b.o(part) for b, part in zip(self.branches, parts, strict=True)]
        return outs[0] if len(outs) == 1 else outs[0] + outs[1]

    def normalized(self, name: Literal["q", "k"], x: Tensor) -> Tensor:
        """q or k (B, S, K * d) of inputs x (B, S, D) after the norm, spatial heads first; RoPE comes later."""
        projections = [getattr(b, name) for b in self.branches]
        gain = self.gain_q if name == "q" else self.gain_k
        y = torch.cat([p(x) for p in projections], -1)
        if not self.isolate_norm:
            return F.rms_norm(y, (y.shape[-1],), gain, self.eps)
        untouched = torch.cat([untouched_output(p, x) for p in projections], -1)
        scale = torch.rsqrt(untouched.float().square().mean(-1, keepdim=True) + self.eps)
        return (y.float() * scale * gain.float()).type_as(y)


def untouched_output(projection: Any, x: Tensor) -> Tensor:
    """What a projection gives without its LoRA; it must not be merged into the weight."""
    linear: nn.Linear = getattr(projection, "base_layer", projection)
    untouched: Tensor = linear(x)
    return untouched


@contextmanager
def split_heads(
    transformer: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False
) -> Iterator[nn.ModuleList]:
    """The transformer with every self-attention split by `temporal` (L, K); yields the L `SplitAttention` modules.

    The branches own copies of the self-attentions' weights, so tuning or merging them leaves the model alone. On
    leaving, the model is what it was, down to which parameters ask for gradients.
    """
    own = [block.attn1 for block in transformer.blocks]
    if temporal.shape[0] != len(own):
        raise ShapeError(f"one row for each of {len(own)} layers expected, got {temporal.shape}")
    asked = [p for p in transformer.parameters() if p.requires_grad]
    layers = nn.ModuleList(
        SplitAttention(a, row, isolate_norm=isolate_norm) for a, row in zip(own, temporal, strict=True)
    )
    transformer.requires_grad_(False)
    try:
        for block, layer in zip(transformer.blocks, layers, strict=True):
            block.attn1 = layer
        yield layers
    finally:
        for block, attention in zip(transformer.blocks, own, strict=True):
            block.attn1 = attention
        for parameter in asked:
            parameter.requires_grad_(True)


def _rows(linear: nn.Linear, rows: Tensor) -> nn.Linear:
    bias = None if linear.bias is None else linear.bias.detach()[rows.to(linear.bias.device)]
    return _linear(linear.weight.detach()[rows.to(linear.weight.device)], bias)


def _columns(linear: nn.Linear, columns: Tensor, with_bias: bool) -> nn.Linear:
    weight = linear.weight.detach()[:, columns.to(linear.weight.device)].contiguous()
    return _linear(weight, linear.bias.detach().clone() if with_bias and linear.bias is not None else None)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.register_parameter("bias", None if bias is None else nn.Parameter(bias, requires_grad=False))
    return linear
