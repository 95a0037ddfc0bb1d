"""Training motions of figures: named actions, and random smooth articulation captioned only as moving."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .figures import (
    FAR_ELBOW,
    FAR_HIP,
    FAR_KNEE,
    FAR_SHOULDER,
    LEAN,
    NEAR_ELBOW,
    NEAR_HIP,
    NEAR_KNEE,
    NEAR_SHOULDER,
    NOD,
    FigureMotion,
)
from .paths import TIME, Array, arc, fourier, spline

Draw = Callable[[float, float], Array]


def _draw(rng: np.random.Generator, count: int) -> Draw:
    return lambda low, high: rng.uniform(low, high, (count, 1))


def _phase(rng: np.random.Generator, count: int, low: float, high: float) -> Array:
    """Phase (count, T) in radians of a movement repeated low to high times in the clip."""
    return np.asarray(2 * np.pi * (rng.uniform(low, high, (count, 1)) * TIME + rng.random((count, 1))))


def _gait(move: FigureMotion, phase: Array, draw: Draw, stride: tuple[float, float], bend: tuple[float, float]) -> None:
    swing, knee, arm, elbow = draw(*stride), draw(*bend), draw(*stride), draw(0.2, 1.2)
    for hip, joint, shoulder, forearm, sign in (
        (NEAR_HIP, NEAR_KNEE, FAR_SHOULDER, FAR_ELBOW, 1.0),
        (FAR_HIP, FAR_KNEE, NEAR_SHOULDER, NEAR_ELBOW, -1.0),
    ):
        move.angles[..., hip] = swing * sign * np.sin(phase)
        move.angles[..., joint] = knee * np.clip(sign * np.cos(phase), 0, None) + 0.08
        move.angles[..., shoulder] = arm * sign * np.sin(phase)
        move.angles[..., forearm] = elbow


def walking(rng: np.random.Generator, count: int) -> FigureMotion:
    """Strides in profile."""
    move = FigureMotion.empty(count)
    draw = _draw(rng, count)
    _gait(move, _phase(rng, count, 1.4, 2.2), draw, (0.40, 0.60), (0.4, 0.7))
    move.angles[..., LEAN] = draw(-0.02, 0.12)
    return move


def running(rng: np.random.Generator, count: int) -> FigureMotion:
    """Fast wide strides in profile, leaning forward, with a flight in each."""
    move = FigureMotion.empty(count)
    draw = _draw(rng, count)
    phase = _phase(rng, count, 2.2, 3.0)
    _gait(move, phase, draw, (0.70, 0.95), (1.0, 1.5))
    move.angles[..., NEAR_ELBOW] += 0.7
    move.angles[..., FAR_ELBOW] += 0.7
    move.angles[..., LEAN] = draw(0.15, 0.32)
    move.lift = draw(0.03, 0.06) * (1 + np.cos(2 * phase)) / 2
    return move


def waving(rng: np.random.Generator, count: int) -> FigureMotion:
    """One or both arms raised, the forearms swinging."""
    move = _front(rng, count)
    draw = _draw(rng, count)
    wave = draw(0.5, 0.8) * np.sin(_phase(rng, count, 2.0, 3.0))
    both = rng.random((count, 1)) < 0.4
    move.angles[..., NEAR_SHOULDER] = draw(1.8, 2.3)
    move.angles[..., NEAR_ELBOW] = 0.5 + wave
    move.angles[..., FAR_SHOULDER] = np.where(both, -draw(1.8, 2.3), -0.2)
    move.angles[..., FAR_ELBOW] = np.where(both, -0.5 - wave, -0.1)
    return move


def jumping(rng: np.random.Generator, count: int) -> FigureMotion:
    """Jumps with bent knees between them; the arms fly up."""
    move = _front(rng, count)
    draw = _draw(rng, count)
    beat = np.sin(_phase(rng, count, 1.3, 2.2))
    up, crouch = np.clip(beat, 0, None), np.clip(-beat, 0, None)
    move.lift = draw(0.14, 0.24) * up
    _bend_knees(move, draw(0.7, 1.0) * crouch)
    move.angles[..., NEAR_SHOULDER] = 0.3 + draw(1.4, 2.2) * up
    move.angles[..., FAR_SHOULDER] = -move.angles[..., NEAR_SHOULDER]
    return move


def squatting(rng: np.random.Generator, count: int) -> FigureMotion:
    """Knee bends with the arms held out."""
    move = _front(rng, count)
    draw = _draw(rng, count)
    _bend_knees(move, draw(1.0, 1.3) * (1 - np.cos(_phase(rng, count, 0.9, 1.6))) / 2)
    move.angles[..., NEAR_SHOULDER] = draw(0.9, 1.6)
    move.angles[..., FAR_SHOULDER] = -move.angles[..., NEAR_SHOULDER]
    return move


def kicking(rng: np.random.Generator, count: int) -> FigureMotion:
    """The near leg kicks forward and swings back, in profile."""
    move = FigureMotion.empty(count)
    draw = _draw(rng, count)
    beat = np.sin(_phase(rng, count, 1.2, 1.9))
    move.angles[..., NEAR_HIP] = draw(0.9, 1.4) * np.clip(beat, -0.35, None)
    move.angles[..., NEAR_KNEE] = draw(0.6, 1.0) * np.clip(-beat, 0, None) + 0.1
    move.angles[..., FAR_HIP] = -0.1
    move.angles[..., LEAN] = -0.18 * np.clip(beat, 0, None)
    move.angles[..., NEAR_SHOULDER] = -draw(0.3, 0.8) * beat
    move.angles[..., FAR_SHOULDER] = draw(0.3, 0.8) * beat
    move.angles[..., NEAR_ELBOW] = move.angles[..., FAR_ELBOW] = 0.5
    return move


def dancing(rng: np.random.Generator, count: int) -> FigureMotion:
    """Hips sway, knees bend in turn, both arms swing overhead and down, on one beat."""
    move = _front(rng, count)
    draw = _draw(rng, count)
    phase = _phase(rng, count, 1.5, 2.3)
    beat, half = np.sin(phase), np.sin(phase / 2 + draw(0, 6.28))
    move.angles[..., LEAN] = draw(0.12, 0.28) * beat
    move.angles[..., NOD] = -0.2 * beat
    move.angles[..., NEAR_SHOULDER] = 1.5 + draw(0.5, 0.9) * half
    move.angles[..., FAR_SHOULDER] = -1.5 + draw(0.5, 0.9) * half
    move.angles[..., NEAR_ELBOW] = draw(0.4, 0.9) * beat
    move.angles[..., FAR_ELBOW] = draw(0.4, 0.9) * beat
    for hip, knee, sign in ((NEAR_HIP, NEAR_KNEE, 1.0), (FAR_HIP, FAR_KNEE, -1.0)):
        lift = draw(0.5, 0.9) * np.clip(sign * beat, 0, None)
        move.angles[..., hip] += sign * lift
        move.angles[..., knee] += sign * lift * 1.6
    move.travel = draw(0.03, 0.10) * beat
    return move


def _front(rng: np.random.Generator, count: int) -> FigureMotion:
    """Standing, facing the camera, legs slightly apart."""
    move = FigureMotion.empty(count)
    move.spread += 1.0
    apart = rng.uniform(0.05, 0.2, (count, 1))
    move.angles[..., NEAR_HIP], move.angles[..., FAR_HIP] = apart, -apart
    move.angles[..., NEAR_SHOULDER], move.angles[..., FAR_SHOULDER] = apart + 0.1, -apart - 0.1
    return move


def _bend_knees(move: FigureMotion, amount: Array) -> None:
    """Lower a figure that faces the camera: thighs outward, shins back under the knees."""
    for hip, knee, sign in ((NEAR_HIP, NEAR_KNEE, 1.0), (FAR_HIP, FAR_KNEE, -1.0)):
        move.angles[..., hip] += sign * amount
        move.angles[..., knee] += sign * amount * 1.7


def _slow_waves(rng: np.random.Generator, count: int, joints: int) -> Array:
    """Random smooth curves (count, T, joints) of about unit size: three slow waves of random rate and phase."""
    rate = rng.uniform(0.2, 1.3, (count, 1, joints, 3))
    phase = rng.uniform(0, 2 * np.pi, (count, 1, joints, 3))
    size = rng.uniform(0.2, 1.0, (count, 1, joints, 3))
    return np.asarray((size * np.sin(2 * np.pi * rate * TIME[:, None, None] + phase)).sum(-1) / 1.2)


def random_articulation(rng: np.random.Generator, count: int) -> FigureMotion:
    """Random smooth joint curves around a random stance, with a random sideways path."""
    move = FigureMotion.empty(count)
    draw = _draw(rng, count)
    front = rng.random((count, 1)) < 0.5
    move.spread = np.where(front, 1.0, 0.0) * np.ones_like(TIME)
    amount = np.array([0.18, 0.15, 0.9, 0.9, 0.6, 0.6, 0.45, 0.45, 0.4, 0.4])
    move.angles = _slow_waves(rng, count, len(amount)) * amount * rng.uniform(0.4, 1.1, (count, 1, 1))
    outward = np.where(front, draw(0.2, 1.4), draw(-0.4, 0.4))
    move.angles[..., NEAR_SHOULDER] += outward
    move.angles[..., FAR_SHOULDER] -= outward
    move.angles[..., NEAR_HIP] += 0.15
    move.angles[..., FAR_HIP] -= 0.15
    for knee, sign in ((NEAR_KNEE, 1.0), (FAR_KNEE, np.where(front, -1.0, 1.0))):
        move.angles[..., knee] = sign * np.abs(move.angles[..., knee]) * 1.5
    pick = rng.integers(0, 3, (count, 1, 1))
    path = np.where(pick == 0, fourier(rng, count), np.where(pick == 1, spline(rng, count), arc(rng, count)))
    move.travel = path[..., 0] * rng.uniform(0.0, 1.0, (count, 1)) ** 0.5
    move.lift = np.clip(-path[..., 1], 0, None) * 0.16 * (rng.random((count, 1)) < 0.5)
    return move


ACTIONS: dict[str, Callable[[np.random.Generator, int], FigureMotion]] = {
    "walking": walking, "running": running, "waving": waving, "jumping": jumping, "squatting": squatting,
    "kicking": kicking, "dancing": dancing,
}  # fmt: skip
_TRAVELS = {
    "walking": (0.6, 1.2),
    "running": (0.9, 1.5),
    "jumping": (0.4, 0.9),
    "dancing": (0.3, 0.7),
    "kicking": (0.3, 0.6),
}


def figure_motion(rng: np.random.Generator, named: NDArray[np.bool_]) -> FigureMotion:
    """Training motions of M figures: named actions, in part with travel, where `named` (M,) holds, else random ones."""
    count = len(named)
    move = random_articulation(rng, count)
    move.facing = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    move.height = rng.uniform(1.40, 1.70, count)
    move.floor = move.height * 0.46 + rng.uniform(0.0, 0.06, count)
    pick = rng.choice(len(ACTIONS), count, p=[0.24, 0.16, 0.12, 0.12, 0.12, 0.12, 0.12])
    for i, (name, draw) in enumerate(ACTIONS.items()):
        rows = np.flatnonzero(named & (pick == i))
        part = draw(rng, len(rows))
        move.angles[rows], move.spread[rows] = part.angles, part.spread
        travels = rng.random(len(rows)) < (0.75 if name in ("walking", "running") else 0.4 if name in _TRAVELS else 0.0)
        length = rng.uniform(*_TRAVELS.get(name, (0.0, 0.0)), len(rows)) * travels * move.facing[rows]
        start = -length / 2 + rng.uniform(-0.15, 0.15, len(rows))
        move.travel[rows] = part.travel + start[:, None] + length[:, None] * TIME
        move.lift[rows] = part.lift
        for row, goes in zip(rows, travels, strict=True):
            side = "right" if move.facing[row] > 0 else "left"
            move.words[row] = f"{name} to the {side}" if goes else name
    return move
