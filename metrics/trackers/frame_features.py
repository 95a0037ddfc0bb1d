"""What a learned tracker sees in each frame: unit-length features at several strides; and the network's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class TrackerConfig:
    """Shape of the network.

    size: cells a side of the finest features. stem: pixels a side of such a cell; frames are size * stem pixels a side,
    positions are in cells. stage_widths: channels of the feature stages at strides 1, 2, 4 of a cell; channels: of the
    matched features; detail: of those matched at half a cell besides (0: none; needs a stem). width: of a track
    token; blocks per round; rounds of refinement; heads of the attention to support points. fine_radius, wide_radius:
    half sides of the correlation patches, at stride 1 and at strides 2 and 4.
    support_per_side: a fixed grid of support points is tracked along, so that the result for a point does not depend
    on the others asked for. visible_threshold: a point counts as visible where P(visible) * P(error below
    `uncertain_px`) exceeds it.
    """

    size: int = 64
    stem: int = 1
    detail: int = 0
    stage_widths: tuple[int, int, int] = (24, 48, 64)
    channels: int = 32
    width: int = 128
    blocks: int = 3
    rounds: int = 4
    heads: int = 4
    fine_radius: int = 2
    wide_radius: int = 3
    support_per_side: int = 8
    uncertain_px: float = 2.0
    visible_threshold: float = 0.5

    @property
    def pixels(self) -> int:
        """Side of the frames that the network sees."""
        return self.size * self.stem


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // 8, channels)


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm_first, self.norm_second = _norm(channels), _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(F.relu(self.norm_first(x), inplace=True))
        return cast(Tensor, self.second(F.relu(self.norm_second(y), inplace=True)).add_(x))


class Stem(nn.Module):
    """Frames at a quarter of their side, as the fine stage takes them, and at half of it on the way there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.begin = nn.Sequential(nn.Conv2d(3, half, 7, stride=2, padding=3), Residual(half))
        self.end = nn.Sequential(nn.Conv2d(half, width, 3, stride=2, padding=1), Residual(width))

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        half = self.begin(frames)
        return self.end(half), half


class FeatureNet(nn.Module):
    """Unit-length features (M, h, w, channels) of frames (M, 3, H, W) in [0, 1], at strides 1, 2 and 4 of a cell,
    joined top-down; with `detail`, those at half a cell (M, 2h, 2w, detail) after them."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        a, b, c = config.stage_widths
        if config.stem == 1:
            self.stem = None
            self.fine = nn.Sequential(nn.Conv2d(3, a, 3, padding=1), Residual(a))
        else:
            self.stem = Stem(a)
            self.fine = nn.Sequential(nn.Conv2d(a, a, 3, padding=1), Residual(a), Residual(a))
        self.middle = nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual(b), Residual(b))
        self.coarse = nn.Sequential(nn.Conv2d(b, c, 3, stride=2, padding=1), Residual(c))
        self.laterals = nn.ModuleList([nn.Conv2d(n, config.channels, 1) for n in (a, b, c)])
        self.outs = nn.ModuleList([nn.Conv2d(config.channels, config.channels, 3, padding=1) for _ in range(3)])
        self.detail = Detail(config) if config.detail else None

    def forward(self, frames: Tensor) -> list[Tensor]:
        frames = frames.contiguous(memory_format=torch.channels_last)  # a third faster, and as the features are read
        seen, half = frames * 2 - 1, None
        if self.stem is not None:
            seen, half = self.stem(seen)
        fine = self.fine(seen)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = self.laterals[2](coarse)
        levels = [joined]
        for lateral, stage in ((self.laterals[1], middle), (self.laterals[0], fine)):
            joined = lateral(stage).add_(F.interpolate(joined, scale_factor=2.0, mode="bilinear"))
            levels.insert(0, joined)
        features = [out(F.relu(level)).float() for out, level in zip(self.outs, levels, strict=True)]
        if self.detail is not None and half is not None:
            features.append(self.detail(half, levels[0]).float())
        return [F.normalize(level.permute(0, 2, 3, 1), dim=-1) for level in features]


class Detail(nn.Module):
    """Features at half a cell: what the stem saw there, told by the finest level what it is part of."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        self.lateral = nn.Conv2d(config.stage_widths[0] // 2, config.detail, 1)
        self.context = nn.Conv2d(config.channels, config.detail, 1)
        self.out = nn.Conv2d(config.detail, config.detail, 3, padding=1)

    def forward(self, half: Tensor, fine: Tensor) -> Tensor:
        context = F.interpolate(self.context(fine), scale_factor=2.0, mode="bilinear")
        return cast(Tensor, self.out(F.relu(self.lateral(half).add_(context), inplace=True)))
