"""Fields and colors that pictures are made of: power-law noise, palettes, shapes of smooth outline."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
HEIGHT, WIDTH = 320, 480  # pixels of a made picture


def power_noise(
    rng: np.random.Generator, slope: float, channels: int = 1, height: int = HEIGHT, width: int = WIDTH
) -> Floats:
    """(height, width, channels) noise of unit variance whose amplitude falls as frequency**-slope, a little slanted."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.normal() * 0.35)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), -fx * np.sin(angle) + fy * np.cos(angle)
    frequency = np.sqrt((along * stretch) ** 2 + (across / stretch) ** 2)
    frequency[0, 0] = 1
    out = np.empty((height, width, channels), np.float32)
    for channel in range(channels):
        phase = rng.normal(size=(height, width // 2 + 1)) + 1j * rng.normal(size=(height, width // 2 + 1))
        spectrum = phase / frequency**slope
        spectrum[0, 0] = 0
        field = np.fft.irfft2(spectrum, s=(height, width))
        out[..., channel] = field / max(float(field.std()), 1e-9)
    return out


class Palette:
    """Colors that belong together: one light axis, and around it as much hue as the world has (often little)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.base = rng.uniform(25, 225, 3) * 0.25 + rng.uniform(25, 225) * 0.75
        self.light = rng.uniform(12, 60)  # spread of lightness
        self.hue = rng.uniform(2, 14) if rng.random() < 0.6 else rng.uniform(10, 55)  # spread of the rest

    def colors(self, count: int) -> Floats:
        """(count, 3) in [0, 255]."""
        light = self._rng.normal(size=(count, 1)) * self.light
        hue = self._rng.normal(size=(count, 3)) * self.hue
        return np.clip(self.base + light + hue, 0, 255).astype(np.float32)

    def color(self) -> Floats:
        """(3,) in [0, 255]."""
        return self.colors(1)[0]


def colored_noise(
    rng: np.random.Generator,
    palette: Palette,
    slope: float,
    strength: float | None = None,
    height: int = HEIGHT,
    width: int = WIDTH,
) -> Floats:
    """A picture (height, width, 3) of noise around one color of the palette, mostly in lightness."""
    amount = float(np.exp(rng.uniform(np.log(2), np.log(38)))) if strength is None else strength
    light = power_noise(rng, slope, 1, height, width)
    tint = power_noise(rng, slope, 1, height, width) * rng.normal(size=3).astype(np.float32) * rng.uniform(0, 0.5)
    return np.asarray(palette.color() + amount * (light * rng.uniform(0.8, 1.2, 3) + tint), dtype=np.float32)


def smooth_outline(
    rng: np.random.Generator, center: Floats, radius: float, roughness: float = 0.3, corners: int = 48
) -> NDArray[np.int32]:
    """A closed outline (corners, 2) around a center: a circle with random harmonics, possibly squeezed and turned."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    scale = 1 + sum(rng.normal() * roughness / k * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(1, 6))
    squeeze, turn = np.exp(rng.normal() * 0.4), rng.uniform(0, np.pi)
    x, y = np.cos(angle) * scale * squeeze, np.sin(angle) * scale / squeeze
    rotated = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], -1)
    return np.round(center + radius * rotated).astype(np.int32)


def fill(mask_shape: tuple[int, int], outline: NDArray[np.int32]) -> Floats:
    """(height, width) in [0, 1]: the outline's inside, antialiased."""
    mask = np.zeros(mask_shape, np.uint8)
    cv2.fillPoly(mask, [outline.astype(np.int32)], 255, lineType=cv2.LINE_AA)
    return mask.astype(np.float32) / 255
