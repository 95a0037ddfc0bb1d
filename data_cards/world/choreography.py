"""Choreographies of the benchmark's figures: sequences of key poses with travel, none of them periodic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .figures import JOINTS, FigureMotion
from .paths import TIME, Array


@dataclass(frozen=True)
class Key:
    """A pose at a time: joint angles by name (radians, `figures.JOINTS`), lift, spread, and share of the travel."""

    time: float
    pose: dict[str, float]
    travel: float
    lift: float = 0.0
    spread: float = 0.0


def _pose(
    arms: tuple[float, float, float, float], legs: tuple[float, float, float, float], lean: float = 0.0
) -> dict[str, float]:
    """arms: near and far shoulder, near and far elbow; legs: near and far hip, near and far knee."""
    names = ("near_shoulder", "far_shoulder", "near_elbow", "far_elbow", "near_hip", "far_hip", "near_knee", "far_knee")
    return {**dict(zip(names, (*arms, *legs), strict=True)), "lean": lean, "nod": 0.0}


_STAND = _pose((0.15, -0.15, 0.1, 0.1), (0.10, -0.10, 0.05, 0.05))
_FRONT = _pose((0.25, -0.25, 0.0, 0.0), (0.12, -0.12, 0.0, 0.0))

BENCHMARK_DANCES: dict[str, tuple[Key, ...]] = {
    "lunge_and_reach": (
        Key(0.0, _STAND, 0.0),
        Key(0.55, _pose((0.9, -0.5, 0.4, 0.3), (0.85, -0.55, 0.75, 0.25), 0.15), 0.55),
        Key(1.0, _pose((1.7, -0.9, 0.0, 0.1), (1.10, -0.80, 1.05, 0.20), 0.40), 1.0),
    ),
    "step_turn_wave": (
        Key(0.0, _STAND, 0.0),
        Key(0.35, _pose((0.2, 0.0, 0.2, 0.2), (0.45, -0.40, 0.10, 0.20), 0.05), 0.40, spread=0.2),
        Key(0.70, _pose((1.1, -0.2, 0.2, 0.0), (0.15, -0.15, 0.00, 0.00), 0.05), 0.72, spread=0.8),
        Key(1.0, _pose((2.0, -0.4, 0.3, 0.0), (0.20, -0.15, 0.00, 0.00)), 1.0, spread=1.0),
    ),
    "crouch_and_leap": (
        Key(0.0, _STAND, 0.0),
        Key(0.30, _pose((-0.6, -0.5, 0.2, 0.2), (0.80, 0.65, 1.30, 1.25), 0.40), 0.22),
        Key(0.68, _pose((2.3, 2.0, 0.2, 0.2), (0.60, -0.55, 0.20, 0.50), 0.15), 0.70, lift=0.16),
        Key(1.0, _pose((1.6, 1.3, 0.4, 0.3), (0.60, 0.20, 0.70, 0.50), 0.25), 1.0),
    ),
    "sweep_and_slide": (
        Key(0.0, _FRONT, 0.0, spread=1.0),
        Key(0.35, _pose((0.8, -0.5, 0.2, 0.0), (0.55, -0.10, 0.35, 0.00), 0.12), 0.35, spread=1.0),
        Key(0.65, _pose((1.6, -1.0, 0.1, -0.3), (0.10, -0.30, 0.00, -0.10)), 0.65, spread=1.0),
        Key(1.0, _pose((2.5, -1.5, 0.0, -0.6), (0.45, -0.35, 0.20, -0.15), 0.18), 1.0, spread=1.0),
    ),
    "high_step": (
        Key(0.0, _pose((-0.5, 0.5, 0.4, 0.4), (0.10, -0.10, 0.05, 0.05)), 0.0),
        Key(0.30, _pose((-0.7, 0.8, 0.5, 0.6), (1.15, -0.10, 1.20, 0.05), -0.02), 0.32),
        Key(0.60, _pose((0.2, -0.1, 0.5, 0.5), (0.40, -0.35, 0.10, 0.15), 0.08), 0.60),
        Key(1.0, _pose((0.8, -0.6, 0.7, 0.3), (-0.10, 1.05, 0.05, 1.00), 0.12), 1.0),
    ),
    "wind_up_and_throw": (
        Key(0.0, _pose((-0.5, 0.1, -0.2, 0.1), (0.20, -0.15, 0.10, 0.05), -0.10), 0.0),
        Key(0.35, _pose((-0.8, 0.5, -0.3, 0.3), (0.10, 0.05, 0.20, 0.30), -0.12), 0.32),
        Key(0.70, _pose((1.0, 0.2, 0.6, 0.4), (0.70, -0.45, 0.40, 0.10), 0.15), 0.72),
        Key(1.0, _pose((1.3, -0.4, 0.1, 0.3), (0.60, -0.60, 0.50, 0.30), 0.40), 1.0),
    ),
}
TUNING_DANCES: dict[str, tuple[Key, ...]] = {
    "march_and_salute": (
        Key(0.0, _STAND, 0.0),
        Key(0.40, _pose((0.6, -0.4, 0.1, 0.1), (-0.25, 0.45, 0.15, 0.10)), 0.42),
        Key(1.0, _pose((1.5, -0.2, 0.6, 0.1), (0.20, -0.25, 0.00, 0.05)), 1.0),
    ),
    "skate": (
        Key(0.0, _pose((-0.6, 0.5, 0.3, 0.3), (0.40, -0.30, 0.60, 0.20), 0.30), 0.0),
        Key(0.50, _pose((0.3, -0.4, 0.2, 0.3), (0.30, -0.90, 0.50, 0.10), 0.40), 0.50),
        Key(1.0, _pose((0.9, -1.1, 0.1, 0.2), (0.55, -0.50, 0.90, 0.40), 0.50), 1.0),
    ),
    "duck_under": (
        Key(0.0, _FRONT, 0.0, spread=1.0),
        Key(0.50, _pose((0.5, -0.6, 0.6, -0.6), (0.60, -0.50, 1.00, -0.90), 0.40), 0.50, spread=1.0),
        Key(1.0, _pose((1.3, -0.3, 0.3, 0.0), (0.30, -0.10, 0.10, 0.00), 0.15), 1.0, spread=1.0),
    ),
}


def perform(rng: np.random.Generator, keys: tuple[Key, ...]) -> FigureMotion:
    """One figure's performance of a choreography: poses, times and travel varied at random, to either side."""
    times = np.array([key.time for key in keys])
    times[1:-1] += rng.uniform(-0.05, 0.05, len(keys) - 2)
    poses = np.array([[key.pose[joint] for joint in JOINTS] for key in keys])
    poses += rng.normal(0.0, 0.07, poses.shape)
    move = FigureMotion.empty(1)
    move.angles[0] = _through(times, poses)
    move.spread[0] = _through(times, np.array([key.spread for key in keys]))
    move.lift[0] = np.clip(_through(times, np.array([key.lift for key in keys])), 0, None)
    move.facing[0] = -1.0 if rng.random() < 0.5 else 1.0
    length = rng.uniform(0.95, 1.2)
    share = _through(times, np.array([key.travel for key in keys]))
    move.travel[0] = move.facing[0] * ((share - 0.55) * length + rng.uniform(-0.05, 0.03))
    move.height[0] = rng.uniform(1.40, 1.60)
    move.floor[0] = move.height[0] * 0.46 + rng.uniform(0.0, 0.06)
    return move


def _through(times: Array, values: Array) -> Array:
    """Values at the frames' times, through the keys without overshoot (monotone cubic pieces)."""
    from scipy.interpolate import PchipInterpolator  # takes half a second to load: not where a world is only named

    return np.asarray(PchipInterpolator(times, values, axis=0)(TIME))
