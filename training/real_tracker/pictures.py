"""Pictures with the statistics of photographs, made of nothing: what backgrounds and surfaces are cut from.

Large calm areas beside busy ones, light that varies more than hue, textures near the limit of what can be seen,
things that hide each other (dead leaves, Lee et al. 2001), ground that recedes, walls with windows, strokes, letters.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .noise import HEIGHT, WIDTH, Floats, Palette, power_noise
from .painters import PLAIN, WEIGHTS, leaves, receding


def _parting(rng: np.random.Generator) -> Floats:
    """(HEIGHT, WIDTH, 1) in [0, 1]: where one picture ends and another begins: a horizon, a wall's edge, a thicket."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)], p=[0.25, 0.5, 0.25]) + rng.normal() * 0.1
    field = (x * np.cos(angle) + y * np.sin(angle) + rng.uniform(-0.6, 0.6)) * rng.choice([0.0, 1.0, 1.0])
    rough = power_noise(rng, rng.uniform(1.2, 2.4), 1)[..., 0] * rng.choice([0.0, 0.05, 0.3])
    if not field.any():
        rough = power_noise(rng, rng.uniform(1.4, 2.4), 1)[..., 0]
    return np.clip((field + rough) * rng.choice([8.0, 60.0]) + 0.5, 0, 1)[..., None]


def _tone(rng: np.random.Generator, image: Floats) -> Floats:
    """Light and shade, contrast (often low), saturation (often low), softness."""
    image = image * (1 + rng.uniform(0, 0.22) * np.tanh(power_noise(rng, 2.2, 1)))
    gray = image.mean(-1, keepdims=True)
    image = gray + (image - gray) * (rng.uniform(0, 1) if rng.random() < 0.6 else 1.0)
    middle = image.mean((0, 1), keepdims=True)
    contrast = np.exp(rng.uniform(np.log(0.3), np.log(1.0))) if rng.random() < 0.35 else rng.uniform(0.9, 1.6)
    image = np.clip(middle * rng.uniform(0.7, 1.2), 25, 215) + (image - middle) * contrast
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(np.exp(rng.uniform(np.log(0.4), np.log(2.2)))))
    return np.asarray(image, dtype=np.float32)


def make_picture(seed: int) -> NDArray[np.uint8]:
    """A picture (HEIGHT, WIDTH, 3) uint8 RGB, the same for the same seed."""
    rng = np.random.default_rng(seed)
    painters, weights = (*PLAIN, receding), np.array(WEIGHTS) / sum(WEIGHTS)
    image = painters[rng.choice(len(painters), p=weights)](rng, Palette(rng))
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.25, 0.35, 0.25, 0.15]))):
        part = _parting(rng)
        other = painters[rng.choice(len(painters), p=weights)](rng, Palette(rng))
        image = image * (1 - part) + other * part
    if rng.random() < 0.5:  # a thicket, a crowd, things lying about
        part = np.clip(power_noise(rng, rng.uniform(1.6, 2.4), 1) * rng.uniform(2, 8), 0, 1)
        image = image * (1 - part) + leaves(rng, Palette(rng)) * part
    return np.clip(_tone(rng, image), 0, 255).astype(np.uint8)
