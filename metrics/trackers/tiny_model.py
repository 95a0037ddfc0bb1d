"""The network behind the `tiny` tracker: a small TAPIR-like point tracker for 64x64 clips.

Frame-wise features at three strides; a whole cost volume per query and frame at stride 2 gives a first guess; a few
rounds of local correlation, convolution over time and attention to support points refine position, visibility and
uncertainty. After TAPIR (Doersch et al., arXiv:2306.08637) and CoTracker3 (Karaev et al., arXiv:2410.11831); the code
is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


@dataclass(frozen=True)
class TinyTrackerConfig:
    """Shape of the network.

    size: frames are size x size pixels. stage_widths: channels of the feature stages at strides 1, 2, 4; channels: of
    the matched features. width: of a track token; blocks per round; rounds of refinement; heads of the attention to
    support points. fine_radius, wide_radius: half sides of the correlation patches, at stride 1 and at strides 2 and 4.
    support_per_side: a fixed grid of support points is tracked along, so that the result for a point does not depend
    on the others asked for. visible_threshold: a point counts as visible where P(visible) * P(error below
    `uncertain_px`) exceeds it.
    """

    size: int = 64
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


class Prediction(NamedTuple):
    """points (R, B, N, T, 2) in pixels after each of R rounds; visible, uncertain (R, B, N, T) logits; volume (B, N,
    T, h*w) first-guess logits."""

    points: Tensor
    visible: Tensor
    uncertain: Tensor
    volume: Tensor


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
        y = self.first(F.relu(self.norm_first(x)))
        return cast(Tensor, x + self.second(F.relu(self.norm_second(y))))


class FeatureNet(nn.Module):
    """Unit-length features (M, channels, h, w) of frames (M, 3, H, W) in [0, 1], at strides 1, 2 and 4, joined
    top-down."""

    def __init__(self, config: TinyTrackerConfig) -> None:
        super().__init__()
        a, b, c = config.stage_widths
        self.fine = nn.Sequential(nn.Conv2d(3, a, 3, padding=1), Residual(a))
        self.middle = nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual(b), Residual(b))
        self.coarse = nn.Sequential(nn.Conv2d(b, c, 3, stride=2, padding=1), Residual(c))
        self.laterals = nn.ModuleList([nn.Conv2d(n, config.channels, 1) for n in (a, b, c)])
        self.outs = nn.ModuleList([nn.Conv2d(config.channels, config.channels, 3, padding=1) for _ in range(3)])

    def forward(self, frames: Tensor) -> list[Tensor]:
        fine = self.fine(frames * 2 - 1)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        joined = self.laterals[2](coarse)
        levels = [joined]
        for lateral, stage in ((self.laterals[1], middle), (self.laterals[0], fine)):
            joined = lateral(stage) + F.interpolate(joined, scale_factor=2.0, mode="bilinear")
            levels.insert(0, joined)
        return [F.normalize(out(F.relu(level)).float(), dim=1) for out, level in zip(self.outs, levels, strict=True)]


class TimeBlock(nn.Module):
    """Mixes a track's tokens (M, T, D) over neighbouring frames, then over channels. Works for any T."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_time, self.norm_channel = nn.LayerNorm(width), nn.LayerNorm(width)
        self.time = nn.Conv1d(width, width, 5, padding=2, groups=width)
        self.widen, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.time(self.norm_time(x).transpose(1, 2)).transpose(1, 2)
        return cast(Tensor, x + self.narrow(F.gelu(self.widen(self.norm_channel(x)), approximate="tanh")))


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

    def forward(self, x: Tensor, support: int) -> Tensor:
        y = self.norm(x)  # (B, N, T, D)
        split = "b n t (k d) -> (b t) k n d"
        key, value = self.key_value(y[:, :support]).chunk(2, dim=-1)
        read = F.scaled_dot_product_attention(
            rearrange(self.query(y), split, k=self.heads),
            rearrange(key, split, k=self.heads),
            rearrange(value, split, k=self.heads),
        )
        return cast(Tensor, x + self.out(rearrange(read, "(b t) k n d -> b n t (k d)", b=x.shape[0])))


