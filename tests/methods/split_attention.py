"""The oracle of the decoupled LoRA: each attention parted in two, and PEFT's own LoRAs on the parts.

As the paper says it, q, k, v by rows and the output projection by columns; the product computes the same otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from motionbench.methods.followyourmotion.adapter import peft_config
from motionbench.methods.followyourmotion.branches import BranchName, head_channels
from motionbench.methods.followyourmotion.method import FollowYourMotion
from motionbench.methods.taps.self_attention import frozen
from motionbench.methods.tuning.lora import fill_lora, inject_lora, lora_layers, lora_weights
from numpy.typing import NDArray
from torch import Tensor, nn


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
            q, k = turned(q, *rotary_emb), turned(k, *rotary_emb)
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


class SplitLoras:
    """All split self-attentions with the PEFT LoRAs of branches; the verbs of `decoupled_lora.DecoupledLoras`."""

    def __init__(self, layers: nn.ModuleList) -> None:
        self.layers = layers

    def add_lora(
        self, branch: BranchName, *, rank: int, scale: float, generator: torch.Generator
    ) -> list[nn.Parameter]:
        if not any(hasattr(layer, branch) for layer in self.layers):
            return []
        return inject_lora(self.layers, peft_config(branch, rank, scale), branch, generator)

    def load_lora(self, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float) -> None:
        self.add_lora(branch, rank=rank, scale=scale, generator=torch.Generator())
        fill_lora(self.layers, branch, weights)

    def merge_lora(self, branch: BranchName) -> None:
        """Only in float32 and with the model's own norm, which must tell the untouched projection from the tuned."""
        if any(layer.isolate_norm for layer in self.layers):
            return
        for module in lora_layers(self.layers, branch):
            if module.get_base_layer().weight.dtype == torch.float32:
                module.merge()

    def weights(self, branch: BranchName) -> dict[str, Tensor]:
        return lora_weights(self.layers, branch)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (B, S, K, D) with each pair of channels turned by its angle, as diffusers writes it."""
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = cos[..., 0::2], sin[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).type_as(x)


@contextmanager
def split_loras(transformer: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False) -> Iterator[SplitLoras]:
    """The transformer with every self-attention split by `temporal` (L, K); on leaving, it is what it was."""
    attentions = [block.attn1 for block in transformer.blocks]
    pairs = zip(attentions, temporal, strict=True)
    layers = nn.ModuleList(SplitAttention(a, row, isolate_norm=isolate_norm) for a, row in pairs)
    with frozen(transformer):
        try:
            for block, layer in zip(transformer.blocks, layers, strict=True):
                block.attn1 = layer
            yield SplitLoras(layers)
        finally:
            for block, attention in zip(transformer.blocks, attentions, strict=True):
                block.attn1 = attention


class SplitFollowYourMotion(FollowYourMotion):
    """The method on the oracle."""

    @contextmanager
    def _tunable(self, temporal: NDArray[np.bool_], isolate_norm: bool | None = None) -> Iterator[Any]:
        isolated = self.config.isolate_norm if isolate_norm is None else isolate_norm
        with split_loras(self.backbone.transformer, temporal, isolate_norm=isolated) as loras:
            yield loras


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
