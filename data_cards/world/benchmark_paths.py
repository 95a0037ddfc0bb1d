"""Paths of the benchmark and of the tuning references: families that no training clip is drawn from.

Each is drawn along +x, runs mostly one way, and is close to odd about its middle frame, so that played backwards it is
clearly the opposite motion (no loops, no swinging in place).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .paths import TIME, Array

Family = Callable[[np.random.Generator], Array]
_MIDDLE = TIME - 0.5


def _sign(rng: np.random.Generator) -> float:
    return -1.0 if rng.random() < 0.5 else 1.0


def _walk(velocity: Array) -> Array:
    """The path (T, 2) that these velocities (T - 1, 2) make, each corner rounded over three frames."""
    padded = np.concatenate([velocity[:1], velocity, velocity[-1:]])
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return np.concatenate([np.zeros((1, 2)), np.cumsum(smooth, axis=0)])


def zigzag(rng: np.random.Generator) -> Array:
    """Three or four straight legs with sharp corners."""
    turns = rng.choice([1.0, 1.5])
    wave = np.arcsin(np.sin(2 * np.pi * turns * _MIDDLE)) * 2 / np.pi
    return np.stack([_MIDDLE, _sign(rng) * rng.uniform(0.14, 0.24) / turns * wave], -1)


def s_curve(rng: np.random.Generator) -> Array:
    """One turn to a side and one back."""
    return np.stack([_MIDDLE, _sign(rng) * rng.uniform(0.14, 0.22) * np.sin(2 * np.pi * _MIDDLE)], -1)


def hook(rng: np.random.Generator) -> Array:
    """A straight run that bends by 45 to 65 degrees near its end."""
    u = np.clip((TIME[:-1] - rng.uniform(0.35, 0.5)) / 0.4, 0, 1)
    heading = _sign(rng) * rng.uniform(0.75, 1.1) * u * u * (3 - 2 * u)
    return _walk(np.stack([np.cos(heading), np.sin(heading)], -1))


def staircase(rng: np.random.Generator) -> Array:
    """Five treads and risers in turn, the same seen from either end."""
    tread, riser = rng.uniform(0.9, 1.3), rng.uniform(0.7, 1.0) * _sign(rng)
    kind = np.array([0] * 4 + [1] * 3 + [0] * 2 + [1] * 3 + [0] * 4)
    return _walk(np.stack([np.where(kind == 0, tread, 0.25), np.where(kind == 1, riser, 0.0)], -1))


def accelerating(rng: np.random.Generator) -> Array:
    """A line that starts slowly and ends fast."""
    progress = TIME ** rng.uniform(1.8, 2.4)
    return np.stack([progress, _sign(rng) * rng.uniform(0.0, 0.12) * np.sin(np.pi * progress)], -1)


def skipping(rng: np.random.Generator) -> Array:
    """A stone skipping over water: low hops, each lower and shorter than the one before; upright."""
    decay = rng.uniform(0.55, 0.75)
    spans = np.sqrt(decay) ** np.arange(3)
    edges = np.concatenate([[0.0], np.cumsum(spans) / spans.sum()])
    hop = np.clip(np.searchsorted(edges, TIME, side="right") - 1, 0, 2)
    u = (TIME - edges[hop]) / (edges[hop + 1] - edges[hop])
    height = rng.uniform(0.10, 0.16) * decay**hop * 4 * u * (1 - u)
    return np.stack([_sign(rng) * _MIDDLE, -height + rng.uniform(-0.1, 0.1) * _MIDDLE], -1)


def wiggle(rng: np.random.Generator) -> Array:
    """Two small quick waves along a line."""
    return np.stack([_MIDDLE, _sign(rng) * rng.uniform(0.05, 0.08) * np.sin(4 * np.pi * _MIDDLE)], -1)


def chevron(rng: np.random.Generator) -> Array:
    """A shallow V: two straight legs."""
    return np.stack([_MIDDLE, _sign(rng) * rng.uniform(0.25, 0.4) * np.abs(_MIDDLE)], -1)


def pulses(rng: np.random.Generator) -> Array:
    """A line traveled in two bursts with a pause between them."""
    progress = TIME - rng.uniform(0.10, 0.14) * np.sin(4 * np.pi * TIME) / 2
    return np.stack([progress, _sign(rng) * rng.uniform(0.05, 0.15) * progress**2], -1)


def decelerating(rng: np.random.Generator) -> Array:
    """A line that starts fast and ends slowly."""
    return np.stack([1 - (1 - TIME) ** rng.uniform(1.8, 2.4), _sign(rng) * rng.uniform(0.0, 0.1) * TIME], -1)


BENCHMARK_PATHS: dict[str, Family] = {
    "zigzag": zigzag, "s_curve": s_curve, "hook": hook, "staircase": staircase, "accelerating": accelerating,
    "skipping": skipping,
}  # fmt: skip
TUNING_PATHS: dict[str, Family] = {
    "wiggle": wiggle, "chevron": chevron, "pulses": pulses, "decelerating": decelerating,
}  # fmt: skip
UPRIGHT = frozenset({"skipping"})  # not to be turned


def place(path: Array, heading: float, extent: float, middle: Array) -> Array:
    """The path turned to `heading` (radians), its larger extent made `extent`, its box centered at `middle`."""
    c, s = np.cos(heading), np.sin(heading)
    turned = path @ np.array([[c, s], [-s, c]])
    low, high = turned.min(0), turned.max(0)
    return np.asarray((turned - (low + high) / 2) * (extent / (high - low).max()) + middle)


def benchmark_camera(rng: np.random.Generator, planar: Array) -> Array:
    """A camera path (T, 4) along a placed path, in about half of them with a slow zoom ramp or a slow roll."""
    camera = np.zeros((len(TIME), 4))
    camera[:, :2] = planar
    if rng.random() < 0.6:
        camera[:, 2] = _sign(rng) * rng.uniform(0.08, 0.22) * _MIDDLE
    if rng.random() < 0.5:
        camera[:, 3] = _sign(rng) * rng.uniform(0.06, 0.16) * np.sin(np.pi * _MIDDLE)
    return camera
