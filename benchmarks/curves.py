"""Curves with quick turns, on textures that are not the embedded world's: references for `tiny` that no split holds.

    python benchmarks/curves.py choosing --out splits/curves      # figure eight, spiral, staircase, S, hook, V
    python benchmarks/curves.py reporting --out splits/curves2    # other curves, other textures, another seed

One textured blob runs along each curve over a background of smooth noise: no outline, no floor, none of the world's
shapes or scenes. Presets may be chosen on `choosing`; what is reported of them comes from `reporting`. Each reference
has one prompt of level `scene`, in the words that `tiny` knows. Same seed, same frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.files import file_sha256
from motionbench.manifest import MANIFEST, write_manifest
from motionbench.seeds import derive_seed
from motionbench.video import write_clip

Array = NDArray[np.float64]
FRAMES, SIZE, FPS = 17, 64, 8.0
TIME: Array = np.linspace(0.0, 1.0, FRAMES)
TEXTURE = 128  # texels along a side


def through(*corners: tuple[float, float]) -> Array:
    """A path (T, 2) of even speed along straight legs."""
    knots = np.array(corners, dtype=np.float64)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return np.stack([np.interp(TIME * length[-1], length, knots[:, axis]) for axis in (0, 1)], -1)


def turning(radius: Array, angle: Array) -> Array:
    """A path (T, 2) in polar coordinates."""
    return np.asarray(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1))


def hook() -> Array:
    """A straight run that ends in a half circle."""
    run = np.clip(TIME / 0.5, 0, 1)
    bend = np.pi * np.clip((TIME - 0.5) / 0.5, 0, 1)
    return np.stack([0.45 * np.sin(bend), -1.1 * run - 0.35 * np.sin(bend) + 0.55 * (1 - np.cos(bend)) / 2], -1)


ROUND = 2 * np.pi * TIME
CURVES: dict[str, dict[str, Callable[[], Array]]] = {
    "choosing": {
        "figure_eight": lambda: np.stack([np.sin(ROUND), 0.6 * np.sin(2 * ROUND)], -1),
        "spiral": lambda: turning(0.2 + 0.8 * TIME, 1.6 * ROUND),
        "staircase": lambda: through((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2)),
        "s": lambda: np.stack([np.sin(ROUND), 2 * TIME - 1], -1),
        "hook": hook,
        "vee": lambda: through((-0.6, -1), (0, 1), (0.6, -1)),
    },
    "reporting": {
        "loop": lambda: np.stack([2.2 * (TIME - 0.5) - 0.75 * np.sin(ROUND), -0.9 * np.cos(ROUND)], -1),
        "square": lambda: through((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)),
        "trefoil": lambda: turning(0.55 + 0.45 * np.cos(3 * (ROUND + 0.4)), ROUND),
        "double_u": lambda: through((-1, -1), (-0.5, 1), (0, -1), (0.5, 1), (1, -1)),
        "u_turn": lambda: np.stack([0.7 * np.tanh(5 * (TIME - 0.5)), np.abs(2 * TIME - 1)], -1),
        "zed": lambda: through((-0.8, -1), (0.8, -1), (-0.8, 1), (0.8, 1)),
    },
}
WORDS = (  # color and shape of the blob's caption, and of the prompt's subject
    (("red", "ball"), ("cyan", "star")),
    (("blue", "square"), ("yellow", "ball")),
    (("green", "ball"), ("pink", "cross")),
    (("orange", "diamond"), ("blue", "ring")),
    (("purple", "ball"), ("green", "triangle")),
    (("yellow", "ring"), ("red", "square")),
)
FIRST = {"choosing": 8001, "reporting": 8101}  # numbers of no other split's references
SCENES = ("on the grass", "on the sea", "in the city", "in the forest", "in space", "in the desert")
PAINT = {
    "red": (0.85, 0.15, 0.15), "blue": (0.2, 0.3, 0.9), "green": (0.2, 0.75, 0.25), "orange": (0.95, 0.55, 0.1),
    "purple": (0.55, 0.2, 0.8), "yellow": (0.95, 0.85, 0.2),
}  # fmt: skip


def placed(path: Array, rng: np.random.Generator) -> Array:
    """The curve turned by up to a quarter, mirrored or not, its larger extent 1.1 to 1.3 half frames."""
    turn, flip = rng.uniform(-np.pi / 4, np.pi / 4), rng.choice([-1.0, 1.0])
    c, s = np.cos(turn), np.sin(turn)
    path = (path * [flip, 1.0]) @ np.array([[c, s], [-s, c]])
    low, high = path.min(0), path.max(0)
    return np.asarray((path - (low + high) / 2) * (rng.uniform(1.1, 1.3) / (high - low).max()))


def cloth(rng: np.random.Generator, paint: Sequence[float], contrast: float) -> Array:
    """A texture (TEXTURE, TEXTURE, 3): smooth noise of two scales about a color, periodic."""
    noise = np.zeros((TEXTURE, TEXTURE, 3))
    for width, weight in ((9.0, 1.0), (3.5, 0.7)):
        layer = gaussian_filter(rng.standard_normal((TEXTURE, TEXTURE, 3)), (width, width, 0), mode="wrap")
        noise += weight * (0.6 * layer.mean(-1, keepdims=True) * np.sqrt(3) + 0.4 * layer) / layer.std()
    return np.asarray(np.asarray(paint) + contrast * noise / noise.std())


def draw(path: Array, paint: Sequence[float], rng: np.random.Generator) -> Clip:
    """The clip (17, 64, 64, 3) of a blob in that color on this path."""
    ground = cloth(rng, tuple(rng.uniform(0.3, 0.6, 3)), 0.12)
    skin = cloth(rng, paint, 0.13)
    radius, waves, phase = rng.uniform(0.28, 0.34), rng.integers(2, 5), rng.uniform(0, 2 * np.pi)
    scale = 4  # pixels are averaged over 4 x 4 places
    axis = (np.arange(SIZE * scale) + 0.5) / (SIZE * scale) * 2 - 1
    x, y = np.meshgrid(axis, axis)
    behind = look_up(ground, x, y, 1.0)
    frames = []
    for center in path:
        u, v = x - center[0], y - center[1]
        edge = radius * (1 + 0.12 * np.cos(waves * np.arctan2(v, u) + phase))
        inside = (np.hypot(u, v) < edge)[..., None]
        full = np.where(inside, look_up(skin, u, v, 0.6), behind)
        frames.append(full.reshape(SIZE, scale, SIZE, scale, 3).mean((1, 3)))
    pixels = np.clip(np.stack(frames) * 255, 0, 255).round().astype(np.uint8)
    return Clip(pixels, FPS)


def look_up(texture: Array, x: Array, y: Array, width: float) -> Array:
    """The texture's colors at places in half frames; the texture is `2 * width` of them wide."""
    at = np.stack([y, x]) / (2 * width) * TEXTURE
    return np.stack([map_coordinates(texture[..., i], at, order=1, mode="grid-wrap") for i in range(3)], -1)