def square_offsets(radius: int, device: torch.device) -> Tensor:
    """Integer offsets (x, y) of a square patch: ((2 radius + 1)**2, 2), row by row."""
    r = torch.arange(-radius, radius + 1, device=device, dtype=torch.float32)
    y, x = torch.meshgrid(r, r, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2)


def read_at(maps: Tensor, pixels: Tensor, size: int) -> Tensor:
    """Bilinear reading of maps (M, C, h, w) at pixels (M, P, Q, 2) of the full-size frame: (M, C, P, Q). Outside, the
    border is repeated."""
    grid = (pixels + 0.5) * (2.0 / size) - 1.0  # pixel centres at integers <-> align_corners=False
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)


def waves(x: Tensor, octaves: int = 6) -> Tensor:
    """x (..., k) with its sines and cosines at doubling frequencies: (..., k * (1 + 2 * octaves))."""
    angles = torch.cat([x * (2.0**i) for i in range(octaves)], dim=-1)
    return torch.cat([x, angles.sin(), angles.cos()], dim=-1)


class TinyTrackerNet(nn.Module):
    """Follows points of the first frame through a clip; see the module's text."""

    def __init__(self, config: TinyTrackerConfig) -> None:
        super().__init__()
        self.config = config
        self.features = FeatureNet(config)
        self.sharpness = nn.Parameter(torch.tensor([2.5, 2.5, 2.5]))  # log scale of the correlations at each stride
        self.pull = nn.Parameter(torch.tensor(0.0))  # how much the first guess prefers to stay near the query
        patches = 9 * (2 * config.fine_radius + 1) ** 2 + 2 * (2 * config.wide_radius + 1) ** 2
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
        """Features (B, T, channels, h, w) at strides 1, 2 and 4 of frames (B, T, 3, size, size) in [0, 1]."""
        return [rearrange(f, "(b t) c h w -> b t c h w", b=len(frames)) for f in self.features(frames.flatten(0, 1))]

    def forward(self, frames: Tensor, queries: Tensor, support: int, levels: list[Tensor] | None = None) -> Prediction:
        """frames (B, T, 3, size, size) in [0, 1]; queries (B, N, 2) x, y in the first frame, of which the first
        `support` are read by all; levels: what `describe` says of the frames, if that is known already."""
        levels = self.describe(frames) if levels is None else levels
        with torch.autocast(frames.device.type, enabled=False):  # sub-pixel positions need float32
            start = self._start(levels, queries.float())
        hidden = self.begin(torch.cat([start.own, start.still, start.peak], dim=-1)).float()  # sums stay in float32
        points, judged = start.guess, torch.zeros_like(start.guess)
        answers: list[tuple[Tensor, Tensor]] = []
        for _ in range(self.config.rounds):
            points = points.detach()
            with torch.autocast(frames.device.type, enabled=False):
                seen = torch.cat(
                    [self._patches(levels, start, points), self._places(start, points, judged.detach())], dim=-1
                )
            hidden = hidden + self.read(seen)
            for i, block in enumerate(self.blocks):
                hidden = block(hidden.flatten(0, 1)).view_as(hidden)
                if i == 0:
                    hidden = self.support(hidden, support)
            with torch.autocast(frames.device.type, enabled=False):
                state = self.norm(hidden.float())
                points, judged = points + self.move(state), self.judge(state)
            answers.append((points, judged))
        all_judged = torch.stack([j for _, j in answers])
        return Prediction(torch.stack([p for p, _ in answers]), all_judged[..., 0], all_judged[..., 1], start.volume)

    def _start(self, levels: list[Tensor], queries: Tensor) -> Start:
        size, steps = self.config.size, levels[0].shape[1]
        around = queries[:, :, None] + square_offsets(1, queries.device)  # (B, N, 9, 2)
        fine = rearrange(read_at(levels[0][:, 0], around, size), "b c n q -> b n q c")
        wide = [read_at(f[:, 0], queries[:, :, None], size)[..., 0].transpose(1, 2) for f in levels[1:]]  # (B, N, C)
        scales = self.sharpness.exp()
        volumes = [
            torch.einsum("bnc,btchw->bnthw", q * s, f) for q, f, s in zip(wide, levels[1:], scales[1:], strict=True)
        ]
        grid = around[:, None].expand(-1, steps, -1, -1, -1).flatten(0, 1)
        there = rearrange(read_at(levels[0].flatten(0, 1), grid, size), "(b t) c n q -> b n t q c", t=steps)
        still = torch.einsum(
            "bnqc,bntqc->bntq", fine, there
        )  # match of each neighbour with its own place: nothing moved
        logits, guess, peak = self._first_guess(volumes[0], queries)
        own = torch.cat([fine[:, :, 4], *wide], dim=-1)[:, :, None].expand(-1, -1, steps, -1)
        return Start(queries, fine, volumes, own, still, logits, guess, peak)

    def _first_guess(self, volume: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of all cells, and their mean position within 3 cells of the best one, with that cell's probability."""
        h, w = volume.shape[-2:]
        stride = self.config.size / w
        y, x = torch.meshgrid(
            torch.arange(h, device=volume.device), torch.arange(w, device=volume.device), indexing="ij"
        )
        cells = (torch.stack([x, y], dim=-1).reshape(-1, 2).float() + 0.5) * stride - 0.5  # (h*w, 2) pixels
        away = torch.cdist(queries, cells.expand(len(queries), -1, -1)) / self.config.size  # (B, N, h*w)
        logits = volume.flatten(-2) - F.softplus(self.pull) * away[:, :, None]
        with torch.no_grad():  # trained through the logits' own loss
            best = logits.argmax(dim=-1, keepdim=True)
            spot = torch.cat([best % w, best // w], dim=-1)[..., None, :] + square_offsets(3, volume.device).long()
            inside = (spot >= 0).all(dim=-1) & (spot[..., 0] < w) & (spot[..., 1] < h)
            index = spot[..., 1].clamp(0, h - 1) * w + spot[..., 0].clamp(0, w - 1)  # (B, N, T, 49)
            weights = logits.gather(-1, index).masked_fill(~inside, float("-inf")).softmax(dim=-1)
            guess = (weights.unsqueeze(-1) * cells[index]).sum(dim=-2)
            peak = (logits.gather(-1, best) - logits.logsumexp(dim=-1, keepdim=True)).exp()
        return logits, guess, peak

    def _patches(self, levels: list[Tensor], start: Start, points: Tensor) -> Tensor:
        """Correlations around the present positions (B, N, T, 2): 3x3 query features x fine patch, one query feature
        x wide patches."""
        size, steps = self.config.size, points.shape[2]
        spots = points[..., None, :] + square_offsets(self.config.fine_radius, points.device)
        grid = rearrange(spots, "b n t q xy -> (b t) n q xy")
        there = rearrange(read_at(levels[0].flatten(0, 1), grid, size), "(b t) c n q -> b n t q c", t=steps)
        fine = torch.einsum("bnkc,bntqc->bntkq", start.fine, there) * self.sharpness[0].exp()
        out = [fine.flatten(-2), there[..., there.shape[-2] // 2, :]]
        for volume, stride in zip(start.volumes, (2, 4), strict=True):
            spots = points[..., None, :] + square_offsets(self.config.wide_radius, points.device) * stride
            read = read_at(volume.flatten(0, 2).unsqueeze(1), spots.flatten(0, 2).unsqueeze(1), size)
            out.append(read.view(*points.shape[:3], -1))
        return torch.cat(out, dim=-1)

    def _places(self, start: Start, points: Tensor, judged: Tensor) -> Tensor:
        """Where the track is, came from and goes to, in frames of one unit and smoothed steps of pixels: (B, N, T,
        65)."""
        size = self.config.size
        moved = (points - start.queries[:, :, None]) / size
        step = points[:, :, 1:] - points[:, :, :-1]
        steps = torch.cat([F.pad(step, (0, 0, 1, 0)), F.pad(step, (0, 0, 0, 1))], dim=-1)  # into and out of each frame
        guessed = (start.guess - points) / size
        return torch.cat(
            [waves(moved), waves(guessed), steps / 4, torch.tanh(steps * 2), points / size, judged / 4, start.peak],
            dim=-1,
        )


class Start(NamedTuple):
    """What is computed once per clip: query features (B, N, 9, C), cost volumes (B, N, T, h, w), and what the first
    tokens are made of."""

    queries: Tensor
    fine: Tensor
    volumes: list[Tensor]
    own: Tensor
    still: Tensor
    volume: Tensor
    guess: Tensor
    peak: Tensor
