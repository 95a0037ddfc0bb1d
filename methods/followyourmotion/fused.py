"""Decoupled LoRAs on whole attentions: what `split` computes, in few large products of one shape for every layer.

`SplitAttention` has two projections for each one of the model, whose sizes differ from layer to layer; each PEFT LoRA
adds two products in float32. Here the model's own projections stay whole, and the LoRA of a branch is a low-rank term
that is zero outside the branch's heads. All layers then have the same shapes, so a block is compiled once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from motionbench.errors import ShapeError

from ..taps.self_attention import rotate
from .split import BranchName, head_channels

PROJECTIONS = ("q", "k", "v")
MERGE_TOLERANCE = 0.05  # of a merged LoRA: rounding of the sum over the LoRA's own size


class LowRank(nn.Module):
    """The LoRA of one branch on an attention's q, k, v and o, in float32, computed in the attention's number type.

    channels: (n,), of the branch's heads. a: (3 r, D) for q, k and v; b: (3, D, r); a_out: (r, D); b_out: (D, r).
    Rows of b and columns of a_out outside the branch are zero, are masked, and so stay zero while the rest is trained.
    """

    mask: Tensor

    def __init__(self, channels: Tensor, width: int, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        # Drawn as `add_lora` does, tensor by tensor, so that both start from the same numbers.
        drawn = [_uniform(rank, width, generator) for _ in PROJECTIONS] if len(channels) else []
        self.a = nn.Parameter(torch.cat(drawn) if drawn else torch.zeros(3 * rank, width))
        self.b = nn.Parameter(torch.zeros(3, width, rank))
        out = torch.zeros(rank, width)
        if len(channels):
            out[:, channels] = _uniform(rank, len(channels), generator)
        self.a_out = nn.Parameter(out)
        self.b_out = nn.Parameter(torch.zeros(width, rank))
        self.register_buffer("mask", torch.zeros(width).index_fill(0, channels, 1.0), persistent=False)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is added to q, k and v, each (B, S, D), for inputs x (B, S, D)."""
        low = F.linear(x, self.a.to(x.dtype)).chunk(3, dim=-1)
        back = (self.b * (self.mask * self.scale)[:, None]).to(x.dtype)
        q, k, v = (F.linear(part, matrix) for part, matrix in zip(low, back.unbind(0), strict=True))
        return q, k, v

    def output(self, mixed: Tensor) -> Tensor:
        """What is added to the output projection of attended values (B, S, D)."""
        low = F.linear(mixed, (self.a_out * self.mask).to(mixed.dtype))
        return F.linear(low, (self.b_out * self.scale).to(mixed.dtype))

    def deltas(self) -> dict[str, Tensor]:
        """What the LoRA adds to the weights (D, D) of q, k, v and o, float32."""
        rows = self.mask[:, None] * self.scale
        found = {name: rows * (b @ a) for name, b, a in zip(PROJECTIONS, self.b, self.a.chunk(3), strict=True)}
        return found | {"o": self.scale * (self.b_out @ (self.a_out * self.mask))}

    def to_peft(self) -> dict[str, Tensor]:
        """Weights on the CPU as PEFT keys them within a branch, `q.lora_A.weight`; {} for a branch without heads."""
        if not len(self.channels):
            return {}
        found: dict[str, Tensor] = {}
        channels = self.channels.to(self.b.device)
        for name, a, b in zip(PROJECTIONS, self.a.chunk(3), self.b, strict=True):
            found |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b[channels]}
        found |= {"o.lora_A.weight": self.a_out[:, channels], "o.lora_B.weight": self.b_out}
        return {name: value.detach().cpu().clone().contiguous() for name, value in found.items()}

    @torch.no_grad()
    def fill(self, weights: dict[str, Tensor]) -> None:
        """Take weights that `to_peft` or PEFT gave, and ask for no gradient. Raises KeyError if one is missing."""
        if len(self.channels):
            channels = self.channels.to(self.b.device)
            for i, name in enumerate(PROJECTIONS):
                self.a.chunk(3)[i].copy_(weights[f"{name}.lora_A.weight"])
                self.b[i, channels] = weights[f"{name}.lora_B.weight"].to(self.b)
            self.a_out[:, channels] = weights["o.lora_A.weight"].to(self.a_out)
            self.b_out.copy_(weights["o.lora_B.weight"])
        self.requires_grad_(False)


def _uniform(rank: int, width: int, generator: torch.Generator) -> Tensor:
    return (torch.rand((rank, width), generator=generator) * 2 - 1) * (1 / math.sqrt(width))


class FusedAttention(nn.Module):
    """A Wan self-attention with the LoRAs of branches added; without any it is the attention itself.

    temporal: (K,) bool. isolate_norm: as `SplitAttention` has it.
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

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """(B, S, D) -> (B, S, D); the arguments of diffusers' `WanAttention` in self-attention."""
        own, x = self.attention, hidden_states
        plain = [own.to_q(x), own.to_k(x), own.to_v(x)]
        tuned = list(plain)
        for lora in self.loras.values():
            tuned = [y + added for y, added in zip(tuned, lora.inputs(x), strict=True)]  # type: ignore[operator]
        q, k = (self._normalized(tuned[i], plain[i], norm) for i, norm in enumerate((own.norm_q, own.norm_k)))
        q, k, v = (y.unflatten(2, (-1, self.width)) for y in (q, k, tuned[2]))  # (B, S, K, d)
        if rotary_emb is not None:
            q, k = rotate(q, *rotary_emb), rotate(k, *rotary_emb)
        q, k, v = (y.transpose(1, 2) for y in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attention_mask).transpose(1, 2).flatten(2)
        out: Tensor = own.to_out[0](mixed)
        for lora in self.loras.values():
            out = out + lora.output(mixed)  # type: ignore[operator]
        return out

    def _normalized(self, y: Tensor, untouched: Tensor, norm: Any) -> Tensor:
        if not self.isolate_norm:
            normalized: Tensor = norm(y)
            return normalized
        scale = torch.rsqrt(untouched.float().square().mean(-1, keepdim=True) + norm.eps)
        isolated: Tensor = (y.float() * scale * norm.weight.float()).type_as(y)
        return isolated

    def weight(self, name: str) -> Tensor:
        """The model's own weight (D, D) of q, k, v or o, which a merge changes until it is undone."""
        own = self.attention
        linear = own.to_out[0] if name == "o" else getattr(own, f"to_{name}")
        weight: Tensor = linear.weight.data
        return weight


