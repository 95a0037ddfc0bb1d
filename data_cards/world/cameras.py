"""Training paths of the camera: named moves, and random smooth ones captioned only as moving."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .paths import TIME, Array, arc, fourier, spline

SHIFTS = {"pans left": (-1, 0), "pans right": (1, 0), "tilts up": (0, -1), "tilts down": (0, 1)}
ZOOMS = {"zooms in": 1.0, "zooms out": -1.0}
ROLLS = {"rolls left": 1.0, "rolls right": -1.0}  # a camera that rolls left sees the scene turn clockwise
ORBITS = {"orbits left": -1.0, "orbits right": 1.0}
_CHOICES = [
    *[(name, 0.11) for name in SHIFTS],
    *[(name, 0.09) for name in ZOOMS],
    *[(name, 0.06) for name in ROLLS],
    *[(name, 0.07) for name in ORBITS],
    ("shakes", 0.06),
    ("pan and zoom", 0.06),
]


def _ramp(rng: np.random.Generator) -> Array:
    return TIME - 0.5 + rng.uniform(-0.5, 0.5) * TIME * (1 - TIME)


def _jitter(rng: np.random.Generator, amount: float) -> Array:
    """Handheld shake (T,): three quick waves of random phase."""
    rates, phases = rng.uniform(1.5, 4.5, 3), rng.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * rates[:, None] * TIME + phases[:, None])
    return np.asarray(amount * (waves * rng.uniform(0.4, 1.0, (3, 1))).sum(0) / 1.7)


def named_camera(rng: np.random.Generator) -> tuple[Array, str, bool]:
    """One named move: camera (T, 4) = x, y, log zoom, roll; its words; whether it orbits (subjects stay in view)."""
    names = [name for name, _ in _CHOICES]
    words = names[rng.choice(len(names), p=[share for _, share in _CHOICES])]
    path = np.zeros((len(TIME), 4))
    if words == "pan and zoom":
        shift, zoom = list(SHIFTS)[rng.integers(4)], list(ZOOMS)[rng.integers(2)]
        words = f"{shift} and {zoom}"
    for name, direction in SHIFTS.items():
        if name in words:
            path[:, :2] += np.array(direction) * rng.uniform(0.6, 1.4) * _ramp(rng)[:, None]
    for name, sign in ZOOMS.items():
        if name in words:
            path[:, 2] += sign * rng.uniform(0.35, 0.75) * _ramp(rng) + rng.uniform(-0.05, 0.15)
    if words in ROLLS:
        path[:, 3] = ROLLS[words] * rng.uniform(0.5, 1.1) * _ramp(rng)
    if words in ORBITS:
        path[:, 0] = ORBITS[words] * rng.uniform(0.7, 1.4) * _ramp(rng)
        path[:, 1] = rng.uniform(-0.25, 0.25) * (4 * TIME * (1 - TIME) - 0.5)
        path[:, 2] = rng.uniform(-0.15, 0.15) * (4 * TIME * (1 - TIME) - 0.5)
    if words == "shakes":
        amount = rng.uniform(0.05, 0.11)
        path[:, :2] = np.stack([_jitter(rng, amount), _jitter(rng, amount)], -1)
        path[:, 3] = _jitter(rng, amount * 0.4)
    return path, words, words in ORBITS


def random_cameras(rng: np.random.Generator, count: int) -> Array:
    """Random smooth camera paths (count, T, 4): planar, and in part with slow zoom, slow roll and handheld shake."""
    pick = rng.integers(0, 3, count)
    planar = np.where(
        (pick == 0)[:, None, None],
        fourier(rng, count),
        np.where((pick == 1)[:, None, None], spline(rng, count), arc(rng, count)),
    )
    path = np.concatenate([planar * rng.uniform(0.5, 1.0, (count, 1, 1)), np.zeros((count, len(TIME), 2))], -1)
    for channel, amount in ((2, 0.30), (3, 0.35)):
        phase, rate = rng.uniform(0, 2 * np.pi, (count, 1)), rng.uniform(0.3, 1.0, (count, 1))
        wave = rng.uniform(0, amount, (count, 1)) * np.sin(2 * np.pi * rate * TIME + phase)
        path[..., channel] = wave * (rng.random((count, 1)) < 0.5)
    for row in np.flatnonzero(rng.random(count) < 0.2):
        path[row, :, 0] += _jitter(rng, 0.04)
        path[row, :, 1] += _jitter(rng, 0.04)
        path[row, :, 3] += _jitter(rng, 0.02)
    return path


def drifts(rng: np.random.Generator, moving: NDArray[np.bool_]) -> Array:
    """Gentle camera drift (M, T, 4) for clips about something else; zero where `moving` (M,) is false."""
    path = np.zeros((len(moving), len(TIME), 4))
    path[..., :2] = arc(rng, len(moving)) * 0.3
    path[..., :2] -= path[..., :2].mean(1, keepdims=True)
    return path * moving[:, None, None]
