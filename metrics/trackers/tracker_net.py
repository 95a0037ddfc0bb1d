"""The network behind the learned trackers `tiny` and `real`: a small TAPIR-like point tracker.

Frame-wise features at three strides; a whole cost volume per query and frame at stride 2 gives a first guess; a few
rounds of local correlation, convolution over time and attention to support points refine position, visibility and
uncertainty. After TAPIR (Doersch et al., arXiv:2306.08637) and CoTracker3 (Karaev et al., arXiv:2410.11831); the code
is our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .frame_features import FeatureNet, TrackerConfig
from .map_reading import at_stride, read_features, read_maps
from .tracker_blocks import KeysValues, SupportAttention, TimeBlock, waves

GUESS_RADIUS = 3  # cells around the best one that the first guess averages
WIDE_STRIDES = (2, 4)  # of the levels that a whole cost volume is made of


KeysSource: TypeAlias = Callable[[int, Tensor], KeysValues]  # of a round's number and its tokens (B, N, T, D)


class Prediction(NamedTuple):
    """points (R, B, N, T, 2) in pixels after each of R rounds; visible, uncertain (R, B, N, T) logits; volume (B, N,
    T, h*w) first-guess logits."""

    points: Tensor
    visible: Tensor
    uncertain: Tensor
    volume: Tensor


class TrackerNet(nn.Module):
    """Follows points of the first frame through a clip; see the module's text."""

    def __init__(self, config: TrackerConfig) -> None:
        super().__init__()
        self.config = config
        self.features = FeatureNet(config)
        # log scale of the correlations at each stride
        self.sharpness = nn.Parameter(torch.full((4 if config.detail else 3,), 2.5))
        self.pull = nn.Parameter(torch.tensor(0.0))  # how much the first guess prefers to stay near the query
        fine_maps = 2 if config.detail else 1
        patches = fine_maps * 9 * (2 * config.fine_radius + 1) ** 2 + 2 * (2 * config.wide_radius + 1) ** 2
        places = 26 + 26 + 8 + 2 + 3  # displacement, first guess, steps, place, last answers and peak
        self.begin = nn.Linear(3 * config.channels + 9 + 1, config.width)
        self.read = nn.Linear(patches + places + config.channels, config.width)
        self.blocks = nn.ModuleList([TimeBlock(config.width) for _ in range(config.blocks)])
        self.support = SupportAttention(config.width, config.heads)
        self.norm = nn.LayerNorm(config.width)
        self.move, self.judge = nn.Linear(config.width, 2), nn.Linear(config.width, 2)
        nn.init.zeros_(self.move.weight)
        nn.init.zeros_(self.move.bias)

    def describe(self, frames: Tensor) -> list[Tensor]:
        """Features (B, T, h, w, channels) at strides 1, 2 and 4 of a cell, and (B, T, 2h, 2w, detail) at half a cell
        where the network has them, of frames (B, T, 3, pixels, pixels) in [0, 1]."""
        return [rearrange(f, "(b t) h w c -> b t h w c", b=len(frames)) for f in self.features(frames.flatten(0, 1))]

    def forward(self, frames: Tensor, queries: Tensor, support: int) -> Prediction:
        """frames (B, T, 3, pixels, pixels) in [0, 1]; queries (B, N, 2) x, y in the first frame, of which the first
        `support` are read by all."""

        def keys_source(_: int, tokens: Tensor) -> KeysValues:
            return self.support.keys_values(tokens[:, :support])

        return self.follow(self.describe(frames), queries, keys_source)

    def follow(self, levels: list[Tensor], queries: Tensor, keys_source: KeysSource) -> Prediction:
        """levels: what `describe` says of the frames; queries as in `forward`; keys_source gives the keys and
        values of the support points, be they among the queries or followed elsewhere, in each round."""
        device = queries.device.type
        with torch.autocast(device, enabled=False):  # sub-pixel positions need float32
            start = self._start(levels, queries.float())
        hidden = self.begin(torch.cat([start.own, start.still, start.peak], dim=-1)).float()  # sums stay in float32
        points, judged = start.guess, torch.zeros_like(start.guess)
        answers: list[tuple[Tensor, Tensor]] = []
        for number in range(self.config.rounds):
            points = points.detach()
            with torch.autocast(device, enabled=False):
                seen = self._patches(levels, start, points) + self._places(start, points, judged.detach())
            hidden = self._mix(self.blocks[0], hidden + self.read(torch.cat(seen, dim=-1)))
            hidden = self.support(hidden, keys_source(number, hidden))
            for block in self.blocks[1:]:
                hidden = self._mix(block, hidden)
            with torch.autocast(device, enabled=False):
                state = self.norm(hidden.float())
                points, judged = points + self.move(state), self.judge(state)
            answers.append((points, judged))
        all_judged = torch.stack([j for _, j in answers])
        return Prediction(torch.stack([p for p, _ in answers]), all_judged[..., 0], all_judged[..., 1], start.logits)

    def _mix(self, block: nn.Module, hidden: Tensor) -> Tensor:
        return cast(Tensor, block(hidden.flatten(0, 1)).view_as(hidden))

    def _start(self, levels: list[Tensor], queries: Tensor) -> Start:
        steps = levels[0].shape[1]
        there = read_features(levels[0], queries[:, :, None].expand(-1, -1, steps, -1), 1)  # (B, N, T, 9, C)
        fine = there[:, :, 0]
        still = (fine[:, :, None] * there).sum(dim=-1)  # match of each neighbor with its own place: nothing moved
        wide = [
            read_features(f[:, :1], at_stride(queries[:, :, None], stride), 0).flatten(2)  # (B, N, C)
            for f, stride in zip(levels[1:3], WIDE_STRIDES, strict=True)
        ]
        scales = self.sharpness.exp()
        volumes = [
            torch.einsum("bnc,bthwc->bnthw", q * s, f) for q, f, s in zip(wide, levels[1:3], scales[1:3], strict=True)
        ]
        logits, guess, peak = self._first_guess(volumes[0], queries)
        own = torch.cat([fine[:, :, 4], *wide], dim=-1)[:, :, None].expand(-1, -1, steps, -1)
        detail = None
        if self.config.detail:
            detail = read_features(levels[3][:, :1], at_stride(queries[:, :, None], 0.5), 1)[:, :, 0] * scales[3]
        return Start(queries, fine * scales[0], volumes, own, still, logits, guess, peak, detail)

    def _first_guess(self, volume: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of all cells, and their mean position within 3 cells of the best one, with that cell's probability."""
        h, w = volume.shape[-2:]
        stride = WIDE_STRIDES[0]
        y, x = torch.meshgrid(
            torch.arange(h, device=volume.device), torch.arange(w, device=volume.device), indexing="ij"
        )
        cells = (torch.stack([x, y], dim=-1).reshape(-1, 2).float() + 0.5) * stride - 0.5  # (h*w, 2) pixels
        away = torch.cdist(queries, cells.expand(len(queries), -1, -1)) / self.config.size  # (B, N, h*w)
        logits = volume.flatten(-2) - F.softplus(self.pull) * away[:, :, None]
        with torch.no_grad():  # trained through the logits' own loss
            highest, best = logits.max(dim=-1, keepdim=True)  # five times as fast as argmax
            near = torch.arange(-GUESS_RADIUS, GUESS_RADIUS + 1, device=volume.device)
            column, line = best % w + near, best // w + near  # (B, N, T, K)
            index = line.clamp(0, h - 1).unsqueeze(-1) * w + column.clamp(0, w - 1).unsqueeze(-2)
            outside = ((line < 0) | (line >= h)).unsqueeze(-1) | ((column < 0) | (column >= w)).unsqueeze(-2)
            found = logits.gather(-1, index.flatten(-2)).masked_fill(outside.flatten(-2), float("-inf"))
            weights = found.softmax(dim=-1).view_as(index)
            x, y = (weights.sum(dim=-2) * column).sum(dim=-1), (weights.sum(dim=-1) * line).sum(dim=-1)
            guess = (torch.stack([x, y], dim=-1) + 0.5) * stride - 0.5
            peak = (highest - logits.logsumexp(dim=-1, keepdim=True)).exp()
        return logits, guess, peak

    def _patches(self, levels: list[Tensor], start: Start, points: Tensor) -> list[Tensor]:
        """Correlations around the present positions (B, N, T, 2): 3x3 query features x fine patch, the features
        there, one query feature x wide patches; each (B, N, T, ...)."""
        there = read_features(levels[0], points, self.config.fine_radius)  # (B, N, T, Q, C)
        fine = torch.einsum("bnkc,bntqc->bntkq", start.fine, there)
        wide = [
            read_maps(volume, at_stride(points, stride), self.config.wide_radius)
            for volume, stride in zip(start.volumes, WIDE_STRIDES, strict=True)
        ]
        return [fine.flatten(-2), there[..., there.shape[-2] // 2, :], *wide, *self._details(levels, start, points)]

    def _details(self, levels: list[Tensor], start: Start, points: Tensor) -> list[Tensor]:
        """The fine correlations once more, at half a cell: (B, N, T, 9 * Q), if the network has that level."""
        if start.detail is None:
            return []
        there = read_features(levels[3], at_stride(points, 0.5), self.config.fine_radius)
        return [torch.einsum("bnkc,bntqc->bntkq", start.detail, there).flatten(-2)]

    def _places(self, start: Start, points: Tensor, judged: Tensor) -> list[Tensor]:
        """Where the track is, came from and goes to, in frames of one unit and smoothed steps of pixels: (B, N, T, 65)
        in pieces."""
        size = self.config.size
        moved = (points - start.queries[:, :, None]) / size
        step = points[:, :, 1:] - points[:, :, :-1]
        steps = torch.cat([F.pad(step, (0, 0, 1, 0)), F.pad(step, (0, 0, 0, 1))], dim=-1)  # into and out of each frame
        guessed = (start.guess - points) / size
        h, w = start.volumes[0].shape[-2:]
        place = points / (points.new_tensor([w, h]) * WIDE_STRIDES[0])  # in frames
        return [waves(moved), waves(guessed), steps / 4, torch.tanh(steps * 2), place, judged / 4, start.peak]


class Start(NamedTuple):
    """What is computed once per clip: query features (B, N, 9, C), cost volumes (B, N, T, h, w), what the first
    tokens are made of, and query features at half a cell (B, N, 9, detail) if the network has them."""

    queries: Tensor
    fine: Tensor
    volumes: list[Tensor]
    own: Tensor
    still: Tensor
    logits: Tensor
    guess: Tensor
    peak: Tensor
    detail: Tensor | None
