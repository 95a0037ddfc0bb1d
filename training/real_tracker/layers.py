"""How the layers of a clip move: inverse maps in closed form, forward tracks by iteration.

Layer l of a clip shows, at the place p of a frame (in [-1, 1], x then y), its own point
u = (A_t (p - m_t) + D_t(p)) / (1 + c_t p): a similarity with shear, a smooth wobble, a little perspective. Where one
of its points goes follows from the same map, by fixed-point iteration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

WAVES = 3  # of a layer's wobble
ITERATIONS = 16
SCENE, GROUND, THING, LIMB = 0, 1, 2, 3  # kinds of layer


@dataclass
class Layers:
    """The maps of n layers over T frames.

    matrix (n, T, 2, 2), middle (n, T, 2), tilt (n, T, 2) of the perspective; wave (n, W, 2), phase (n, W, T), swing
    (n, W, 2) of the wobble; kind (n,).
    """

    matrix: Tensor
    middle: Tensor
    tilt: Tensor
    wave: Tensor
    phase: Tensor
    swing: Tensor
    kind: Tensor

    def of(self, index: Tensor) -> Layers:
        """The layers at index (k,)."""
        return Layers(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def between(self, part: float) -> Layers:
        """The layers `part` of a frame later (linear between frames; the last frame stays)."""

        def shift(x: Tensor, axis: int) -> Tensor:
            later = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, x.shape[axis] - 1, 1)], axis)
            earlier = torch.cat([x.narrow(axis, 0, 1), x.narrow(axis, 0, x.shape[axis] - 1)], axis)
            return torch.lerp(x, later if part > 0 else earlier, abs(part))

        moved = {"matrix": shift(self.matrix, 1), "middle": shift(self.middle, 1), "tilt": shift(self.tilt, 1)}
        return Layers(
            **{**{n: getattr(self, n) for n in self.__dataclass_fields__}, **moved, "phase": shift(self.phase, 2)}
        )


def wobble(layers: Layers, places: Tensor) -> Tensor:
    """D of places (n, T, P, 2): the same shape."""
    angle = torch.einsum("nwi,ntpi->ntpw", layers.wave, places) + layers.phase.transpose(1, 2)[:, :, None]
    return torch.einsum("ntpw,nwi->ntpi", angle.sin(), layers.swing)


def to_layer(layers: Layers, places: Tensor) -> Tensor:
    """The layers' own points u (n, T, P, 2) that are seen at places (n, T, P, 2)."""
    flat = torch.einsum("ntij,ntpj->ntpi", layers.matrix, places - layers.middle[:, :, None]) + wobble(layers, places)
    depth = 1 + torch.einsum("ntpi,nti->ntp", places, layers.tilt)
    return flat / depth.clamp(min=0.3).unsqueeze(-1)


def follow(layers: Layers, points: Tensor, start: Tensor) -> Tensor:
    """Where the layers' own points (k, 2), one a layer, are seen in each frame: (k, T, 2); start (k, 2) in the
    first."""
    back = torch.linalg.inv(layers.matrix)
    place = start[:, None].expand(-1, layers.matrix.shape[1], -1)
    for _ in range(ITERATIONS):
        bend = wobble(layers, place[:, :, None])[:, :, 0]
        depth = (1 + (place * layers.tilt).sum(-1, keepdim=True)).clamp(min=0.3)
        place = torch.einsum("ktij,ktj->kti", back, points[:, None] * depth - bend) + layers.middle
    return place


