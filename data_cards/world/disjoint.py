"""Disjointness: the proof that no benchmark or tuning motion is one that training clips are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .actions import ACTIONS, figure_motion, random_articulation
from .benchmark_paths import BENCHMARK_PATHS, TUNING_PATHS
from .choreography import BENCHMARK_DANCES, TUNING_DANCES
from .figures import FigureMotion, joint_positions
from .paths import NAMED, UNNAMED, Array, object_motion
from .training import NAMED_SHARE, draw_training
from .truth import Truth


def families() -> dict[str, dict[str, Any]]:
    """The motion families by purpose: name -> what draws it."""
    return {
        "training": {
            **{name: draw for name, (draw, _) in (NAMED | UNNAMED).items()},
            **ACTIONS,
            "random_articulation": random_articulation,
        },
        "benchmark": {**BENCHMARK_PATHS, **BENCHMARK_DANCES},
        "tuning": {**TUNING_PATHS, **TUNING_DANCES},
    }


def shared_families() -> list[str]:
    """Families, by name or by the function or poses that draw them, held for two purposes; must be empty."""
    known: dict[Any, str] = {}
    shared = set()
    for purpose, group in families().items():
        for name, draw in group.items():
            for key in (name, draw if callable(draw) else repr(draw)):
                if known.setdefault(key, purpose) != purpose:
                    shared.add(name)
    return sorted(shared)


def nearest_training(truths: list[Truth], count: int, seed: int = 0) -> dict[str, float]:
    """For each reference, its distance to the nearest of `count` training motions of its category, half frames.

    The distance is the root mean square over frames (and joints) after both motions are centered, so that place does
    not count; several objects: the least of their distances; camera: position, log zoom and roll in one vector.
    """
    nearest = {}
    for category in sorted({truth.category for truth in truths}):
        rng = np.random.default_rng(seed)
        training = _center(_TRAINING[category](rng, count))
        for truth in (t for t in truths if t.category == category):
            course = _center(_own_motion(truth))
            nearest[truth.name] = min(_least_distance(path, training) for path in course)
    return nearest


def _center(motion: Array) -> Array:
    """Motions (M, T, P, D) without their mean place."""
    return np.asarray(motion - motion.mean(axis=(1, 2), keepdims=True))


def _least_distance(path: Array, training: Array) -> float:
    square = ((training - path) ** 2).sum(-1).mean(axis=(1, 2))
    return float(np.sqrt(square.min()))


def _objects(rng: np.random.Generator, count: int) -> Array:
    return object_motion(rng, rng.random(count) < NAMED_SHARE).center[:, :, None]


def _cameras(rng: np.random.Generator, count: int) -> Array:
    return draw_training(rng, "camera", count).camera[:, :, None]


def _figures(rng: np.random.Generator, count: int) -> Array:
    return _body(figure_motion(rng, rng.random(count) < NAMED_SHARE))


def _body(motion: FigureMotion) -> Array:
    motion.height = np.full_like(motion.height, 1.5)  # size is not motion
    return joint_positions(motion)


_TRAINING: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "single_object": _objects, "multi_object": _objects, "camera": _cameras, "human": _figures,
}  # fmt: skip


def _own_motion(truth: Truth) -> Array:
    if truth.category == "human":
        return _body(truth.figure_motion())
    if truth.category == "camera":
        return truth.motion["camera"][None, :, None]
    return truth.object_motion().center[:, :, None]
