"""Scenes: aperiodic textures in scene coordinates, one palette and one kind of texture for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TEXELS_PER_PIXEL = 1.34  # finer than the frame, so that sub-pixel shifts and zoom do not blur in beats

# Cells of the noise layers in frame pixels (vertical, horizontal): a wavelength is about two cells.
_CELLS = ((3.2, 3.2), (5.0, 5.0), (11.0, 11.0), (3.0, 6.5), (6.5, 3.0), (5.0, 5.0))
_BLOCKS = 5  # this layer is filled with flat cells instead of smooth ones


@dataclass(frozen=True)
class Scene:
    """One scene. weights: of the noise layers, then of ridges, spots, and a bias. colors: dark, middle, light, sRGB."""

    name: str
    preposition: str
    weights: tuple[float, ...]
    colors: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]


#                                fine  mid  large flat- tall- blocks ridges spots bias
SCENES = (
    Scene(
        "grass",
        "on",
        (0.45, 0.20, 0.25, 0.00, 0.95, 0.00, 0.00, 0.00, 0.0),
        ((46, 66, 22), (92, 114, 52), (160, 176, 96)),
    ),
    Scene(
        "snow",
        "in",
        (0.25, 0.80, 0.50, 0.00, 0.00, 0.00, 0.00, 0.00, 0.0),
        ((150, 168, 192), (216, 224, 236), (250, 252, 255)),
    ),
    Scene(
        "desert",
        "in",
        (0.15, 0.00, 0.30, 0.30, 0.00, 0.00, 0.90, 0.00, 0.0),
        ((150, 112, 66), (204, 168, 112), (240, 214, 164)),
    ),
    Scene(
        "sea",
        "on",
        (0.15, 0.25, 0.30, 1.00, 0.00, 0.00, 0.00, 0.00, 0.0),
        ((10, 42, 78), (38, 86, 120), (132, 172, 186)),
    ),
    Scene(
        "city",
        "in",
        (0.12, 0.00, 0.20, 0.00, 0.00, 1.15, 0.00, 0.00, 0.0),
        ((52, 52, 58), (112, 112, 116), (186, 184, 180)),
    ),
    Scene(
        "forest",
        "in",
        (0.40, 0.70, 0.30, 0.00, 0.00, 0.00, 0.60, 0.00, 0.0),
        ((12, 24, 12), (46, 54, 26), (116, 108, 60)),
    ),
    Scene(
        "space",
        "in",
        (0.20, 0.10, 0.25, 0.00, 0.00, 0.00, 0.00, 1.40, -0.55),
        ((6, 6, 16), (30, 26, 58), (214, 212, 226)),
    ),
    Scene(
        "bricks",
        "on",
        (0.20, 0.00, 0.15, 0.00, 0.00, 0.80, 0.70, 0.00, 0.0),
        ((72, 40, 36), (132, 82, 70), (186, 146, 128)),
    ),
)
SCENE_NAMES = tuple(scene.name for scene in SCENES)


def noise(batch: int, rows: int, cols: int, generator: np.random.Generator | torch.Generator) -> Tensor:
    """Standard normal (batch, 1, rows, cols), float64 from numpy, or float32 from torch on its device."""
    if isinstance(generator, np.random.Generator):
        return torch.from_numpy(generator.standard_normal((batch, 1, rows, cols)))
    return torch.randn((batch, 1, rows, cols), generator=generator, device=generator.device)


def _layers(batch: int, side: int, extent: float, generator: np.random.Generator | torch.Generator) -> list[Tensor]:
    pixels = 64.0 * extent
    layers = []
    for index, (down, across) in enumerate(_CELLS):
        cells = noise(batch, round(pixels / down) + 1, round(pixels / across) + 1, generator)
        if index == _BLOCKS:
            layers.append(F.interpolate(cells, size=(side, side), mode="nearest"))
        else:
            layers.append(F.interpolate(cells, size=(side, side), mode="bicubic", align_corners=False) * 1.35)
    return layers


def scene_textures(scene: Tensor, extent: float, generator: np.random.Generator | torch.Generator) -> Tensor:
    """RGB textures (B, 3, S, S) in [0, 1] that span scene coordinates [-extent, extent] (1 = half a frame).

    scene: (B,) indices into SCENES. No layer is periodic and none has a preferred single direction, so that every patch
    fixes both components of its motion (no aperture problem); wavelengths of 6 to 22 pixels survive a 4x spatial
    autoencoder.
    """
    side = round(64 * extent * TEXELS_PER_PIXEL)
    layers = _layers(len(scene), side, extent, generator)
    ridges = 1.1 - 2.2 * layers[1].abs()
    spots = (layers[0] + 0.6 * layers[1] - 1.1).clamp(min=0) * 2.0
    dtype, device = layers[0].dtype, layers[0].device
    weights = torch.tensor([s.weights for s in SCENES], dtype=dtype, device=device)[scene]  # (B, 9)
    colors = torch.tensor([s.colors for s in SCENES], dtype=dtype, device=device)[scene] / 255.0  # (B, 3, 3)
    value = torch.zeros_like(layers[0])
    for index, layer in enumerate([*layers, ridges, spots, torch.ones_like(ridges)]):
        value = value + weights[:, index, None, None, None] * layer
    value = torch.tanh(1.15 * value)  # (B, 1, S, S)
    dark, middle, light = (colors[:, i, :, None, None] for i in range(3))
    return middle + value.clamp(min=0) * (light - middle) + (-value).clamp(min=0) * (dark - middle)
