"""Motion fidelity, the headline: does the clip move as the reference does, camera with camera and thing with thing?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

from . import track_matching as tm
from .camera_motion import fit_camera
from .motion_comparison import LEAST_TRACKS, Part, Reading, compare_motions, compare_parts
from .motion_field import motion_to_field
from .track_matching import MOVING_RANGE, Motion
from .track_windows import sample_motions

Windows = Sequence[tuple[Motion, Motion]]  # (generated, reference), at the same number of frames


def motion_fidelity(generated: Motion, reference: Motion) -> tuple[float | None, list[Reading]]:
    """Likeness of two motions that are followed in one piece, in [-1, 1], and its reading; None: a still reference."""
    return windowed_fidelity([(generated, reference)])


def clip_fidelity(windows: Windows, whole: tuple[Motion, Motion]) -> tuple[float | None, list[Reading], list[Part]]:
    """Likeness in [-1, 1] of clips that are followed afresh in windows, and from their first frame on as a whole.

    That of the windows, or that of the parts of the whole clips, whichever is stronger; None: a still reference.
    Windows keep what enters late and what is lost soon; the whole tells what takes longer, as limbs do. Also the
    windows' readings and the whole clips' parts, the latter empty where the windows are stronger.
    """
    value, readings = windowed_fidelity(windows)
    by_parts, parts = compare_parts(*whole)
    if value is None or abs(by_parts) <= abs(value):
        return value, readings, []
    return by_parts, readings, parts


def windowed_fidelity(windows: Windows) -> tuple[float | None, list[Reading]]:
    """Mean likeness of the windows' motions, (generated, reference) each, in [-1, 1]; None: a still reference.

    Windows weigh by how much moves in them, on either side: one whose reference stands still is no likeness (0) as far
    as the generated clip moves. One in which tracks of either clip are lacking tells nothing.
    """
    readings = [compare_motions(*window) for window in windows if not _lacking(window)]
    total = sum(reading.weight for reading in readings)
    still = sum(reading.reach for reading in readings) <= MOVING_RANGE and not any(r.moves for r in readings)
    if total == 0 or still:
        return None, readings
    return sum(reading.weight * reading.value for reading in readings) / total, readings


def _lacking(window: tuple[Motion, Motion]) -> str:
    """Of which clip too few points are followed even for a step, and how many; empty: of neither."""
    for name, motion in zip(("generated clip", "reference"), window, strict=True):
        tracks = len(motion.steps_seen.points)
        if tracks == 0 or tracks < LEAST_TRACKS * motion.asked:
            return f"{name} survive to tell: {tracks} of {motion.asked}"
    return ""


class MotionFidelity:
    """Headline: likeness of motion to the reference, part by part or as one field, window by window."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="motion_fidelity",
        version=8,
        unit="",
        range=(-1.0, 1.0),
        better="higher",
        source="this project; starts from Yatim et al., arXiv:2311.17009, Section 5.1",
        summary="likeness of motion, part by part or as one field, by windows: 1 same, 0 still, -1 opposite",
        measures="motion",
        headline=True,
    )

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        windows, whole = sample_motions(sample)
        support = windows_support(windows)
        lacking = lacking_support(windows)
        if lacking:
            return Measurement(None, lacking, support)
        value, readings, parts = clip_fidelity(windows, whole)
        details = {
            **support,
            **windows_details(windows),
            "windows": [_reading_to_json(reading) for reading in readings],
            "whole": [_part_to_json(part) for part in parts],
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


def lacking_support(windows: Windows) -> str:
    """Why nothing can be said of a pair of clips: too few tracks in more than half of the windows; empty where
    something can."""
    lacking = [reason for window in windows if (reason := _lacking(window))]
    if 2 * len(lacking) <= len(windows):
        return ""
    return f"too few tracks of the {lacking[0]}, {LEAST_TRACKS:.0%} needed"


def windows_details(windows: Windows) -> dict[str, Any]:
    """Track-level companions, means over windows: mf, mf_match, direction cosine, log2 speed ratio, moving ratio."""
    by_window = [_track_details(generated, reference) for generated, reference in windows]
    details: dict[str, Any] = {}
    for name in by_window[0]:
        values = [value for each in by_window if (value := each[name]) is not None]
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
        "value": round(reading.value, 4),
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
