"""How far trackers agree with each other on the same clips, and with the truth where it is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingInputError
from motionbench.track_cache import TrackCache
from motionbench.tracks import Tracks, grid_queries

from .track_matching import MOVING_RANGE, hold_hidden, motion_range

THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a 256 pixel wide frame, as in TAP-Vid


@dataclass(frozen=True)
class Agreement:
    """How alike two trackers are over n clips; `truth` may be the second.

    within: mean share, over the thresholds, of points that both see and put within 1, 2, 4, 8, 16 px of each other (at
    256 px), first frame left out. median_distance: of those points, in % of the diagonal. visibility: share of points
    and frames on which both agree. moving: share of tracks on whose being at rest or moving (range over 1% of the
    diagonal) both agree. still_called_moving: of the tracks at rest by the second, those moving by the first.
    """

    first: str
    second: str
    n: int
    within: float
    median_distance: float
    visibility: float
    moving: float
    still_called_moving: float | None


def compare_tracks(a: Tracks, b: Tracks) -> dict[str, float | None]:
    """The figures of `Agreement` for one clip; None where no point can tell."""
    diagonal = float(np.hypot(a.width, a.height))
    both = (a.visible & b.visible)[:, 1:]
    distance = np.linalg.norm(a.points - b.points, axis=-1)[:, 1:][both]
    moving_a, moving_b = (_moving(t, diagonal) for t in (a, b))
    pixel = max(a.width, a.height) / 256
    return {
        "within": float(np.mean([(distance < t * pixel).mean() for t in THRESHOLDS])) if len(distance) else None,
        "median_distance": 100 * float(np.median(distance)) / diagonal if len(distance) else None,
        "visibility": float((a.visible == b.visible)[:, 1:].mean()) if a.visible[:, 1:].size else None,
        "moving": float((moving_a == moving_b).mean()) if len(moving_a) else None,
        "still_called_moving": float(moving_a[~moving_b].mean()) if (~moving_b).any() else None,
    }


def _moving(tracks: Tracks, diagonal: float) -> NDArray[np.bool_]:
    """(N,) by places where the point is seen."""
    points = hold_hidden(tracks.points.astype(np.float64) / diagonal, tracks.visible)
    moves: NDArray[np.bool_] = motion_range(points) > MOVING_RANGE
    return moves


def measure_agreement(
    clips: Sequence[Clip],
    trackers: Sequence[str],
    *,
    device: str,
    grid: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Agreement]:
    """Every pair of trackers, and each against the truth of the clips that have it. Raises what a tracker raises."""
    caches = {name: TrackCache(name, device=device, grid=grid) for name in trackers}
    figures: dict[tuple[str, str], list[dict[str, float | None]]] = {}
    for done, clip in enumerate(clips):
        report(done, len(clips))
        tracks = {name: cache(clip) for name, cache in caches.items()}
        truth = true_tracks(clip, grid)
        if truth is not None:
            tracks["truth"] = truth
        for a, b in combinations(tracks, 2):
            figures.setdefault((a, b), []).append(compare_tracks(tracks[a], tracks[b]))
    report(len(clips), len(clips))
    return [_pool(a, b, rows) for (a, b), rows in figures.items()]


def true_tracks(clip: Clip, grid: int) -> Tracks | None:
    """The clip's true tracks, if ground truth lies beside its file."""
    if clip.path is None or not Path(clip.path).with_suffix(".truth.npz").is_file():
        return None
    try:
        tracker = registry.load("trackers", "truth").create("cpu")
        tracks: Tracks = tracker.track(clip, grid_queries(clip.height, clip.width, grid))
    except MissingInputError:
        return None
    return tracks


def _pool(first: str, second: str, rows: Sequence[dict[str, float | None]]) -> Agreement:
    def mean(key: str) -> float | None:
        values = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(values)) if values else None  # type: ignore[arg-type]

    means = {key: mean(key) for key in rows[0]}
    named = {key: value if value is not None else float("nan") for key, value in means.items()}
    return Agreement(
        first, second, len(rows), named["within"], named["median_distance"], named["visibility"], named["moving"],
        means["still_called_moving"],
    )  # fmt: skip
