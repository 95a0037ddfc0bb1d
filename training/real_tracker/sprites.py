"""Things to move about: pictures with an outline, made of nothing: bodies with limbs, blobs, tools, letters,
lattices."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .noise import Floats, Palette, colored_noise, fill, smooth_outline
from .painters import FONTS, LETTERS

SIDE = 160  # pixels of a sprite


def _capsule(mask: Floats, start: Floats, end: Floats, thick_start: float, thick_end: float) -> None:
    """Draw a limb into the mask in place: two discs and what lies between."""
    along = end - start
    across = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    outline = [
        start + across * thick_start,
        end + across * thick_end,
        end - across * thick_end,
        start - across * thick_start,
    ]
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1.0, cv2.LINE_AA)
    for place, thick in ((start, thick_start), (end, thick_end)):
        cv2.circle(mask, tuple(np.round(place).astype(int).tolist()), max(1, round(thick)), 1.0, -1, cv2.LINE_AA)


def _creature(rng: np.random.Generator, palette: Palette, image: Floats) -> Floats:
    """A trunk with two to six limbs of one or two pieces, perhaps a head; each in its own shade. Paints `image`."""
    whole = np.zeros((SIDE, SIDE), np.float32)
    center = np.array([SIDE / 2, SIDE / 2], np.float32)
    upright = rng.random() < 0.5
    half = np.array([SIDE * 0.1, SIDE * 0.2] if upright else [SIDE * 0.24, SIDE * 0.11]) * rng.uniform(0.8, 1.2, 2)
    pieces = []
    for _ in range(int(rng.integers(2, 7))):
        joint = center + half * rng.uniform(-1, 1, 2)
        thick, length = rng.uniform(2, 11), SIDE * rng.uniform(0.12, 0.24)
        angle = rng.uniform(0.2, np.pi - 0.2) if rng.random() < 0.75 else rng.uniform(-np.pi, 0)
        for _ in range(int(rng.integers(1, 3))):
            end = joint + length * np.array([np.cos(angle), np.sin(angle)])
            pieces.append((joint, end, thick, thick * 0.8))
            joint, angle, thick = end, angle + rng.normal() * 0.6, thick * 0.8
    order = rng.permutation(len(pieces) + 2)
    for number in order:
        mask = np.zeros((SIDE, SIDE), np.float32)
        if number < len(pieces):
            _capsule(mask, *pieces[number])
        elif number == len(pieces):
            cv2.ellipse(
                mask,
                (SIDE // 2, SIDE // 2),
                tuple(np.maximum(1, half).astype(int).tolist()),
                float(rng.normal() * 12),
                0,
                360,
                1.0,
                -1,
                cv2.LINE_AA,
            )
        else:
            head = center + half * ([rng.normal() * 0.2, -1.3] if upright else [rng.choice([-1.1, 1.1]), -1.0])
            mask = fill((SIDE, SIDE), smooth_outline(rng, head.astype(np.float32), SIDE * rng.uniform(0.04, 0.1), 0.15))
        tint = rng.normal() * 14 if rng.random() < 0.6 else palette.color() - palette.base
        image += mask[..., None] * tint
        whole = np.maximum(whole, mask)
    return whole


def _outline(rng: np.random.Generator, palette: Palette, image: Floats) -> Floats:
    """A blob, a stone, a leaf; perhaps with holes."""
    middle = np.array([SIDE / 2, SIDE / 2], np.float32)
    mask = fill((SIDE, SIDE), smooth_outline(rng, middle, SIDE * rng.uniform(0.25, 0.4), rng.uniform(0.02, 0.4)))
    for _ in range(int(rng.choice([0, 0, 1, 3]))):
        hole = (middle + rng.normal(size=2) * SIDE * 0.15).astype(np.float32)
        mask *= 1 - fill((SIDE, SIDE), smooth_outline(rng, hole, SIDE * rng.uniform(0.03, 0.1), 0.2))
    return mask


def _built(rng: np.random.Generator, palette: Palette, image: Floats) -> Floats:
    """A car, a box, a machine: a few straight pieces with details in other colors."""
    whole = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0.15, 0.5, 2) * SIDE
        far = (
            int(min(x + rng.uniform(0.25, 0.6) * SIDE, SIDE * 0.95)),
            int(min(y + rng.uniform(0.15, 0.5) * SIDE, SIDE * 0.95)),
        )
        mask = np.zeros((SIDE, SIDE), np.float32)
        cv2.rectangle(mask, (int(x), int(y)), far, 1.0, -1)
        image += mask[..., None] * (rng.normal() * 20)
        whole = np.maximum(whole, mask)
    for _ in range(int(rng.integers(0, 12))):
        spot, size = tuple(rng.integers(SIDE * 0.2, SIDE * 0.8, 2).tolist()), int(rng.integers(2, 18))
        draw = (
            cv2.circle
            if rng.random() < 0.5
            else lambda im, c, s, *rest: cv2.rectangle(im, c, (c[0] + 2 * s, c[1] + s), *rest)
        )
        draw(image, spot, size, palette.color().tolist(), -1)
    return whole


def _lattice(rng: np.random.Generator, palette: Palette, image: Floats) -> Floats:
    """Branches, a fence, a bicycle: thin strokes and rings with air between them."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    for _ in range(int(rng.integers(2, 14))):
        thick = int(rng.integers(2, 8))
        if rng.random() < 0.25:
            center = tuple(rng.integers(SIDE * 0.25, SIDE * 0.75, 2).tolist())
            cv2.circle(mask, center, int(rng.integers(8, SIDE * 0.25)), 1.0, thick, cv2.LINE_AA)
        else:
            path = np.cumsum(rng.normal(size=(5, 2)) * SIDE * 0.13, 0) + SIDE / 2
            cv2.polylines(mask, [np.round(path).astype(np.int32)], False, 1.0, thick, cv2.LINE_AA)
    return mask


