"""What the trackers' network mixes tokens with: convolution over time, attention to support points, and waves."""

from __future__ import annotations

import math
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

_GELU_SLOPE = 2 * math.sqrt(2 / math.pi)
KeysValues: TypeAlias = tuple[Tensor, Tensor]  # keys and values of S support points in a round: 2 of (B*T, K, S, D/K)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form; on the CPU as x * sigmoid(2u), the same in half the time of torch's tanh."""
    if x.device.type != "cpu":
        return F.gelu(x, approximate="tanh")
    slope = torch.addcmul(x.new_tensor(_GELU_SLOPE), x, x, value=0.044715 * _GELU_SLOPE)
    if torch.is_grad_enabled():
        return x * torch.sigmoid(x * slope)
    return slope.mul_(x).sigmoid_().mul_(x)


class TimeBlock(nn.Module):
    """Mixes a track's tokens (M, T, D) over neighboring frames, then over channels. Works for any T."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_time, self.norm_channel = nn.LayerNorm(width), nn.LayerNorm(width)
        self.time = nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self._over_time(self.norm_time(x)).add_(x)
        return cast(Tensor, self.narrow(gelu(self.widen(self.norm_channel(x)))).add_(x))

    def _over_time(self, x: Tensor) -> Tensor:
        """`self.time` of tokens (M, T, D), as a convolution of images one pixel high: with channels last, as they lie
        here, torch copies nothing."""
        images, weight = x.transpose(1, 2).unsqueeze(2), self.time.weight.unsqueeze(2)
        mixed = F.conv2d(images, weight, self.time.bias, padding=(0, 2), groups=self.time.groups)
        return mixed.squeeze(2).transpose(1, 2)


class SupportAttention(nn.Module):
    """Lets every track token read the support tracks' tokens of the same frame: how the camera moves, who is in
    front."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key_value, self.out = (
            nn.Linear(width, width),
            nn.Linear(width, 2 * width),
            nn.Linear(width, width),
        )

    def keys_values(self, support: Tensor) -> KeysValues:
        """Keys and values of the support tracks' tokens (B, S, T, D). They depend on no other point."""
        key, value = self.key_value(self.norm(support)).chunk(2, dim=-1)
        return self._by_frame(key), self._by_frame(value)

    def forward(self, x: Tensor, keys_values: KeysValues) -> Tensor:
        read = F.scaled_dot_product_attention(self._by_frame(self.query(self.norm(x))), *keys_values)
        return cast(Tensor, x + self.out(rearrange(read, "(b t) k n d -> b n t (k d)", b=x.shape[0])))

    def _by_frame(self, tokens: Tensor) -> Tensor:
        return rearrange(tokens, "b n t (k d) -> (b t) k n d", k=self.heads)


def waves(x: Tensor, octaves: int = 6) -> Tensor:
    """x (..., k) with its sines and cosines at doubling frequencies: (..., k * (1 + 2 * octaves))."""
    angles = torch.cat([x * (2.0**i) for i in range(octaves)], dim=-1)
    return torch.cat([x, angles.sin(), angles.cos()], dim=-1)