class FusedHeads:
    """All self-attentions of a transformer with the LoRAs of branches: the counterpart of `lora.SplitHeads`."""

    def __init__(self, layers: list[FusedAttention], device: torch.device) -> None:
        self.layers = layers
        self.device = device  # where it is computed; weights may be in host memory between their turns
        self._kept: list[tuple[Tensor, Tensor]] = []  # weights that were merged into, and copies of what they were

    def add_lora(
        self, branch: BranchName, *, rank: int, scale: float, generator: torch.Generator
    ) -> list[nn.Parameter]:
        """Put a fresh LoRA on a branch; returns what is to be trained, [] if no layer has heads of this kind."""
        channels = [layer.channels(branch) for layer in self.layers]
        if not any(len(found) for found in channels):
            return []
        parameters: list[nn.Parameter] = []
        for layer, found in zip(self.layers, channels, strict=True):
            weight = layer.weight("q")
            lora = LowRank(found, weight.shape[0], rank, scale, generator).to(self.device)
            layer.loras[branch] = lora
            parameters += list(lora.parameters())
        return parameters

    def load_lora(self, branch: BranchName, weights: dict[str, Tensor], *, rank: int, scale: float) -> None:
        """Put a LoRA with these weights on a branch, frozen. Raises KeyError if they are of another split."""
        self.add_lora(branch, rank=rank, scale=scale, generator=torch.Generator())
        for i, layer in enumerate(self.layers):
            if branch in layer.loras:
                prefix = f"{i}.{branch}."
                own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
                layer.loras[branch].fill(own)  # type: ignore[operator]

    def weights(self, branch: BranchName) -> dict[str, Tensor]:
        """Copies on the CPU of a branch's LoRA, keyed as PEFT keys them: `0.spatial.q.lora_A.weight`."""
        found: dict[str, Tensor] = {}
        for i, layer in enumerate(self.layers):
            if branch in layer.loras:
                own: dict[str, Tensor] = layer.loras[branch].to_peft()  # type: ignore[operator]
                found |= {f"{i}.{branch}.{name}": value for name, value in own.items()}
        return found

    @torch.no_grad()
    def merge_lora(self, branch: BranchName) -> bool:
        """Add a branch's LoRA to the model's weights until the block ends, if they can hold it; says whether it did.

        Not with `isolate_norm`, which must tell the untouched projection from the tuned one, and not where rounding to
        the weights' number type would change the LoRA by more than MERGE_TOLERANCE of its size, in any layer.
        """
        held = [layer for layer in self.layers if branch in layer.loras]
        if any(layer.isolate_norm for layer in held) or not held:
            return False
        if float(torch.stack([_rounding(layer, branch) for layer in held]).max()) > MERGE_TOLERANCE:
            return False
        for layer in held:
            for name, delta in layer.loras[branch].deltas().items():  # type: ignore[operator]
                weight = layer.weight(name)
                self._kept.append((weight, weight.to("cpu", copy=True)))
                weight.copy_(weight.to(self.device, torch.float32) + delta)
            layer.loras[branch].requires_grad_(False)
            del layer.loras[branch]
        return True

    @torch.no_grad()
    def restore(self) -> None:
        """Undo all merges, the last one first."""
        while self._kept:
            weight, kept = self._kept.pop()
            weight.copy_(kept)


def _rounding(layer: FusedAttention, branch: BranchName) -> Tensor:
    """The largest relative error () of a layer's merged LoRA over q, k, v and o; 0 for a LoRA that adds nothing."""
    errors = []
    for name, delta in layer.loras[branch].deltas().items():  # type: ignore[operator]
        weight = layer.weight(name)
        exact = weight.to(delta.device, torch.float32) + delta
        error = (exact.to(weight.dtype).float() - exact).norm() / delta.norm().clamp_min(1e-30)
        errors.append(torch.where(delta.any(), error, torch.zeros_like(error)))
    return torch.stack(errors).max()


@contextmanager
def fused_heads(transformer: Any, temporal: NDArray[np.bool_], *, isolate_norm: bool = False) -> Iterator[FusedHeads]:
    """The transformer with LoRAs on its self-attentions by `temporal` (L, K); on leaving, it is what it was."""
    own = [block.attn1 for block in transformer.blocks]
    if temporal.shape[0] != len(own):
        raise ShapeError(f"one row for each of {len(own)} layers expected, got {temporal.shape}")
    asked = [p for p in transformer.parameters() if p.requires_grad]
    transformer.requires_grad_(False)
    layers = [FusedAttention(a, row, isolate_norm=isolate_norm) for a, row in zip(own, temporal, strict=True)]
    heads = FusedHeads(layers, transformer.patch_embedding.weight.device)
    try:
        for block, layer in zip(transformer.blocks, heads.layers, strict=True):
            block.attn1 = layer
        yield heads
    finally:
        heads.restore()
        for block, attention in zip(transformer.blocks, own, strict=True):
            block.attn1 = attention
        for parameter in asked:
            parameter.requires_grad_(True)
