"""The field's motion fidelities as they are, for comparison with published tables; prefer `motion_fidelity`."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ShapeError
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample
from motionbench.tracks import Tracks

Array = NDArray[np.float64]


def unit_steps(points: Array) -> tuple[Array, int]:
    """Directions of step (N, T-1, 2) of tracks (N, T, 2), and how many steps have none (exactly still: left at 0)."""
    steps = np.diff(points, axis=1)
    length = np.linalg.norm(steps, axis=-1, keepdims=True)
    still = int((length == 0).sum())
    return np.divide(steps, length, out=np.zeros_like(steps), where=length > 0), still


def step_correlation(a: Array, b: Array) -> Array:
    """(N, M) mean over steps of inner products of vectors (N, S, C) and (M, S, C). Raises ShapeError if S differs."""
    if a.shape[1:] != b.shape[1:]:
        raise ShapeError(f"tracks must have the same number of steps, got {a.shape[1]} and {b.shape[1]}")
    correlation: Array = a.reshape(len(a), -1) @ b.reshape(len(b), -1).T / a.shape[1]
    return correlation


def smm_fidelity(generated: Array, reference: Array) -> tuple[float, int]:
    """The formula of the SMM paper on tracks (N, T, 2) and (M, T, 2), in [-1, 1], and the number of still steps.

    Each track's best direction match in the other clip, averaged over both clips' tracks. The paper writes the sum of
    the two means; this is their mean, so that identical clips score 1. A still step, whose direction the paper leaves
    open, counts 0. Source: Yatim et al., arXiv:2311.17009, Section 5.1. All tracks count, hidden or not, moving or not.
    """
    (a, still_a), (b, still_b) = unit_steps(generated), unit_steps(reference)
    s = step_correlation(a, b)
    return float((s.max(1).mean() + s.max(0).mean()) / 2), still_a + still_b


def released_fidelity(generated: Array, reference: Array) -> tuple[float, int]:
    """The script released with SMM, to the letter, on tracks (N, T, 2) each, and the number of still steps.

    Best match of each generated track among the reference's, after the identity has been subtracted from the matrix: a
    track may not match its own place, so that two identical clips score below 1. One way only. A still step is NaN in
    the script and then so is its score; here it counts 0 and is reported.
    Source: diffusion-motion-transfer, motion_fidelity_score.py, lines 13-39. Raises ShapeError if the numbers of tracks
    differ, where the script fails too.
    """
    if generated.shape != reference.shape:
        raise ShapeError(
            f"the script takes equally many tracks and frames, got {generated.shape} and {reference.shape}"
        )
    (a, still_a), (b, still_b) = unit_steps(generated), unit_steps(reference)
    s = step_correlation(a, b) - np.eye(len(a))
    return float(s.max(1).mean()), still_a + still_b


def det_vectors(points: Array, height: int, width: int) -> tuple[Array, int]:
    """DeT's description (N, T, 2) of tracks: first place, then steps, in shares of the frame, each of length 1."""
    scaled = points / np.array([width, height])
    vectors = np.concatenate([scaled[:, :1], np.diff(scaled, axis=1)], axis=1)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), int((length == 0).sum())


def det_fidelity(generated: Tracks, reference: Tracks) -> tuple[float, int]:
    """DeT's cosine score, in [-1, 1], and the number of still steps (0 here, NaN in the script).

    Best match of each generated track; the first *position* takes part as if it were a velocity, which adds up to 1/T.
    The longer clip is sampled at evenly spaced frames. Source: DeT, evaluation.py, lines 55-86.
    """
    frames = min(generated.points.shape[1], reference.points.shape[1])
    (a, still_a), (b, still_b) = (
        det_vectors(_take(t.points.astype(np.float64), frames), t.height, t.width) for t in (generated, reference)
    )
    return float(step_correlation(a, b).max(1).mean()), still_a + still_b


def det_frechet(a: Array, b: Array) -> float:
    """DeT's optional second score of two tracks (T, 2), 1 / (1 + mean distance over all pairs of frames), in (0, 1].

    Not offered as a metric: not a Frechet distance, blind to order (a track fits its own reversal as well as itself),
    and below 1 for a track against itself. Source: DeT, evaluation.py, lines 23-24.
    """
    distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return float(1 / (1 + distance.mean()))


def _take(points: Array, frames: int) -> Array:
    index = np.linspace(0, points.shape[1] - 1, frames).astype(int)
    taken: Array = points[:, index]
    return taken


class _Legacy:
    """What the legacy metrics share: no tracks or no steps is a null, still steps are reported."""

    info: ClassVar[MetricInfo]

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        generated, reference = sample.tracks(sample.generated), sample.tracks(sample.reference)
        if not len(generated.points) or not len(reference.points):
            return Measurement(None, "no tracks")
        if min(generated.points.shape[1], reference.points.shape[1]) < 2:
            return Measurement(None, "one frame has no motion")
        try:
            value, still = self.formula(generated, reference)
        except ShapeError as error:
            return Measurement(None, str(error))
        note = f"the original gives NaN: {still} steps are exactly still" if still else ""
        return Measurement(value, note, {"still_steps": still})

    def formula(self, generated: Tracks, reference: Tracks) -> tuple[float, int]:
        raise NotImplementedError


class MotionFidelitySmm(_Legacy):
    """Motion fidelity by the SMM paper's formula (both ways, no identity term); for comparison with papers only."""

    info = MetricInfo(
        name="motion_fidelity_smm",
        version=1,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="Yatim et al., arXiv:2311.17009, Section 5.1",
        summary="mean best direction match of all tracks, both ways; a frozen clip scores far above 0",
        measures="motion",
        title="Motion fidelity (SMM)",
    )

    def formula(self, generated: Tracks, reference: Tracks) -> tuple[float, int]:
        return smm_fidelity(generated.points.astype(np.float64), reference.points.astype(np.float64))


class MotionFidelityReleased(_Legacy):
    """Motion fidelity by the script released with SMM, identity term and all; for comparison with papers only."""

    info = MetricInfo(
        name="motion_fidelity_released",
        version=1,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="diffusion-motion-transfer, motion_fidelity_score.py, lines 13-39 (copied in DiTFlow and others)",
        summary="the released script: one way only, a perfect copy scores below 1, camera drift is rewarded",
        measures="motion",
        title="Motion fidelity (released)",
    )

    def formula(self, generated: Tracks, reference: Tracks) -> tuple[float, int]:
        return released_fidelity(generated.points.astype(np.float64), reference.points.astype(np.float64))


class MotionFidelityDet(_Legacy):
    """Motion fidelity by DeT's cosine (first position counted as a step); for comparison with papers only."""

    info = MetricInfo(
        name="motion_fidelity_det",
        version=1,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="DeT, evaluation.py, lines 55-86",
        summary="mean best match of positions-and-steps, generated to reference only",
        measures="motion",
        title="Motion fidelity (DeT)",
    )

    def formula(self, generated: Tracks, reference: Tracks) -> tuple[float, int]:
        return det_fidelity(generated, reference)