def build(purpose: str, folder: Path, seed: int = 0) -> list[Case]:
    """Writes the references and the manifest of a purpose; returns the cases."""
    cases = []
    for number, (name, curve) in enumerate(CURVES[purpose].items()):
        rng = np.random.default_rng(derive_seed(seed, "curves", purpose, name))
        told, asked = WORDS[(number + (purpose == "reporting")) % len(WORDS)]
        path = folder / "references" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(draw(placed(curve(), rng), PAINT[told[0]], rng), path, crf=10)
        scene = SCENES[number % len(SCENES)], SCENES[(number + 2) % len(SCENES)]
        cases.append(
            Case(
                id=f"single_object/{FIRST[purpose] + number}/2",
                category=Category.SINGLE_OBJECT,
                reference=path.relative_to(folder).as_posix(),
                sha256=file_sha256(path),
                caption=f"{an(told)} moving {scene[0]}",
                prompt=f"{an(asked)} moving {scene[1]}",
                level=Level.SCENE,
                license="CC0-1.0",
                source="drawn by benchmarks/curves.py",
                tags=("drawn", name),
            )
        )
    write_manifest(folder / MANIFEST, cases)
    return cases


def an(words: tuple[str, str]) -> str:
    """A color and a shape with their article."""
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("purpose", choices=list(CURVES))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    cases = build(args.purpose, args.out, args.seed)
    print(f"{args.out}: {len(cases)} references")


if __name__ == "__main__":
    main()
