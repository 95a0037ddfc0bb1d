"""Whether a clip of the embedded world moves as its caption says: directions of subjects and of the camera."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from motionbench.metrics.camera_motion import FRAME_RADIUS, fit_camera
from motionbench.metrics.track_matching import MOVING_RANGE, Array, hold_hidden, motion_range, tracks_to_motion
from numpy.typing import NDArray

from motionbench.tracks import Tracks

_SIDES = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
_CAMERA = re.compile(r"(pans|tilts|orbits|zooms|rolls) (left|right|up|down|in|out)")
_OBJECT = re.compile(r"moving ((?:up|down) (?:left|right)|left|right|up|down)\b")
_FIGURE = re.compile(r"(?:walking|running|waving|jumping|squatting|kicking|dancing) to the (left|right)")
_TINTED = re.compile(r"\b(?:a person in an? (\w+) shirt|an? (\w+) \w+)")
_SCENE = re.compile(r" (?:in|on|over) the \w+( while the camera \w+)?$")
_WITHIN = math.cos(math.pi / 4)


@dataclass(frozen=True)
class Demand:
    """One direction that a caption names.

    kind: the row of the table, such as `object left` or `camera pans`. color: of the subject; "" is the camera.
    want: the expected (pan, tilt, zoom, roll), y down, as it looks on the screen; only the parts that are not 0 count.
    """

    kind: str
    color: str
    want: tuple[float, float, float, float]


def caption_to_demands(caption: str) -> list[Demand]:
    """The directions named in a caption; none where it names only a sort of motion, or no motion."""
    if caption.startswith("the camera"):
        return [_camera_demand(verb, side) for verb, side in _CAMERA.findall(caption)]
    found, waiting = [], []
    for part in _SCENE.sub("", caption).split(" and "):
        tint = _TINTED.search(part)
        waiting += [next(filter(None, tint.groups()))] if tint else []
        rest = part[tint.end() :].strip() if tint else part
        if not rest:
            continue  # "a red ball and a blue star moving left": the phrase that comes is for both
        move, travel = _OBJECT.search(rest), _FIGURE.search(rest)
        told = move or travel
        if told:
            kind = f"figure {told[1]}" if travel else f"object {told[1] if ' ' not in told[1] else 'diagonal'}"
            found += [Demand(kind, color, (*_heading(told[1]), 0.0, 0.0)) for color in waiting]
        waiting = []
    return found


def _heading(words: str) -> tuple[float, float]:
    total = np.sum([_SIDES[word] for word in words.split()], axis=0)
    x, y = total / np.linalg.norm(total)
    return float(x), float(y)


def _camera_demand(verb: str, side: str) -> Demand:
    """The scene moves against the camera; zooming in makes it grow; a roll to the left turns it clockwise."""
    if verb == "zooms":
        want = (0.0, 0.0, 1.0 if side == "in" else -1.0, 0.0)
    elif verb == "rolls":
        want = (0.0, 0.0, 0.0, 1.0 if side == "left" else -1.0)
    else:
        x, y = _SIDES[side]
        want = (-x, -y, 0.0, 0.0)
    return Demand(f"camera {verb}", "", want)


def is_met(demand: Demand, tracks: Tracks, tags: NDArray[np.str_]) -> bool:
    """Whether the tracks do what is demanded: a direction within 45 degrees, a zoom or roll of the right sign.

    tags: (N,) color of the subject that each track starts on, "" for the scene.
    """
    change = camera_change(tracks) if not demand.color else subject_change(tracks, tags == demand.color)
    if change is None:
        return False
    want = np.array(demand.want)
    if want[:2].any():
        length = float(np.linalg.norm(change[:2]))
        return length > MOVING_RANGE and float(want[:2] @ change[:2]) >= _WITHIN * length
    return float(want @ change) > MOVING_RANGE / FRAME_RADIUS


def camera_change(tracks: Tracks) -> Array | None:
    """Apparent motion of the scene over the clip: pan, tilt (diagonals), zoom (log), roll (radians); None if unseen."""
    path = fit_camera(tracks_to_motion(tracks))
    total: Array = path.rates.sum(0)
    return total if path.consensus > 0 else None


def subject_change(tracks: Tracks, on_subject: NDArray[np.bool_]) -> Array | None:
    """Mean displacement, first to last seen place, of the subject's moving points (diagonals; zoom and roll 0).

    None if no point of it moves.
    """
    diagonal = float(np.hypot(tracks.width, tracks.height))
    points = tracks.points[on_subject].astype(np.float64) / diagonal
    held = hold_hidden(points, tracks.visible[on_subject])
    moved = held[motion_range(held) > MOVING_RANGE]
    if not len(moved):
        return None
    return np.concatenate([(moved[:, -1] - moved[:, 0]).mean(0), [0.0, 0.0]])


def mean_cosine(headings: Array) -> float | None:
    """Mean cosine over all pairs of vectors (n, 2): 1 if all agree, near 0 if they point anywhere; None for n < 2."""
    n = len(headings)
    if n < 2:
        return None
    unit = headings / np.maximum(np.linalg.norm(headings, axis=1, keepdims=True), 1e-12)
    return float((np.square(unit.sum(0)).sum() - n) / (n * (n - 1)))
