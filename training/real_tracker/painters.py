"""Painters: surfaces as photographs have them: calm, grain, leaves, tiles, walls, strokes, letters, ground."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .noise import HEIGHT, WIDTH, Floats, Palette, colored_noise, fill, power_noise, smooth_outline

Painter = Callable[[np.random.Generator, Palette], Floats]
FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
    cv2.FONT_HERSHEY_SCRIPT_COMPLEX,
)
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&%#?!")


def calm(rng: np.random.Generator, palette: Palette) -> Floats:
    """Sky, wall, water, asphalt: a slow gradient and a texture that is hardly there."""
    slow = power_noise(rng, rng.uniform(1.8, 2.6), 1) * rng.uniform(2, 25)
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    slope = (x * rng.normal() + y * rng.normal())[..., None] * rng.uniform(0, 30)
    fine = power_noise(rng, rng.uniform(0, 1.2), 1) * np.exp(rng.uniform(np.log(0.6), np.log(9)))
    return np.asarray(palette.color() + slow + slope + fine, dtype=np.float32)


def grainy(rng: np.random.Generator, palette: Palette) -> Floats:
    """Grass, gravel, fur, foliage: contrast at a narrow range of sizes, often along one direction."""
    coarse = power_noise(rng, rng.uniform(0.3, 1.1), 1)
    angle, size = rng.uniform(0, np.pi), rng.uniform(0.8, 3.5)
    kernel = cv2.getGaborKernel((21, 21), size, angle, size * rng.uniform(2, 5), rng.uniform(0.25, 1.0), 0)
    strands = cv2.filter2D(power_noise(rng, 0.2, 1)[..., 0], -1, kernel / max(np.abs(kernel).sum(), 1e-6))
    strands = strands / max(float(strands.std()), 1e-6)
    mixture = coarse[..., 0] * rng.uniform(0, 1) + strands * rng.uniform(0.2, 1)
    light = np.tanh(mixture * rng.uniform(0.5, 2))[..., None] * rng.uniform(6, 45)
    return np.asarray(
        palette.color() + light * rng.uniform(0.7, 1.3, 3) + power_noise(rng, 2, 1) * rng.uniform(0, 20),
        dtype=np.float32,
    )


def clouds(rng: np.random.Generator, palette: Palette) -> Floats:
    """Noise of one slope in all sizes."""
    return colored_noise(rng, palette, rng.uniform(0.6, 1.8))


def leaves(rng: np.random.Generator, palette: Palette) -> Floats:
    """Shapes that hide each other, of power-law sizes, plain or filled with noise, some shaded."""
    image = colored_noise(rng, palette, rng.uniform(0.8, 1.6))
    stuffs = [colored_noise(rng, palette, rng.uniform(0.3, 1.8)) for _ in range(4)]
    smallest, largest = rng.uniform(3, 9), rng.uniform(40, 150)
    for _ in range(int(np.exp(rng.uniform(np.log(40), np.log(700))))):
        u = rng.random()
        radius = 1 / np.sqrt(u / smallest**2 + (1 - u) / largest**2)
        center = np.array([rng.uniform(-20, WIDTH + 20), rng.uniform(-20, HEIGHT + 20)], np.float32)
        _paint(rng, image, _leaf(rng, center, radius), palette, stuffs)
    return image


def _leaf(rng: np.random.Generator, center: Floats, radius: float) -> NDArray[np.int32]:
    kind = rng.integers(0, 4)
    if kind == 0:  # a bar
        turn = rng.uniform(0, np.pi)
        along = np.array([np.cos(turn), np.sin(turn)]) * radius * 1.6
        across = np.array([-along[1], along[0]]) / np.linalg.norm(along) * max(1.2, radius * 0.12)
        return np.round(
            [center - along - across, center + along - across, center + along + across, center - along + across]
        ).astype(np.int32)
    if kind == 1:  # a polygon
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        return np.round(center + radius * np.stack([np.cos(angles), np.sin(angles)], -1)).astype(np.int32)
    return smooth_outline(rng, center, radius, 0.05 if kind == 2 else 0.35)


def _paint(
    rng: np.random.Generator, image: Floats, outline: NDArray[np.int32], palette: Palette, stuffs: list[Floats]
) -> None:
    """Fill the outline in place with a plain color or one of the stuffs, with a gradient."""
    height, width = image.shape[:2]
    x0, y0 = np.maximum(outline.min(0), 0)
    x1, y1 = np.minimum(outline.max(0) + 1, [width, height])
    if x1 <= x0 or y1 <= y0:
        return
    mask = fill((y1 - y0, x1 - x0), outline - [x0, y0])[..., None]
    color = (
        palette.color() if rng.random() < 0.45 else stuffs[rng.integers(len(stuffs))][y0:y1, x0:x1] + rng.normal() * 22
    )
    shade = (
        np.linspace(-1, 1, x1 - x0)[None, :, None] * rng.normal() * 14
        + np.linspace(-1, 1, y1 - y0)[:, None, None] * rng.normal() * 14
    )
    image[y0:y1, x0:x1] = image[y0:y1, x0:x1] * (1 - mask) + (color + shade) * mask


def tiles(rng: np.random.Generator, palette: Palette) -> Floats:
    """Bricks, planks, fences, tissue: a slanted, wavy lattice of cells with joints."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    size, angle = rng.uniform(6, 60), rng.uniform(0, np.pi) if rng.random() < 0.5 else rng.normal() * 0.06
    wave = power_noise(rng, 2.2, 2) * rng.uniform(0, 7)
    v = (-x * np.sin(angle) + y * np.cos(angle) + wave[..., 1]) / (size * rng.uniform(0.3, 1.3))
    u = (x * np.cos(angle) + y * np.sin(angle) + wave[..., 0]) / size + 0.5 * (np.floor(v) % 2)
    number = ((np.floor(u) * 7919).astype(int) ^ (np.floor(v) * 104729).astype(int)) % 64
    even = rng.random() < 0.5  # cells of one color, as of a wall
    colors = palette.color() + palette.colors(64) * (0.08 if even else 1.0) - (0 if even else palette.base)
    edge = np.minimum(np.minimum(u % 1, 1 - u % 1), np.minimum(v % 1, 1 - v % 1))
    joint = np.clip((rng.uniform(0.03, 0.14) - edge) * size / 1.5, 0, 1)[..., None]
    return np.asarray(
        colors[number] * (1 - joint) + palette.color() * joint + power_noise(rng, 0.9, 1) * rng.uniform(1, 14),
        dtype=np.float32,
    )