class Draws:
    """Random numbers on a device from one generator."""

    def __init__(self, device: str, seed: int) -> None:
        self.device, self.generator = device, torch.Generator(device).manual_seed(seed)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers of a shape."""
        return low + (high - low) * torch.rand(*shape, device=self.device, generator=self.generator)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers of a shape."""
        return torch.randn(*shape, device=self.device, generator=self.generator)

    def size(self, *shape: int, low: float, high: float) -> Tensor:
        """Numbers that are uniform in their logarithm."""
        return torch.exp(self.uniform(*shape, low=math.log(low), high=math.log(high)))

    def coin(self, *shape: int, chance: float) -> Tensor:
        """True with this chance."""
        return self.uniform(*shape) < chance

    def paths(self, count: int, dims: int, frames: int) -> Tensor:
        """Smooth random paths (count, dims, frames) of about unit size: a few turns, some none, some many."""
        many = self.normal(count, dims, 9)
        few = F.interpolate(self.normal(count, dims, 4), size=9, mode="linear", align_corners=True) * 1.3
        knots = torch.where(self.coin(count, 1, 1, chance=0.25), many, few)
        x = F.interpolate(knots, size=frames, mode="linear", align_corners=True)
        kernel = torch.hann_window(9, periodic=False, device=self.device)[1:-1]
        padded = F.pad(x.reshape(-1, 1, frames), (3, 3), mode="replicate")
        return F.conv1d(padded, (kernel / kernel.sum()).view(1, 1, -1)).reshape(count, dims, frames)


def _rotation(angle: Tensor) -> Tensor:
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cosine, sine], -1), torch.stack([-sine, cosine], -1)], -2)


def _camera(draws: Draws, clips: int, frames: int) -> tuple[Tensor, Tensor]:
    """Inverse camera per clip: matrix (B, T, 2, 2) and center (B, T, 2); some cameras stand still."""
    moves = (~draws.coin(clips, 1, 1, chance=0.25)).float()
    shake = draws.normal(clips, 2, frames) * 0.004 * draws.coin(clips, 1, 1, chance=0.3)
    path = draws.paths(clips, 2, frames) * draws.size(clips, 1, 1, low=0.01, high=0.55) + shake
    drift = (
        draws.normal(clips, 2, 1)
        * draws.size(clips, 1, 1, low=0.01, high=0.5)
        * torch.linspace(0, 1, frames, device=draws.device)
    )
    roll = draws.paths(clips, 1, frames)[:, 0] * draws.size(clips, 1, low=0.005, high=0.35)
    zoom = draws.paths(clips, 1, frames)[:, 0] * draws.size(clips, 1, low=0.005, high=0.4)
    scale = torch.exp(-zoom * moves[:, 0])
    return _rotation(roll * moves[:, 0]) * scale[..., None, None], ((path + drift) * moves).transpose(1, 2)


def draw_layers(draws: Draws, clips: int, layers: int, frames: int) -> Layers:
    """Layers (clips * layers,) in their order from behind: a scene, perhaps ground at another depth, things, limbs on
    things."""
    n = clips * layers
    kind = torch.full((clips, layers), THING, device=draws.device)
    kind[:, 0] = SCENE
    kind[:, 1] = torch.where(draws.coin(clips, chance=0.35), GROUND, THING)
    kind[:, 4:6] = torch.where(draws.coin(clips, 1, chance=0.5), LIMB, THING)  # limbs of the thing before them
    flat = kind.reshape(n)
    scenery = flat <= GROUND
    speed = draws.size(n, 1, 1, low=0.02, high=0.8)
    speed = torch.where((scenery | draws.coin(n, chance=0.15))[:, None, None], torch.zeros_like(speed), speed)
    path = draws.paths(n, 2, frames) * speed + draws.normal(n, 2, 1) * speed * torch.linspace(
        -0.5, 0.5, frames, device=draws.device
    )
    place = torch.where(
        scenery[:, None], torch.zeros(n, 2, device=draws.device), draws.uniform(n, 2, low=-0.8, high=0.8)
    )
    middle = (place[..., None] + path).transpose(1, 2)
    turning = torch.where(scenery, 0.0, 1.0)[:, None]
    turn = draws.paths(n, 1, frames)[:, 0] * draws.size(n, 1, low=0.02, high=0.9) * turning
    grow = draws.paths(n, 1, frames)[:, 0] * draws.size(n, 1, low=0.01, high=0.35) * turning
    size = torch.where(scenery, torch.ones(n, device=draws.device), draws.size(n, low=0.18, high=1.0))
    start = draws.normal(n, 1) * 0.35 * turning
    matrix = _rotation(turn + start) / (size[:, None] * grow.exp())[..., None, None]
    shear = draws.paths(n, 1, frames)[:, 0] * 0.1 * turning
    matrix[..., 0, 1] = matrix[..., 0, 1] + shear / size[:, None]
    matrix, middle = _attach_limbs(
        draws, matrix.view(clips, layers, frames, 2, 2), middle.view(clips, layers, frames, 2), kind, frames
    )
    view, center = _camera(draws, clips, frames)
    depth = _depths(draws, kind)
    # p -> camera -> layer: A K (p - k d - K^-1 m); nearer layers are carried further
    inverse = torch.linalg.inv(view)
    shifted = center[:, None] * depth[..., None, None] + torch.einsum("btij,bltj->blti", inverse, middle)
    matrix = torch.einsum("bltij,btjk->bltik", matrix, view)
    bends = draws.coin(n, chance=0.4)
    amount = torch.where(scenery, draws.uniform(n, high=0.03), draws.uniform(n, high=0.12)) * bends
    tilts = (
        draws.paths(n, 2, frames).transpose(1, 2)
        * (draws.uniform(n, high=0.12) * draws.coin(n, chance=0.4))[:, None, None]
    )
    return Layers(
        matrix.reshape(n, frames, 2, 2),
        shifted.reshape(n, frames, 2),
        torch.where(scenery[:, None, None], tilts - tilts[:, :1], torch.zeros_like(tilts)),
        draws.normal(n, WAVES, 2) * torch.where(scenery, 2.5, 4.0)[:, None, None],
        draws.uniform(n, WAVES, 1, high=6.3) + draws.paths(n * WAVES, 1, frames)[:, 0].view(n, WAVES, frames) * 1.6,
        draws.normal(n, WAVES, 2) * amount[:, None, None] * 0.5,
        flat,
    )


