"""A world of textured discs over a textured wall: enough to exercise the training scripts without the real renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from motionbench.clip import Clip
from motionbench.tracks import Tracks
from motionbench.world import Batch

COLORS = {"red": (0.9, 0.15, 0.1), "green": (0.1, 0.8, 0.2), "blue": (0.15, 0.25, 0.95), "yellow": (0.9, 0.85, 0.1)}
SCENES = {"desert": (0.8, 0.7, 0.5), "night": (0.1, 0.1, 0.25), "meadow": (0.3, 0.6, 0.3)}
MOTIONS = {"left": -1.0, "right": 1.0, "still": 0.0}
FRAMES, SIZE, RADIUS = 17, 64, 9.0


class DiscWorld:
    """One disc that moves sideways at up to 1.5 px a frame before a still wall; half of the points lie anywhere, half
    on the disc."""

    frames, height, width, fps = FRAMES, SIZE, SIZE, 8.0

    def vocabulary(self) -> tuple[str, ...]:
        return tuple(sorted({"a", "disc", "moving", "in", "the", *COLORS, *SCENES, *MOTIONS}))

    def sample(self, batch: int, *, seed: int, device: str, points: int = 0) -> Batch:
        g = torch.Generator().manual_seed(seed)
        names = [
            [list(d)[int(torch.randint(len(d), (1,), generator=g))] for d in (SCENES, COLORS, MOTIONS)]
            for _ in range(batch)
        ]
        wall = torch.tensor([SCENES[s] for s, _, _ in names])[:, :, None, None] + 0.15 * _texture(batch, g)
        disc = torch.tensor([COLORS[c] for _, c, _ in names])[:, :, None, None] + 0.15 * _texture(batch, g)
        speed = torch.tensor([MOTIONS[m] for _, _, m in names]) * (0.5 + torch.rand(batch, generator=g))
        at = torch.stack([20 + 24 * torch.rand(batch, generator=g), 16 + 32 * torch.rand(batch, generator=g)], -1)
        path = at[:, None] + torch.stack(
            [speed[:, None] * torch.arange(FRAMES), torch.zeros(batch, FRAMES)], -1
        )  # (B, T, 2)
        frames = torch.stack([_draw(wall, disc, path[:, t], at) for t in range(FRAMES)], 1)
        where = torch.rand(batch, points, 2, generator=g) * (SIZE - 1)
        on_disc = at[:, None] + (torch.rand(batch, points, 2, generator=g) - 0.5) * RADIUS
        where = torch.where((torch.arange(points) % 2 == 0)[None, :, None], on_disc, where)
        background = (where - at[:, None]).norm(dim=-1) > RADIUS
        moved = where[:, :, None] + (path - at[:, None])[:, None] * ~background[:, :, None, None]
        hidden = background[:, :, None] & ((moved - path[:, None]).norm(dim=-1) <= RADIUS)
        inside = ((moved >= 0) & (moved <= SIZE - 1)).all(-1)
        captions = [f"a {c} disc moving {m} in the {s}" for s, c, m in names]
        labels = [
            {"scene": s, "color": c, "shape": "disc", "motion": m, "category": "single_object"} for s, c, m in names
        ]
        d = torch.device(device)
        tensors = [x.to(d) for x in (frames, where, moved, inside & ~hidden, background)]
        return Batch(tensors[0], captions, *tensors[1:], labels)

    def rerender(self, reference: Path, prompt: str) -> tuple[Clip, Tracks]:
        raise NotImplementedError


def _texture(batch: int, generator: torch.Generator) -> torch.Tensor:
    cells = torch.randn(batch, 3, 24, 24, generator=generator)
    return F.interpolate(cells, size=(SIZE, SIZE), mode="bicubic", align_corners=False)


def _draw(wall: torch.Tensor, disc: torch.Tensor, center: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    pixels = torch.stack([x, y], -1).float()
    inside = ((pixels - center[:, None, None]).norm(dim=-1) <= RADIUS).float().unsqueeze(1)
    grid = (pixels + (start - center)[:, None, None] + 0.5) * (2 / SIZE) - 1
    return torch.lerp(wall, F.grid_sample(disc, grid, align_corners=False, padding_mode="border"), inside).clamp(0, 1)


def shifted_clip(frames: int, step: float, seed: int = 0) -> Clip:
    """A smooth random texture that moves right by `step` pixels a frame."""
    g = torch.Generator().manual_seed(seed)
    wide = F.interpolate(
        torch.rand(1, 3, 30, 60, generator=g), size=(SIZE, 2 * SIZE), mode="bicubic", align_corners=False
    )
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    out = []
    for t in range(frames):
        grid = torch.stack([(x + SIZE / 2 - step * t + 0.5) / SIZE - 1, (y + 0.5) * 2 / SIZE - 1], -1)[None].float()
        out.append(F.grid_sample(wide, grid, align_corners=False)[0].permute(1, 2, 0))
    return Clip((torch.stack(out).clamp(0, 1) * 255).round().byte().numpy().astype(np.uint8), 8.0)