def facade(rng: np.random.Generator, palette: Palette) -> Floats:
    """A wall with rows of alike windows: what looks the same one step aside."""
    image = calm(rng, palette)
    step_x, step_y = rng.uniform(18, 80), rng.uniform(18, 80)
    wide, high = step_x * rng.uniform(0.3, 0.75), step_y * rng.uniform(0.3, 0.8)
    glass, frame = palette.colors(5), palette.color()
    for y in np.arange(rng.uniform(-step_y, 0), HEIGHT, step_y):
        for x in np.arange(rng.uniform(-step_x, 0), WIDTH, step_x):
            corner, far = (int(x), int(y)), (int(x + wide), int(y + high))
            cv2.rectangle(image, corner, far, (glass[rng.integers(5)] * 0.7).tolist(), -1)
            cv2.rectangle(image, corner, far, frame.tolist(), int(rng.integers(1, 4)))
            if rng.random() < 0.5:
                cv2.line(image, (int(x + wide / 2), corner[1]), (int(x + wide / 2), far[1]), frame.tolist(), 1)
    return image


def cells(rng: np.random.Generator, palette: Palette) -> Floats:
    """Voronoi cells: stones, scales, cracked ground."""
    count = int(rng.integers(30, 350))
    seeds = rng.uniform(0, 1, (count, 2)) * [WIDTH, HEIGHT]
    y, x = np.mgrid[:HEIGHT:2, :WIDTH:2]
    away = (x[..., None] - seeds[:, 0]) ** 2 + (y[..., None] - seeds[:, 1]) ** 2
    nearest = np.sqrt(np.partition(away, 1, axis=-1)[..., :2])
    crack = np.clip(1 - (nearest[..., 1] - nearest[..., 0]) / rng.uniform(2, 8), 0, 1)[..., None]
    colors = palette.color() + (palette.colors(count) - palette.base) * rng.uniform(0.1, 1)
    small = (colors[away.argmin(-1)] * (1 - crack * rng.uniform(0, 0.7))).astype(np.float32)
    return np.asarray(
        cv2.resize(small, (WIDTH, HEIGHT)) + power_noise(rng, 1.0, 1) * rng.uniform(1, 16), dtype=np.float32
    )


