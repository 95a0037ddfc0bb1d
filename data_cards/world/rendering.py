"""Rendering and tracking of layered clips: what is drawn and where its points go come from the same arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .scenes import noise, scene_textures
from .shapes import ATLAS_EXTENT, atlas

FRAMES, HEIGHT, WIDTH, FPS = 17, 64, 64, 8.0
HALF = WIDTH / 2  # pixels per scene unit at zoom 1
_OUTLINE = 0.22


@dataclass
class Shots:
    """B clips of K layers, back to front, in scene units (1 = half a frame; x right, y down, 0 = frame center at rest).

    camera: (B, T, 4) x, y, log zoom, roll (radians). scene: (B,). shape: (B, K) atlas index. color: (B, K, 3), [0, 1].
    center: (B, T, K, 2). angle: (B, T, K), radians. size: (B, T, K, 2), half extents across and along.
    parallax: (B, K), how much of the camera's shift the layer sees (1 = it stands on the scene). active: (B, K) bool.
    rim: (B, K), width of the dark outline in pixels. extent: half width of the scene's texture.
    """

    camera: Tensor
    scene: Tensor
    shape: Tensor
    color: Tensor
    center: Tensor
    angle: Tensor
    size: Tensor
    parallax: Tensor
    active: Tensor
    rim: Tensor
    extent: float
    blotches: tuple[int, int] = (8, 8)  # noise cells on a layer, along and across

    def to(self, device: str | torch.device, dtype: torch.dtype) -> Shots:
        """The same shots on a device, floating tensors in `dtype`."""
        moved = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                value = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            moved[f.name] = value
        return Shots(**moved)


def _rotation(angle: Tensor) -> Tensor:
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)  # (..., 2, 2)


def _inverse(matrix: Tensor) -> Tensor:
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    flat = torch.stack([d, -b, -c, a], -1) / (a * d - b * c)[..., None]
    return flat.reshape(matrix.shape)


@dataclass
class Poses:
    """Affine maps to the screen: screen = matrix @ local + shift, for scene (B, T, ...) and layers (B, T, K, ...)."""

    scene_matrix: Tensor
    scene_shift: Tensor
    matrix: Tensor
    shift: Tensor
    pixels: Tensor  # (B, T, K): frame pixels per unit of a layer's signed distance


def poses(shots: Shots) -> Poses:
    """The maps from scene and layer coordinates to the screen ([-1, 1], align_corners=False) in every frame."""
    zoom = shots.camera[..., 2].exp()
    view = _rotation(shots.camera[..., 3]) * zoom[..., None, None]  # (B, T, 2, 2)
    position = shots.camera[..., :2]
    local = _rotation(shots.angle) * shots.size[..., None, :]
    offset = shots.center - shots.parallax[:, None, :, None] * position[:, :, None, :]
    return Poses(
        scene_matrix=view,
        scene_shift=-(view @ position[..., None])[..., 0],
        matrix=view[:, :, None] @ local,
        shift=(view[:, :, None] @ offset[..., None])[..., 0],
        pixels=shots.size[..., 0] * zoom[..., None] * HALF,
    )


def _grid(matrix: Tensor, shift: Tensor, extent: float, height: int, width: int) -> Tensor:
    """Sampling positions (B, T*height, width, 2) in a texture that spans [-extent, extent], for all pixels."""
    inverse = _inverse(matrix) / extent
    theta = torch.cat([inverse, -(inverse @ shift[..., None])], dim=-1)  # (B, T, 2, 3)
    batch, frames = theta.shape[:2]
    grid = F.affine_grid(theta.flatten(0, 1), [batch * frames, 1, height, width], align_corners=False)
    return grid.reshape(batch, frames * height, width, 2)


def _layer_textures(shots: Shots, generator: np.random.Generator | torch.Generator, side: int) -> Tensor:
    """Blotches (B, K, 1, side, side) in [-1, 1] on the layers' own coordinates: they move and turn with their layer."""
    batch, layers = shots.shape.shape
    cells = noise(batch * layers, *shots.blotches, generator)
    smooth = F.interpolate(cells, size=(side, side), mode="bicubic", align_corners=False)
    return torch.tanh(2.6 * smooth).reshape(batch, layers, 1, side, side)


def render(shots: Shots, generator: np.random.Generator | torch.Generator) -> Tensor:
    """Frames (B, T, 3, H, W) in [0, 1]. The generator draws the textures: numpy for float64, torch for float32."""
    at = poses(shots)
    dtype, device = shots.camera.dtype, shots.camera.device
    texture = scene_textures(shots.scene, shots.extent, generator).to(dtype)
    frames_shape = (len(shots.scene), 3, FRAMES, HEIGHT, WIDTH)
    grid = _grid(at.scene_matrix, at.scene_shift, shots.extent, HEIGHT, WIDTH)
    frames = F.grid_sample(texture, grid, padding_mode="reflection", align_corners=False).reshape(frames_shape)
    silhouettes = torch.from_numpy(atlas()).to(device, dtype)[shots.shape][:, :, None]  # (B, K, 1, A, A)
    stack = torch.cat([silhouettes, _layer_textures(shots, generator, silhouettes.shape[-1]).to(dtype)], dim=2)
    for k in range(shots.shape.shape[1]):
        grid = _grid(at.matrix[:, :, k], at.shift[:, :, k], ATLAS_EXTENT, HEIGHT, WIDTH)
        layer = F.grid_sample(stack[:, k], grid, padding_mode="border", align_corners=False)
        layer = layer.reshape(len(shots.scene), 2, FRAMES, HEIGHT, WIDTH)
        inside = -layer[:, 0] * at.pixels[:, :, k, None, None]  # pixels inside the silhouette
        alpha = (inside + 0.5).clamp(0, 1) * shots.active[:, k, None, None, None]
        tone = layer[:, 1]
        edge = (inside - shots.rim[:, k, None, None, None] + 0.5).clamp(0, 1) * (1 - _OUTLINE) + _OUTLINE
        light = 0.30 * tone.clamp(min=0)
        color = (
            shots.color[:, k, :, None, None, None] * ((0.78 + 0.22 * tone) * edge)[:, None] + (light * edge)[:, None]
        )
        frames = torch.lerp(frames, color.clamp(max=1), alpha[:, None])
    return frames.transpose(1, 2).clamp(0, 1)


