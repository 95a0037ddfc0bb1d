"""Decoupled attention: a whole self-attention to which the LoRAs of the spatial and the temporal heads are added.

The paper parts q, k, v by rows and the output projection by columns. Here the model's own projections stay whole, in
few large products of one shape for every layer, and each branch is a term that is zero outside its heads: the same
function, which the tests hold against the parted one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.errors import ShapeError

from ..backbones import fused
from ..taps.self_attention import rotate
from .branches import BranchName, head_channels
from .low_rank import INPUTS, LowRank


class DecoupledAttention(nn.Module):
    """A Wan self-attention with the LoRAs of branches added; without any it is the attention itself.

    temporal: (K,) bool, any assignment. The RMSNorm of q and k spans all heads, as in the model, so tuning one head's q
    rescales all others'. isolate_norm takes the mean square from the untouched projections instead; then q, k and v of
    the other heads stay what they were.
    """

    def __init__(self, attention: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False) -> None:
        super().__init__()
        if temporal.shape != (attention.heads,):
            raise ShapeError(f"one flag for each of {attention.heads} heads expected, got {temporal.shape}")
        self.attention = attention
        self.width = attention.inner_dim // attention.heads
        self.temporal = temporal
        self.isolate_norm = isolate_norm
        self.loras = nn.ModuleDict()

    def channels(self, branch: BranchName) -> Tensor:
        """The channels of a branch's heads."""
        heads = np.flatnonzero(self.temporal if branch == "temporal" else ~self.temporal)
        return head_channels(heads.tolist(), self.width)

    def linear(self, name: str) -> Any:
        """The model's own projection to q, k, v or o; a merge changes its weight (D, D) until it is undone."""
        return self.attention.to_out[0] if name == "o" else getattr(self.attention, f"to_{name}")

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); the arguments of diffusers' `WanAttention` in self-attention."""
        sums = self._summed_weights()
        q, k, v = (y.unflatten(2, (-1, self.width)) for y in self._turned(hidden_states, rotary_emb, sums))
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))  # (B, K, S, d)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask).transpose(1, 2).flatten(2)
        out = self._project("o", mixed, sums)
        if not sums:
            for lora in self._loras():
                out = out + lora.output(mixed)
        return out

    def _turned(self, x: Tensor, rotary_emb: Any, sums: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """q and k after norm and RoPE, and v, each (B, S, D)."""
        if rotary_emb is None or sums or not self._fused(x):
            q, k, v = self._normalized(x, sums)
            if rotary_emb is not None:
                q, k = (rotate(y.unflatten(2, (-1, self.width)), *rotary_emb).flatten(2) for y in (q, k))
            return q, k, v
        parts = [lora.inputs(x) for lora in self._loras()]
        added = [sum(some[1:], some[0]) for some in zip(*parts, strict=True)] or [None] * len(INPUTS)
        q, k, v = (self._project(name, x, sums) for name in INPUTS)
        norms = self.attention.norm_q, self.attention.norm_k
        q, k = (
            fused.norm_rope(y, more, norm, *rotary_emb) for y, more, norm in zip((q, k), added, norms, strict=False)
        )
        return q, k, v if added[2] is None else v + added[2]

    def _fused(self, x: Tensor) -> bool:
        """Whether the LoRAs' sum, the norm and RoPE are one operator, which has no gradient of the norm's weights."""
        learns = self.attention.norm_q.weight.requires_grad or self.attention.norm_k.weight.requires_grad
        return fused.usable(x) and not self.isolate_norm and not learns

    def normalized(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q and k after the norm, before RoPE, and v, each (B, S, D), of inputs x (B, S, D)."""
        return self._normalized(x, self._summed_weights())

    def _normalized(self, x: Tensor, sums: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        attention = self.attention
        tuned = [self._project(name, x, sums) for name in INPUTS]
        untouched = [self._project(name, x, {}) for name in INPUTS] if sums and self.isolate_norm else list(tuned)
        if not sums:
            for lora in self._loras():
                tuned = [y + added for y, added in zip(tuned, lora.inputs(x), strict=True)]
        q, k = (self._norm(tuned[i], untouched[i], norm) for i, norm in enumerate((attention.norm_q, attention.norm_k)))
        return q, k, tuned[2]

    def _norm(self, y: Tensor, untouched: Tensor, norm: Any) -> Tensor:
        if not self.isolate_norm:
            normalized: Tensor = norm(y)
            return normalized
        scale = torch.rsqrt(untouched.float().square().mean(-1, keepdim=True) + norm.eps)
        isolated: Tensor = (y.float() * scale * norm.weight.float()).type_as(y)
        return isolated

    def _project(self, name: str, x: Tensor, sums: dict[str, Tensor]) -> Tensor:
        linear = self.linear(name)
        y: Tensor = F.linear(x, sums[name], linear.bias) if sums else linear(x)
        return y

    def _summed_weights(self) -> dict[str, Tensor]:
        """Weights with all LoRAs in them, where that is cheaper; not in bfloat16, which would round them away."""
        loras = self._loras()
        if not any(lora.cheaper_summed for lora in loras) or self.linear("q").weight.dtype != torch.float32:
            return {}
        sums = {name: self.linear(name).weight for name in (*INPUTS, "o")}
        for lora in loras:
            sums = {name: sums[name] + delta for name, delta in lora.deltas().items()}
        return sums

    def _loras(self) -> list[LowRank]:
        return list(self.loras.values())  # type: ignore[arg-type]
