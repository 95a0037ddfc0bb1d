"""Clips of layers in known motion, with exact tracks and visibility, drawn on any torch device as training goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import GROUND, LIMB, SCENE, THING, Draws, Layers, draw_layers, follow, to_layer

LAYERS = 7
BLURS = 3  # versions of a sprite in the bank, each blurred twice as far, for things that are seen small
CONVERGED = 5e-3  # of half a frame: tracks whose iteration did not come this close are not asked for


@dataclass
class Bank:
    """Pictures (M, 3, h, w) and things (BLURS * K, 4, s, s) uint8, on the device."""

    pictures: Tensor
    sprites: Tensor


@dataclass
class Scene:
    """frames (B, T, 3, S, S) in [0, 1]; points (B, N, T, 2) pixels; visible, and valid (B, N): the truth is exact."""

    frames: Tensor
    points: Tensor
    visible: Tensor
    valid: Tensor


@dataclass
class Looks:
    """What layers (n,) are painted with: a window of a picture (pick, center, zoom, colors), a sprite, an opacity."""

    pick: Tensor
    center: Tensor
    zoom: Tensor
    gain: Tensor
    lift: Tensor
    sprite: Tensor
    own_colors: Tensor  # the sprite's, not the picture's
    opacity: Tensor
    edge: Tensor  # wave, phase, swing, horizon of a ground's border: (n, 4)
    thick: Tensor  # of a limb

    def of(self, index: Tensor) -> Looks:
        """The looks at index (k,)."""
        return Looks(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def draw_looks(draws: Draws, bank: Bank, layers: Layers, clips: int) -> Looks:
    """Looks of layers (clips * LAYERS,); some things are cut from their own ground, some are half transparent."""
    kind, n = layers.kind, len(layers.kind)
    scenery = kind <= GROUND
    pick = torch.randint(len(bank.pictures), (n,), device=draws.device, generator=draws.generator)
    alike = draws.coin(n, chance=0.3)
    pick = torch.where(alike, pick.view(clips, LAYERS)[:, :1].expand(clips, LAYERS).reshape(n), pick)
    zoom = torch.where(scenery, draws.uniform(n, low=0.45, high=0.95), draws.size(n, low=0.08, high=0.5))
    size = torch.linalg.det(layers.matrix[:, 0]).abs().clamp(min=1e-6).rsqrt()
    level = (torch.log2(0.45 / size.clamp(max=2.0)) + draws.normal(n) * 0.5).round().long().clamp(0, BLURS - 1)
    count = len(bank.sprites) // BLURS
    sprite = torch.randint(count, (n,), device=draws.device, generator=draws.generator) + level * count
    there = draws.coin(n, chance=0.7) | (kind == SCENE)
    there = there.view(clips, LAYERS)
    there[:, 4:6] &= there[:, 3:4] | (kind.view(clips, LAYERS)[:, 4:6] != LIMB)
    there[:, 2:] &= ~draws.coin(clips, 1, chance=0.06)  # now and then nothing but a scene
    opacity = torch.where(
        draws.coin(n, chance=0.06) & (kind == THING),
        draws.uniform(n, low=0.25, high=0.5),
        torch.ones(n, device=draws.device),
    )
    edge = torch.stack(
        [
            draws.uniform(n, low=1, high=6),
            draws.uniform(n, high=6.3),
            draws.uniform(n, high=0.2),
            draws.uniform(n, low=-0.2, high=0.9),
        ],
        -1,
    )
    spread = draws.uniform(n, 1, high=0.3)
    return Looks(
        pick,
        draws.uniform(n, 2, low=-0.6, high=0.6),
        zoom,
        torch.exp(draws.normal(n, 1) * 0.2 + draws.normal(n, 3) * 0.1)
        * torch.exp(-draws.uniform(n, 1) * draws.coin(n, 1, chance=0.25)),
        draws.normal(n, 3) * 0.04 * (spread / 0.15),
        sprite,
        draws.coin(n, chance=0.6) & (kind == THING),
        opacity * there.reshape(n),
        edge,
        draws.uniform(n, low=0.12, high=0.4),
    )


def _paint(layers: Layers, looks: Looks, pictures: Tensor, sprites: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Colors (B, T, 3, P) and opacity (B, T, P) of one layer of every clip at pixels (P, 2)."""
    clips, frames = layers.matrix.shape[:2]
    side = round(len(pixels) ** 0.5)
    u = to_layer(layers, pixels.expand(clips, frames, -1, -1))
    h, w = pictures.shape[-2:]
    window = looks.center[:, None, None] + u * looks.zoom[:, None, None, None] * u.new_tensor([h / w, 1.0])

    def sample(images: Tensor, at: Tensor, padding: str) -> Tensor:
        read = F.grid_sample(
            images, at.view(clips, frames * side, side, 2), mode="bilinear", padding_mode=padding, align_corners=False
        )
        return read.view(clips, images.shape[1], frames, side * side).transpose(1, 2)

    color = sample(pictures, window, "reflection")
    sprite = sample(sprites, u, "zeros")
    color = torch.where(looks.own_colors[:, None, None, None], sprite[:, :, :3], color)
    color = color * looks.gain[:, None, :, None] + looks.lift[:, None, :, None]
    wave, phase, swing, horizon = (looks.edge[:, i, None, None] for i in range(4))
    ground = torch.sigmoid((u[..., 1] - horizon - swing * torch.sin(u[..., 0] * wave + phase)) * 60)
    along = u[..., 0].clamp(0, 1.6)
    limb = torch.sigmoid(
        (looks.thick[:, None, None] - torch.stack([u[..., 0] - along, u[..., 1]], -1).norm(dim=-1)) * 50
    )
    kind = layers.kind[:, None, None]
    shape = torch.where(
        kind == THING,
        sprite[:, :, 3],
        torch.where(kind == LIMB, limb, torch.where(kind == GROUND, ground, torch.ones_like(ground))),
    )
    return color, shape * looks.opacity[:, None, None]


