"""Training paths of objects and cameras: named motions, and random smooth ones that no words fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .rendering import FRAMES

Array = NDArray[np.float64]
TIME: Array = np.linspace(0.0, 1.0, FRAMES)
DIRECTIONS = {
    "left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1),
    "up left": (-1, -1), "up right": (1, -1), "down left": (-1, 1), "down right": (1, 1),
}  # fmt: skip


@dataclass
class ObjectMotion:
    """Motions of M objects: center (M, T, 2), angle (M, T) radians, scale (M, T), and words ("" = none fit)."""

    center: Array
    angle: Array
    scale: Array
    words: list[str]

    @classmethod
    def empty(cls, count: int) -> ObjectMotion:
        return cls(np.zeros((count, FRAMES, 2)), np.zeros((count, FRAMES)), np.ones((count, FRAMES)), [""] * count)

    def put(self, rows: NDArray[np.intp], part: ObjectMotion) -> None:
        """Write the motions of `part` into these rows."""
        self.center[rows], self.angle[rows], self.scale[rows] = part.center, part.angle, part.scale
        for row, words in zip(rows, part.words, strict=True):
            self.words[row] = words


def _uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Array:
    return rng.uniform(low, high, shape)


def _signs(rng: np.random.Generator, *shape: int) -> Array:
    return np.asarray(rng.integers(0, 2, shape) * 2.0 - 1.0, dtype=np.float64)


def _ease(rng: np.random.Generator, count: int) -> Array:
    """Mildly uneven progress (count, T) from 0 to 1, at most 1.5 times faster at one end than the mean."""
    bend = _uniform(rng, -0.5, 0.5, count, 1)
    return TIME + bend * TIME * (1 - TIME)


def fit_path(path: Array, rng: np.random.Generator, low: float, high: float, reach: float) -> Array:
    """Paths (M, T, 2) scaled to a larger extent uniform in [low, high] and placed at random within [-reach, reach]."""
    corner, far = path.min(1, keepdims=True), path.max(1, keepdims=True)
    wanted = _uniform(rng, low, high, len(path), 1, 1)
    scale = wanted / np.maximum((far - corner).max(-1, keepdims=True), 1e-6)
    extent = (far - corner) * scale
    slack = np.maximum(reach - extent / 2, 0.0)
    middle = _uniform(rng, -1, 1, len(path), 1, 2) * slack
    return np.asarray((path - (corner + far) / 2) * scale + middle)


def straight(rng: np.random.Generator, count: int) -> ObjectMotion:
    """One of eight directions, across most of the frame."""
    names = list(DIRECTIONS)
    pick = rng.choice(8, count, p=[0.18, 0.18, 0.16, 0.16, 0.08, 0.08, 0.08, 0.08])
    heading = np.array([DIRECTIONS[n] for n in names], dtype=np.float64)[pick]
    heading /= np.linalg.norm(heading, axis=-1, keepdims=True)
    side = np.stack([-heading[:, 1], heading[:, 0]], -1)
    length = _uniform(rng, 0.7, 1.5, count, 1, 1)
    offset = side * _uniform(rng, -0.5, 0.5, count, 1) + heading * _uniform(rng, -0.12, 0.12, count, 1)
    move = ObjectMotion.empty(count)
    move.center = offset[:, None] + heading[:, None] * (_ease(rng, count)[..., None] - 0.5) * length
    move.words = [f"moving {names[i]}" for i in pick]
    return move


def circle(rng: np.random.Generator, count: int) -> ObjectMotion:
    """A circle of 0.75 to 1.25 turns."""
    turn = (
        _uniform(rng, 0, 2 * np.pi, count, 1)
        + _signs(rng, count, 1) * 2 * np.pi * _uniform(rng, 0.75, 1.25, count, 1) * TIME
    )
    radius = _uniform(rng, 0.32, 0.55, count, 1, 1)
    move = ObjectMotion.empty(count)
    move.center = radius * np.stack([np.cos(turn), np.sin(turn)], -1) + _uniform(rng, -0.15, 0.15, count, 1, 2)
    move.words = ["moving in a circle"] * count
    return move


def bouncing(rng: np.random.Generator, count: int) -> ObjectMotion:
    """Equal hops on a floor, with or without sideways drift."""
    hops = _uniform(rng, 1.5, 3.0, count, 1)
    height = _uniform(rng, 0.5, 1.0, count, 1)
    down = 0.5 - height * np.abs(np.sin(np.pi * (hops * TIME + _uniform(rng, 0, 1, count, 1))))
    drift = _signs(rng, count, 1) * _uniform(rng, 0.0, 0.9, count, 1) * (TIME - 0.5)
    move = ObjectMotion.empty(count)
    move.center = np.stack([_uniform(rng, -0.3, 0.3, count, 1) + drift, down], -1)
    move.words = ["bouncing"] * count
    return move


def swinging(rng: np.random.Generator, count: int) -> ObjectMotion:
    """A pendulum hung above the frame."""
    swing = _uniform(rng, 0.35, 0.7, count, 1) * np.sin(
        2 * np.pi * _uniform(rng, 0.6, 1.2, count, 1) * TIME + _uniform(rng, 0, 2 * np.pi, count, 1)
    )
    rope = _uniform(rng, 0.9, 1.3, count, 1)
    move = ObjectMotion.empty(count)
    x = _uniform(rng, -0.2, 0.2, count, 1) + rope * np.sin(swing)
    move.center = np.stack([x, rope * np.cos(swing) - rope + _uniform(rng, 0.0, 0.4, count, 1)], -1)
    move.angle = -swing
    move.words = ["swinging"] * count
    return move


def in_place(rng: np.random.Generator, count: int) -> ObjectMotion:
    """Spinning, growing or shrinking where it stands."""
    kind = rng.integers(0, 3, count)
    move = ObjectMotion.empty(count)
    move.center += _uniform(rng, -0.45, 0.45, count, 1, 2)
    spin = _signs(rng, count, 1) * _uniform(rng, 0.5, 1.0, count, 1) * np.pi * TIME
    move.angle = np.where((kind == 0)[:, None], spin, 0.0)
    change = _uniform(rng, 0.6, 0.85, count, 1) * (TIME - 0.5)
    move.scale = np.exp(np.where((kind == 0)[:, None], 0.0, np.where((kind == 1)[:, None], change, -change)))
    move.words = [("spinning", "growing", "shrinking")[k] for k in kind]
    return move


def fourier(rng: np.random.Generator, count: int) -> Array:
    """Random smooth paths (count, T, 2): a drift and a few slow waves."""
    path = _uniform(rng, -1.5, 1.5, count, 1, 2) * TIME[:, None]
    for k in (1.0, 2.0, 3.0):
        phase = _uniform(rng, 0, 2 * np.pi, count, 1, 2)
        path = path + rng.standard_normal((count, 1, 2)) * 0.6 / k**1.3 * np.sin(np.pi * k * TIME[:, None] + phase)
    return fit_path(path, rng, 0.5, 1.5, 0.8)


def spline(rng: np.random.Generator, count: int) -> Array:
    """Catmull-Rom splines (count, T, 2) through four random places of the frame."""
    knots = _uniform(rng, -0.8, 0.8, count, 4, 2)
    padded = np.concatenate([2 * knots[:, :1] - knots[:, 1:2], knots, 2 * knots[:, -1:] - knots[:, -2:-1]], axis=1)
    place = np.clip(TIME * 3, 0, 3 - 1e-9)
    piece, u = place.astype(int), (place % 1.0)[:, None]
    a, b, c, d = (padded[:, piece + i] for i in range(4))
    return np.asarray(0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3))


def arc(rng: np.random.Generator, count: int) -> Array:
    """Arcs (count, T, 2) of any heading, with a turn of at most 150 degrees in all and a mildly uneven speed."""
    progress = _ease(rng, count)
    heading = _uniform(rng, 0, 2 * np.pi, count, 1) + _uniform(rng, -2.6, 2.6, count, 1) * (progress - 0.5)
    step = np.diff(progress, axis=1, prepend=0.0)[..., None] * np.stack([np.cos(heading), np.sin(heading)], -1)
    return fit_path(np.cumsum(step, axis=1), rng, 0.6, 1.5, 0.75)


NAMED: dict[str, tuple[Callable[[np.random.Generator, int], ObjectMotion], float]] = {
    "straight": (straight, 0.60), "circle": (circle, 0.10), "bouncing": (bouncing, 0.10), "swinging": (swinging, 0.08),
    "in_place": (in_place, 0.12),
}  # fmt: skip
UNNAMED: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "fourier": (fourier, 0.35), "spline": (spline, 0.30), "arc": (arc, 0.35),
}  # fmt: skip


def object_motion(rng: np.random.Generator, named: NDArray[np.bool_]) -> ObjectMotion:
    """Training motions of M objects, from the named families where `named` (M,) holds, else from the unnamed ones."""
    move = ObjectMotion.empty(len(named))
    turn = _uniform(rng, -0.5, 0.5, len(named), 1) * TIME + _uniform(rng, -0.3, 0.3, len(named), 1)
    kinds = list(NAMED.values())
    pick = rng.choice(len(kinds), len(named), p=[share for _, share in kinds])
    for i, (family, _) in enumerate(kinds):
        rows = np.flatnonzero(named & (pick == i))
        move.put(rows, family(rng, len(rows)))
    paths = list(UNNAMED.values())
    pick = rng.choice(len(paths), len(named), p=[share for _, share in paths])
    for i, (draw, _) in enumerate(paths):
        rows = np.flatnonzero(~named & (pick == i))
        move.center[rows] = draw(rng, len(rows))
    free = np.array(
        [words in ("", "bouncing", "growing", "shrinking") or words.startswith("moving") for words in move.words]
    )
    move.angle += np.where(free[:, None], turn, 0.0)
    return move