def strokes(rng: np.random.Generator, palette: Palette) -> Floats:
    """Branches, wires, hatching: thin curves over something calm."""
    image = (calm if rng.random() < 0.6 else grainy)(rng, palette)
    spread = rng.uniform(0.1, 1.5)
    main = rng.uniform(0, 2 * np.pi)
    for _ in range(int(rng.integers(10, 160))):
        steps = int(rng.integers(6, 30))
        turn = main + rng.normal() * spread + np.cumsum(rng.normal(size=steps) * rng.uniform(0.02, 0.4))
        path = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1) * rng.uniform(3, 14), 0) + rng.uniform(0, 1, 2) * [
            WIDTH,
            HEIGHT,
        ]
        thick = int(np.ceil(np.exp(rng.uniform(0, np.log(9)))))
        cv2.polylines(image, [np.round(path).astype(np.int32)], False, palette.color().tolist(), thick, cv2.LINE_AA)
    return image


def writing(rng: np.random.Generator, palette: Palette) -> Floats:
    """Signs and letters of all sizes."""
    image = calm(rng, palette)
    for _ in range(int(rng.integers(4, 50))):
        text = "".join(rng.choice(LETTERS, rng.integers(1, 9)))
        place = (int(rng.uniform(-40, WIDTH)), int(rng.uniform(0, HEIGHT + 20)))
        size = float(np.exp(rng.uniform(np.log(0.3), np.log(4))))
        mask = np.zeros((HEIGHT, WIDTH), np.uint8)  # letters are drawn into bytes only
        cv2.putText(
            mask, text, place, int(rng.choice(FONTS)), size, 255, max(1, int(size * rng.uniform(0.6, 3))), cv2.LINE_AA
        )
        opacity = mask[..., None].astype(np.float32) / 255
        image = image * (1 - opacity) + palette.color() * opacity
    return image


def ripples(rng: np.random.Generator, palette: Palette) -> Floats:
    """Water and cloth: warped waves of a few directions."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    bend = power_noise(rng, 1.8, 2) * rng.uniform(2, 16)
    light = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(int(rng.integers(1, 5))):
        angle, length = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(5), np.log(60)))
        light += np.sin(
            ((x + bend[..., 0]) * np.cos(angle) + (y + bend[..., 1]) * np.sin(angle)) * 2 * np.pi / length
            + rng.uniform(0, 6.3)
        )
    return np.asarray(
        palette.color()
        + np.tanh(light)[..., None] * rng.uniform(4, 32)
        + power_noise(rng, 1.2, 1) * rng.uniform(1, 10),
        dtype=np.float32,
    )


def receding(rng: np.random.Generator, palette: Palette) -> Floats:
    """Any of the others seen at a slant, as ground is: finer and finer toward a horizon."""
    flat = PLAIN[rng.integers(len(PLAIN))](rng, palette)
    far = rng.uniform(0.1, 0.45) * WIDTH
    to = np.float32([[far, 0], [WIDTH - far, 0], [WIDTH * 1.8, HEIGHT], [-WIDTH * 0.8, HEIGHT]])
    origin = np.float32([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]])
    matrix = cv2.getPerspectiveTransform(origin, to)
    return np.asarray(
        cv2.warpPerspective(flat, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101),
        dtype=np.float32,
    )


PLAIN: tuple[Painter, ...] = (calm, grainy, clouds, leaves, tiles, facade, cells, strokes, writing, ripples)
WEIGHTS = (3, 4, 2, 8, 2, 2, 1.5, 2, 1, 1.5, 2)  # of PLAIN and `receding`