def _pixels(side: int, device: str) -> Tensor:
    line = (torch.arange(side, device=device) + 0.5) / side * 2 - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y], -1).view(side * side, 2)


class Renderer:
    """Draws scenes; `compile` joins the arithmetic of a layer into few kernels."""

    def __init__(self, device: str, side: int, frames: int, *, compile: bool = False) -> None:
        self.device, self.side, self.frames = device, side, frames
        self.pixels = _pixels(side, device)
        self.paint = torch.compile(_paint, dynamic=False) if compile else _paint

    def render(self, layers: Layers, looks: Looks, bank: Bank, clips: int) -> tuple[Tensor, Tensor]:
        """Frames (B, T, 3, P) and the number of the layer seen (B, T, P)."""
        size = (clips, self.frames, len(self.pixels))
        image = torch.zeros(clips, self.frames, 3, len(self.pixels), device=self.device)
        seen = torch.zeros(size, dtype=torch.int8, device=self.device)
        first = torch.arange(clips, device=self.device) * LAYERS
        for number in range(LAYERS):
            one = looks.of(first + number)
            pictures, sprites = bank.pictures[one.pick].float() / 255, bank.sprites[one.sprite].float() / 255
            color, opacity = self.paint(layers.of(first + number), one, pictures, sprites, self.pixels)
            image = torch.lerp(image, color, opacity.unsqueeze(2))
            seen = torch.where(opacity > 0.5, number, seen)
        return image, seen

    @torch.no_grad()
    def scene(self, bank: Bank, clips: int, points: int, free: int, seed: int) -> Scene:
        """A batch of clips with `points` queries each: the first `free` anywhere, of the others half on things."""
        draws = Draws(self.device, seed)
        layers = draw_layers(draws, clips, LAYERS, self.frames)
        looks = draw_looks(draws, bank, layers, clips)
        image, seen = self.render(layers, looks, bank, clips)
        if seed % 5 == 0:  # an open shutter
            part = 0.12 + 0.2 * (seed % 3) / 2
            sides = [self.render(layers.between(s), looks, bank, clips)[0] for s in (-part, part)]
            image = (image + sides[0] + sides[1]) / 3
        tracks, visible, valid = self._tracks(draws, layers, seen, points, free)
        return Scene(image.view(clips, self.frames, 3, self.side, self.side), tracks, visible, valid)

    def _tracks(
        self, draws: Draws, layers: Layers, seen: Tensor, points: int, free: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        clips = len(seen)
        first = seen[:, 0].long()
        thing = (layers.kind.view(clips, LAYERS).gather(1, first) >= THING).float()
        share = thing.mean(1, keepdim=True)
        weight = torch.where(thing > 0, 0.5 / share.clamp(min=0.01), 0.5 / (1 - share).clamp(min=0.01))
        cell = torch.cat(
            [
                torch.randint(first.shape[1], (clips, free), device=self.device, generator=draws.generator),
                torch.multinomial(weight, points - free, replacement=True, generator=draws.generator),
            ],
            1,
        )
        label = first.gather(1, cell)
        start = self.pixels[cell] + (draws.uniform(clips, points, 2) - 0.5) * 2 / self.side
        index = (torch.arange(clips, device=self.device)[:, None] * LAYERS + label).reshape(-1)
        chosen = layers.of(index)
        begin = start.reshape(-1, 2)
        own = to_layer(chosen, begin[:, None, None].expand(-1, self.frames, -1, -1))[:, 0, 0]
        path = follow(chosen, own, begin)
        gap = (to_layer(chosen, path[:, :, None])[:, :, 0] - own[:, None]).norm(dim=-1).amax(1)
        tracks = ((path + 1) / 2 * self.side - 0.5).view(clips, points, self.frames, 2)
        cells = tracks.round().long()
        inside = ((cells >= 0) & (cells < self.side)).all(-1)
        cells = cells.clamp(0, self.side - 1)
        top = seen.gather(2, (cells[..., 1] * self.side + cells[..., 0]).transpose(1, 2)).transpose(1, 2)
        visible = inside & (top == label[..., None])
        valid = (gap.view(clips, points) < CONVERGED) & visible[:, :, 0] & tracks.isfinite().all(-1).all(-1)
        return torch.where(valid[..., None, None], tracks, torch.zeros_like(tracks)), visible & valid[..., None], valid