def _depths(draws: Draws, kind: Tensor) -> Tensor:
    """How far the camera's shift carries each layer (B, L): the scene once, ground and some things more or less."""
    near = torch.where(
        draws.coin(*kind.shape, chance=0.3),
        draws.uniform(*kind.shape, low=0.5, high=2.0),
        torch.ones(kind.shape, device=kind.device),
    )
    near = torch.where(kind == GROUND, draws.uniform(*kind.shape, low=0.4, high=2.2), near)
    near = torch.where(kind == SCENE, torch.ones_like(near), near)
    near[:, 4:6] = torch.where(kind[:, 4:6] == LIMB, near[:, 3:4].expand(-1, 2), near[:, 4:6])
    return near


def _attach_limbs(draws: Draws, matrix: Tensor, middle: Tensor, kind: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Hang layers 4 and 5, where they are limbs, on layer 3: its similarity, a joint on it, a swing of their own."""
    clips = len(matrix)
    swing = draws.paths(clips * 2, 1, frames)[:, 0].view(clips, 2, frames) * draws.uniform(
        clips, 2, 1, low=0.2, high=1.3
    )
    size = draws.uniform(clips, 2, 1, low=0.35, high=0.8)
    body, carried = matrix[:, 3:4], torch.linalg.inv(matrix[:, 3:4])
    joint = draws.uniform(clips, 2, 1, 2, low=-0.45, high=0.45)
    limb_matrix = torch.einsum(
        "bltij,bltjk->bltik",
        _rotation(swing + draws.uniform(clips, 2, 1, high=6.3)) / size[..., None, None],
        body.expand(-1, 2, -1, -1, -1),
    )
    limb_middle = middle[:, 3:4] + torch.einsum(
        "bltij,bltj->blti", carried.expand(-1, 2, -1, -1, -1), joint.expand(-1, -1, frames, -1)
    )
    limb = kind[:, 4:6] == LIMB
    matrix = torch.cat(
        [matrix[:, :4], torch.where(limb[..., None, None, None], limb_matrix, matrix[:, 4:6]), matrix[:, 6:]], 1
    )
    middle = torch.cat(
        [middle[:, :4], torch.where(limb[..., None, None], limb_middle, middle[:, 4:6]), middle[:, 6:]], 1
    )
    return matrix, middle
