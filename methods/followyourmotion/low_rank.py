"""The LoRA of one branch on one attention: a low-rank term that is zero outside the branch's heads."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUTS = ("q", "k", "v")


class LowRank(nn.Module):
    """The LoRA of one branch on an attention's q, k, v and o, in float32, computed in the attention's number type.

    channels: (n,), of the branch's heads. a: (3 r, D) for q, k and v; b: (3, D, r); a_out: (r, D); b_out: (D, r).
    Rows of b and columns of a_out outside the branch are zero, are masked, and so stay zero while the rest is trained.
    All layers have the same shapes, whatever their heads, so a block is compiled once.
    """

    mask: Tensor

    def __init__(self, channels: Tensor, width: int, rank: int, scale: float, generator: torch.Generator) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        # A is uniform as in PEFT, and drawn tensor by tensor in its order; B is zero, so nothing changes yet.
        drawn = [_uniform(rank, width, generator) for _ in INPUTS] if len(channels) else []
        self.a = nn.Parameter(torch.cat(drawn) if drawn else torch.zeros(3 * rank, width))
        self.b = nn.Parameter(torch.zeros(3, width, rank))
        out = torch.zeros(rank, width)
        if len(channels):
            out[:, channels] = _uniform(rank, len(channels), generator)
        self.a_out = nn.Parameter(out)
        self.b_out = nn.Parameter(torch.zeros(width, rank))
        self.register_buffer("mask", torch.zeros(width).index_fill(0, channels, 1.0), persistent=False)

    @property
    def cheaper_summed(self) -> bool:
        """Whether a training step does less if the term is added to the weights than if it is computed beside them.

        Of S tokens, a product of width D and rank r costs S D r: forwards two, backwards four. Added to the weights,
        it is the one product of width D and width D that the weights' own gradient takes.
        """
        rank, width = self.a_out.shape
        return 6 * rank > width

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
        rows = self.b * (self.mask * self.scale)[:, None]
        inputs = torch.bmm(rows, self.a.unflatten(0, (3, -1))).unbind(0)
        return dict(zip(INPUTS, inputs, strict=True)) | {"o": self.scale * (self.b_out @ (self.a_out * self.mask))}

    def to_peft(self) -> dict[str, Tensor]:
        """Weights on the CPU as PEFT keys them within a branch, `q.lora_A.weight`; {} for a branch without heads."""
        if not len(self.channels):
            return {}
        weights: dict[str, Tensor] = {}
        channels = self.channels.to(self.b.device)
        for name, a, b in zip(INPUTS, self.a.chunk(3), self.b, strict=True):
            weights |= {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b[channels]}
        weights |= {"o.lora_A.weight": self.a_out[:, channels], "o.lora_B.weight": self.b_out}
        return {name: value.detach().cpu().clone().contiguous() for name, value in weights.items()}

    @torch.no_grad()
    def fill(self, weights: dict[str, Tensor]) -> None:
        """Take weights that `to_peft` or PEFT gave, and ask for no gradient. Raises KeyError if one is missing."""
        if len(self.channels):
            channels = self.channels.to(self.b.device)
            for i, name in enumerate(INPUTS):
                self.a.chunk(3)[i].copy_(weights[f"{name}.lora_A.weight"])
                self.b[i, channels] = weights[f"{name}.lora_B.weight"].to(self.b)
            self.a_out[:, channels] = weights["o.lora_A.weight"].to(self.a_out)
            self.b_out.copy_(weights["o.lora_B.weight"])
        self.requires_grad_(False)


def _uniform(rank: int, width: int, generator: torch.Generator) -> Tensor:
    return (torch.rand((rank, width), generator=generator) * 2 - 1) * (1 / math.sqrt(width))
