"""What tracks tell besides likeness: how fast, how smooth and how much things move, each beside the reference."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np

from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

from . import track_matching as tm
from .track_matching import MOVING_RANGE, Motion

_JERK_NOISE = 5e-4  # diagonals per frame cubed: what good trackers' own jitter amounts to on small clips
_FASTEST = 0.05  # of the tracks, by VBench's dynamic degree
_VBENCH_PIXELS = 6 / 256  # of the shorter side per frame at 8 fps: VBench's threshold for a moving pair of frames


def median_path_length(motion: Motion) -> float:
    """Median length of the moving tracks' paths, in diagonals; 0 if nothing moves."""
    moving = tm.moving(motion)
    return float(np.median(np.linalg.norm(moving.steps, axis=-1).sum(1))) if len(moving.points) else 0.0


def jerk(motion: Motion) -> float | None:
    """Root mean square third difference over time of all tracks, in diagonals; None if no track is seen for four
    frames."""
    if motion.points.shape[1] < 4:
        return None
    third = np.diff(motion.steps, n=2, axis=1)
    seen = motion.weights[:, 2:] * motion.weights[:, 1:-1] * motion.weights[:, :-2]
    if not seen.any():
        return None
    return float(np.sqrt(((third**2).sum(-1) * seen).sum() / seen.sum()))


def top_speeds(motion: Motion) -> list[float]:
    """Per step the mean speed of the fastest 5% of the tracks seen, in diagonals per frame."""
    speed = np.linalg.norm(motion.steps, axis=-1)
    speeds = []
    for t in range(speed.shape[1]):
        seen = np.sort(speed[motion.weights[:, t] > 0, t])
        if len(seen):
            speeds.append(float(seen[-max(1, round(_FASTEST * len(seen))) :].mean()))
    return speeds


def speed_ratio(generated: Motion, reference: Motion) -> float | None:
    """log2 of the median path lengths, generated over reference; None if nothing moves in the reference.

    Where nothing moves in the generated clip its length is taken as MOVING_RANGE, the least that counts as motion.
    """
    length = median_path_length(reference)
    return float(np.log2(max(median_path_length(generated), MOVING_RANGE) / length)) if length else None


def motion_smoothness(generated: Motion, reference: Motion) -> float | None:
    """log2 of the jerks, generated over reference, each above trackers' own noise; None if either has none."""
    made, true = jerk(generated), jerk(reference)
    return None if made is None or true is None else float(np.log2((made + _JERK_NOISE) / (true + _JERK_NOISE)))


def dynamic_degree(motion: Motion) -> float | None:
    """Mean over steps of `top_speeds`, in percent of the diagonal per frame; None if no step is seen."""
    speeds = top_speeds(motion)
    return 100 * float(np.mean(speeds)) if speeds else None


class _TrackMetric:
    """What these metrics share: the motions of both clips."""

    info: ClassVar[MetricInfo]

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def motions(self, sample: Sample) -> tuple[Motion, Motion]:
        """Generated and reference."""
        generated, reference = (sample.tracks(clip) for clip in (sample.generated, sample.reference))
        return tm.tracks_to_motion(generated), tm.tracks_to_motion(reference)


class SpeedRatio(_TrackMetric):
    """How far moving things go, against the reference: log2 of the median path lengths, 0 is ideal, -1 half as far."""

    info = MetricInfo(
        name="speed_ratio",
        version=1,
        unit="octaves",
        range=(None, None),
        better="zero",
        source="this project: what cosines of directions leave out",
        summary="log2 of the path length of moving tracks over the reference's; 0 is ideal",
        measures="motion",
        faults=("path_scaled", "partly_frozen"),
    )

    def measure(self, sample: Sample) -> Measurement:
        motions = self.motions(sample)
        value = speed_ratio(*motions)
        if value is None:
            return Measurement(None, "static reference")
        generated, reference = map(median_path_length, motions)
        note = "" if generated else f"nothing moves: taken as {MOVING_RANGE} of the diagonal, the least that counts"
        return Measurement(value, note, {"path_lengths": [round(generated, 5), round(reference, 5)]})


class MotionSmoothness(_TrackMetric):
    """Jerk of the tracks against the reference's, as log2 of their ratio: 0 is ideal, above 0 is shakier."""

    info = MetricInfo(
        name="motion_smoothness",
        version=1,
        unit="octaves",
        range=(None, None),
        better="zero",
        source="this project: VBench's interpolation error rewards stillness, a ratio to the reference does not",
        summary="log2 of the tracks' jerk over the reference's; 0 is ideal, above 0 is shakier",
        measures="motion",
        faults=("path_noise",),
    )

    def measure(self, sample: Sample) -> Measurement:
        motions = self.motions(sample)
        value = motion_smoothness(*motions)
        if value is None:
            return Measurement(None, "no track is seen for four frames on end")
        return Measurement(value, "", {"jerk": [round(rough, 6) for m in motions if (rough := jerk(m)) is not None]})


class DynamicDegree(_TrackMetric):
    """How much moves: mean speed of the fastest 5% of tracks, percent of the diagonal per frame; needs no reference."""

    info = MetricInfo(
        name="dynamic_degree",
        version=1,
        unit="% of diagonal per frame",
        range=(0.0, None),
        better="none",
        source="VBench, dynamic_degree.py, with tracks for optical flow and the value itself for its yes or no",
        summary="speed of the fastest 5% of tracks; compare with the reference's in the details, more is not better",
        measures="motion",
        faults=("path_scaled", "partly_frozen"),
    )

    def measure(self, sample: Sample) -> Measurement:
        generated, reference = self.motions(sample)
        value, speeds = dynamic_degree(generated), top_speeds(generated)
        if value is None:
            return Measurement(None, "no track is seen for two frames on end")
        threshold = _VBENCH_PIXELS * min(generated.size) * 8 / sample.generated.fps
        fast = sum(speed > threshold for speed in speeds)
        of_reference = dynamic_degree(reference)
        details = {
            "reference": None if of_reference is None else round(of_reference, 4),
            "vbench_dynamic": fast >= max(1, round(4 * len(speeds) / 16)),
        }
        return Measurement(value, "", details)
