"""Trajectory error: how far the generated things are from where the ground truth has them."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from scipy.optimize import linear_sum_assignment

from motionbench import registry
from motionbench.errors import MissingInputError, UnknownNameError
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample
from motionbench.tracks import Tracks, grid_queries

from . import track_matching as tm
from .motion_parts import motion_to_parts
from .track_matching import Array, Motion

_GRID = 32  # true points per side: they cost nothing
_LEVEL = 1  # of motion_parts.LINKS


def thing_courses(motion: Motion) -> list[Array]:
    """The course (T, 2) of each moving thing's center in the frame, in diagonals, largest thing first.

    A thing's center starts at the mean place of its tracks and moves by their mean step: a track that is hidden for a
    while, or seen at one end only, cannot make it jump.
    """
    courses = []
    for group in motion_to_parts(motion)[_LEVEL].groups:
        points, weights = motion.points[group.index], motion.weights[group.index]
        steps = (np.diff(points, axis=1) * weights[..., None]).sum(0) / np.maximum(weights.sum(0), 1)[:, None]
        start = points[:, 0].mean(axis=0)
        courses.append(np.concatenate([start[None], start + np.cumsum(steps, axis=0)]))
    return courses


def course_errors(generated: list[Array], reference: list[Array]) -> tuple[list[float], list[float]]:
    """Mean distance of each reference course (T, 2) to its partner, and the same after aligning their starts.

    Partners are assigned for the least sum; a reference without partner is measured against standing at its start.
    """
    cost = np.array([[_distance(g, r) for g in generated] for r in reference]).reshape(len(reference), len(generated))
    rows, columns = linear_sum_assignment(cost)
    partner = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    placed, aligned = [], []
    for i, course in enumerate(reference):
        other = generated[partner[i]] if i in partner else np.repeat(course[:1], len(course), axis=0)
        placed.append(_distance(other, course))
        aligned.append(_distance(other - other[0], course - course[0]))
    return placed, aligned


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b, axis=-1).mean())


class TrajectoryError:
    """Mean distance of generated things to the true paths, in percent of the diagonal; on splits with ground truth."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="trajectory_error",
        version=1,
        unit="% of diagonal",
        range=(0.0, None),
        better="lower",
        source="this project; as Move-Bench's trajectory error, with exact ground truth",
        summary="distance of each moving thing to where the ground truth has it; place counts here",
        measures="motion",
    )

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        truth = _true_tracks(sample)
        if isinstance(truth, str):
            return Measurement(None, truth)
        generated = tm.tracks_to_motion(sample.tracks(sample.generated))
        reference = tm.tracks_to_motion(truth)
        frames = min(generated.points.shape[1], reference.points.shape[1])
        wanted = thing_courses(tm.resample_motion(reference, frames))
        if not wanted:
            return Measurement(None, "nothing moves by itself in the reference")
        placed, aligned = course_errors(thing_courses(tm.resample_motion(generated, frames)), wanted)
        details = {"things": len(wanted), "aligned_at_start": round(100 * float(np.mean(aligned)), 4)}
        return Measurement(100 * float(np.mean(placed)), "", details)


def _true_tracks(sample: Sample) -> Tracks | str:
    """The reference's true tracks, or why there are none."""
    if sample.reference.path is None:
        return "no ground truth: the reference has no file"
    try:
        world = registry.load("worlds", "procedural")()
        queries = grid_queries(world.height, world.width, _GRID)
        tracks: Tracks = world.true_tracks(sample.reference.path, queries)
    except (MissingInputError, UnknownNameError) as error:
        return f"no ground truth: {error}"
    return tracks