def to_screen(pixels: Tensor) -> Tensor:
    """Pixels (centers at integers) to screen coordinates in [-1, 1]."""
    return (pixels + 0.5) / HALF - 1


def to_pixels(screen: Tensor) -> Tensor:
    """Screen coordinates in [-1, 1] to pixels (centers at integers)."""
    return (screen + 1) * HALF - 0.5


def _covered(shots: Shots, at: Poses, points: Tensor) -> Tensor:
    """Which layers cover points (B, T, N, 2) on the screen: (B, T, N, K) bool."""
    batch, frames, count, _ = points.shape
    silhouettes = torch.from_numpy(atlas()).to(points.device, points.dtype)[shots.shape][:, :, None]
    covered = []
    for k in range(shots.shape.shape[1]):
        offset = points - at.shift[:, :frames, k, None]
        local = (_inverse(at.matrix[:, :frames, k])[:, :, None] @ offset[..., None])[..., 0]
        coverage = F.grid_sample(silhouettes[:, k], local / ATLAS_EXTENT, padding_mode="border", align_corners=False)
        covered.append((coverage.reshape(batch, frames, count) < 0) & shots.active[:, k, None, None])
    return torch.stack(covered, dim=-1)


def track(shots: Shots, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Exact tracks of first-frame points: points (B, N, T, 2) pixels, visible (B, N, T), owner (B, N), -1 = the scene.

    queries: (B, N, 2) pixels. A point belongs to the frontmost layer there; it is visible where it lies in the frame
    and no layer further in front covers it. Tracks go on behind other layers and outside the frame.
    """
    at = poses(shots)
    layers = shots.shape.shape[1]
    start = to_screen(queries)[:, None]  # (B, 1, N, 2)
    order = torch.arange(1, layers + 1, device=queries.device)
    owner = (_covered(shots, at, start)[:, 0] * order).amax(-1) - 1  # (B, N)
    matrix = torch.cat([at.scene_matrix[:, :, None], at.matrix], dim=2)  # (B, T, 1 + K, 2, 2)
    shift = torch.cat([at.scene_shift[:, :, None], at.shift], dim=2)
    index = (owner + 1)[:, None, :].expand(-1, FRAMES, -1)  # (B, T, N)
    matrix = matrix.gather(2, index[..., None, None].expand(*index.shape, 2, 2))
    shift = shift.gather(2, index[..., None].expand(*index.shape, 2))
    local = _inverse(matrix[:, :1]) @ (start - shift[:, :1])[..., None]
    screen = (matrix @ local)[..., 0] + shift  # (B, T, N, 2)
    front = torch.arange(layers, device=queries.device) > owner[:, None, :, None]
    hidden = (_covered(shots, at, screen) & front).any(-1)
    inside = (screen.abs() <= 1).all(-1)
    return to_pixels(screen).transpose(1, 2), (inside & ~hidden).transpose(1, 2), owner


def draw_queries(shots: Shots, count: int, rng: np.random.Generator) -> Tensor:
    """First-frame points (B, count, 2) in pixels: uniform over the frame, about half of them put on a layer."""
    batch, layers = shots.shape.shape
    device, dtype = shots.camera.device, shots.camera.dtype
    tries = 6
    uniform = torch.from_numpy(rng.uniform(-1, 1, (batch, count, 2))).to(device, dtype)
    local = torch.from_numpy(rng.uniform(-1, 1, (batch, tries * count, 2))).to(device, dtype)
    pick = torch.from_numpy(rng.integers(0, layers, (batch, tries * count))).to(device)
    at = poses(shots)
    matrix = at.matrix[:, 0].gather(1, pick[..., None, None].expand(*pick.shape, 2, 2))
    shift = at.shift[:, 0].gather(1, pick[..., None].expand(*pick.shape, 2))
    candidates = (matrix @ local[..., None])[..., 0] + shift
    hit = _covered(shots, at, candidates[:, None])[:, 0].any(-1) & (candidates.abs() <= 1).all(-1)
    hit = hit.reshape(batch, tries, count)
    first = hit.to(torch.int8).argmax(dim=1)  # (B, count)
    chosen = candidates.reshape(batch, tries, count, 2).gather(1, first[:, None, :, None].expand(-1, 1, -1, 2))[:, 0]
    wanted = torch.arange(count, device=device) % 2 == 1
    return to_pixels(torch.where((hit.any(1) & wanted)[..., None], chosen, uniform))
