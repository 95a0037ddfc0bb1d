"""Motion fidelity, the headline: does the clip move as the reference does, camera with camera and thing with thing?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

from . import track_matching as tm
from .camera_motion import fit_camera
from .motion_comparison import Part, Reading, compare_motions
from .motion_field import motion_to_field
from .track_matching import Motion
from .track_windows import sample_windows

Windows = Sequence[tuple[Motion, Motion]]  # (generated, reference), at the same number of frames

LEAST_TRACKS = 0.05  # of the points that were to be followed: fewer would be noise, or one thing taken for the whole


def motion_fidelity(generated: Motion, reference: Motion) -> tuple[float | None, list[Reading]]:
    """Likeness of two motions that are followed in one piece, in [-1, 1], and its reading; None: a still reference."""
    return windowed_fidelity([(generated, reference)])


def windowed_fidelity(windows: Windows) -> tuple[float | None, list[Reading]]:
    """Mean likeness of the windows' motions, (generated, reference) each, in [-1, 1]; None: a still reference.

    Windows weigh by how much moves in them, on either side: one whose reference stands still is no likeness (0) as far
    as the generated clip moves.
    """
    readings = [compare_motions(generated, reference) for generated, reference in windows]
    total = sum(reading.weight for reading in readings)
    if total == 0 or all(reading.value is None for reading in readings):
        return None, readings
    return sum(reading.weight * (reading.value or 0.0) for reading in readings) / total, readings


class MotionFidelity:
    """Headline: likeness of motion to the reference, part by part or as one field, window by window."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="motion_fidelity",
        version=7,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="this project; starts from Yatim et al., arXiv:2311.17009, Section 5.1",
        summary="likeness of motion, part by part or as one field, by windows: 1 same, 0 still, -1 opposite",
        measures="motion",
    )

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        windows = sample_windows(sample)
        support = windows_support(windows)
        lacking = lacking_support(support)
        if lacking:
            return Measurement(None, lacking, support)
        value, readings = windowed_fidelity(windows)
        details = {
            **support,
            **windows_details(windows),
            "windows": [_reading_to_json(reading) for reading in readings],
        }
        return Measurement(value, "static reference" if value is None else "", details)


def windows_support(windows: Windows) -> dict[str, Any]:
    """How much the value rests on, of the generated clip and of the reference.

    points: how many were to be followed. tracks: how many are seen in at least half of a window's steps, in the window
    that has fewest. covered: share of the frame, over time, near which there are tracks. camera: share of the windows
    in which most tracks agree on a camera's motion (0: it is not known, and things are not told from the scene).
    """
    sides = list(zip(*windows, strict=True))
    return {
        "points": [min(motion.asked for motion in side) for side in sides],
        "tracks": [min(len(motion.points) for motion in side) for side in sides],
        "covered": [round(float(np.mean([motion_to_field(motion).covered for motion in side])), 3) for side in sides],
        "camera": [round(float(np.mean([fit_camera(m).consensus > 0 for m in side])), 3) for side in sides],
    }


def lacking_support(support: dict[str, Any]) -> str:
    """Why nothing can be said of a pair of clips; empty where something can."""
    sides = zip(("generated clip", "reference"), support["tracks"], support["points"], strict=True)
    for name, tracks, asked in sides:
        if tracks == 0 or tracks < LEAST_TRACKS * asked:
            return f"too few tracks of the {name} survive to tell: {tracks} of {asked}, {LEAST_TRACKS:.0%} needed"
    return ""


def windows_details(windows: Windows) -> dict[str, Any]:
    """Track-level companions, means over windows: mf, mf_match, direction cosine, log2 speed ratio, moving ratio."""
    found = [_track_details(generated, reference) for generated, reference in windows]
    details: dict[str, Any] = {}
    for name in found[0]:
        values = [value for each in found if (value := each[name]) is not None]
        details[name] = float(np.mean(values)) if values else None
    moving = [[len(tm.moving(motion).points) for motion in pair] for pair in windows]
    return {**details, "moving_tracks": np.max(moving, axis=0).tolist()}


def _track_details(generated: Motion, reference: Motion) -> dict[str, float | None]:
    n_generated, n_reference = len(tm.moving(generated).points), len(tm.moving(reference).points)
    return {
        "mf": tm.mf(generated, reference),
        "mf_match": tm.mf_match(generated, reference),
        "direction_cosine": tm.direction_cosine(generated, reference),
        "speed_ratio_log2": tm.log_speed_ratio(generated, reference),
        "moving_ratio": n_generated / n_reference if n_reference else None,
    }


def _reading_to_json(reading: Reading) -> dict[str, Any]:
    return {
        "value": None if reading.value is None else round(reading.value, 4),
        "weight": round(reading.weight, 5),
        "parts": [_part_to_json(part) for part in reading.parts],
    }


def _part_to_json(part: Part) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "similarity": round(part.similarity, 4),
        "weight": round(part.weight, 5),
        "tracks": list(part.support),
    }