def _letters(rng: np.random.Generator, palette: Palette, image: Floats) -> Floats:
    """A word or a sign."""
    mask = np.zeros((SIDE, SIDE), np.uint8)  # letters are drawn into bytes only
    for line in range(int(rng.integers(1, 4))):
        text = "".join(rng.choice(LETTERS, rng.integers(1, 5)))
        cv2.putText(
            mask,
            text,
            (int(rng.integers(0, 40)), 50 + 45 * line),
            int(rng.choice(FONTS)),
            float(rng.uniform(1, 3)),
            255,
            int(rng.integers(2, 10)),
            cv2.LINE_AA,
        )
    return mask.astype(np.float32) / 255


KINDS = (_creature, _outline, _built, _lattice, _letters)
WEIGHTS = (0.42, 0.27, 0.15, 0.1, 0.06)


def make_sprite(seed: int) -> NDArray[np.uint8]:
    """A thing (SIDE, SIDE, 4) uint8: RGB and opacity, the same for the same seed; its outline stays off the border."""
    rng = np.random.default_rng(seed)
    palette = Palette(rng)
    strength = float(np.exp(rng.uniform(np.log(1.5), np.log(28))))
    image = colored_noise(rng, palette, rng.uniform(0.5, 1.8), strength, SIDE, SIDE)
    mask = KINDS[rng.choice(len(KINDS), p=WEIGHTS)](rng, palette, image)
    border = np.zeros_like(mask)
    border[2:-2, 2:-2] = 1
    mask = mask * border
    if rng.random() < 0.6:  # round: darker toward its edge, lit from one side
        depth = cv2.GaussianBlur(mask, (0, 0), rng.uniform(3, 14))
        image += (depth[..., None] - 0.6) * rng.uniform(0, 90)
        image += (
            (np.roll(depth, int(rng.integers(3, 9)), int(rng.integers(0, 2))) - depth)[..., None] * rng.normal() * 70
        )
    image = image.mean(-1, keepdims=True) + (image - image.mean(-1, keepdims=True)) * rng.uniform(0, 1.2)
    return np.concatenate([np.clip(image, 0, 255), mask[..., None] * 255], -1).astype(np.uint8)
