"""A textured plane that rolls or pans, drawn at any size and aspect: footage whose motion looks alike in every cut."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip

TEXTURE = 1024  # pixels per side


def texture(seed: int = 0) -> NDArray[np.uint8]:
    """Smooth colored blots of two sizes, with corners enough to be tracked."""
    rng = np.random.default_rng(seed)
    coarse, fine = (
        cv2.resize(rng.uniform(0, 255, (n, n, 3)), (TEXTURE, TEXTURE), interpolation=cv2.INTER_CUBIC) for n in (24, 96)
    )
    return np.clip(0.6 * coarse + 0.4 * fine, 0, 255).astype(np.uint8)


def moving_texture(
    motion: Literal["roll", "pan"], height: int, width: int, frames: int = 17, *, span: float = 0.25, seed: int = 0
) -> Clip:
    """The plane turns about the center by 40 degrees, or goes diagonally by `span` of the shorter side."""
    picture, short = texture(seed), min(height, width)
    zoom = 0.35 * TEXTURE / max(height, width)  # texture pixels per pixel
    shots = []
    for t in np.linspace(0, 1, frames):
        turn = math.radians(40 * t) if motion == "roll" else 0.0
        go = span * short * t if motion == "pan" else 0.0
        c, s = zoom * math.cos(turn), zoom * math.sin(turn)
        x, y = (width - 1) / 2, (height - 1) / 2
        shift = TEXTURE / 2 + zoom * go
        matrix = np.array([[c, -s, shift - c * x + s * y], [s, c, shift - s * x - c * y]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        shots.append(cv2.warpAffine(picture, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT))
    return Clip(np.stack(shots), 8.0)
