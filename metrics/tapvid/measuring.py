"""delta_avg, occlusion accuracy and average Jaccard of a tracker on annotated videos, as TAP-Vid defines them.

Source: Doersch et al., TAP-Vid, arXiv:2211.03726, Section 4 and Appendix; the order of sums follows
google-deepmind/tapnet 025fba6, tapvid/evaluation_datasets.py (compute_tapvid_metrics), written anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from motionbench.bootstrap import percentile_interval
from motionbench.clip import Clip
from motionbench.tracks import Tracker

from .reading import TapVideo

QueryMode = Literal["first", "strided"]
QUERY_MODES: tuple[QueryMode, ...] = ("first", "strided")
THRESHOLDS = (1, 2, 4, 8, 16)  # pixels at 256x256
STRIDE = 5  # frames between queries of one point in `strided`
FIGURES = (
    "average_jaccard", "delta_avg", "occlusion_accuracy",
    *(f"within_{k}" for k in THRESHOLDS), *(f"jaccard_{k}" for k in THRESHOLDS),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Queries:
    """Q queries of one video: which annotated track (Q,), and in which frame it is asked for (Q,)."""

    track: NDArray[np.int64]
    frame: NDArray[np.int64]

    def evaluated(self, frames: int, mode: QueryMode) -> NDArray[np.bool_]:
        """(Q, T): the frames that count; `first`: those after the query, `strided`: all but the query's own."""
        times = np.arange(frames)[None]
        asked = self.frame[:, None]
        counts: NDArray[np.bool_] = times > asked if mode == "first" else times != asked
        return counts


@dataclass(frozen=True)
class Mean:
    """One figure over the videos: n of them have it, n_missing have nothing to measure it on. In [0, 1]."""

    mean: float | None
    low: float | None
    high: float | None
    n: int
    n_missing: int


def choose_queries(occluded: NDArray[np.bool_], mode: QueryMode) -> Queries:
    """Queries of tracks with occlusion (N, T). A track that is never seen has none.

    first: the first frame in which the point is seen. strided: every fifth frame in which it is seen, from frame 0.
    """
    if mode == "first":
        track = np.flatnonzero(~occluded.all(axis=1))
        return Queries(track, (~occluded[track]).argmax(axis=1))
    frame, track = np.nonzero(~occluded[:, ::STRIDE].T)  # by frame, then by track
    return Queries(track, frame * STRIDE)


def follow_queries(
    tracker: Tracker, video: TapVideo, queries: Queries, mode: QueryMode
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Places (Q, T, 2) in pixels at 256x256 and visible (Q, T) by a tracker that follows points of a first frame.

    Queries of frame t are followed together through the clip from t on; in `strided` also through the reversed clip
    back to frame 0. What no one looks at (before a `first` query) is the query itself, unseen.
    """
    clip, places = video.clip(), video.places()
    asked = places[queries.track, queries.frame]
    points = np.repeat(asked[:, None], len(clip), axis=1)
    visible = np.zeros(points.shape[:2], bool)
    for t in np.unique(queries.frame):
        which = queries.frame == t
        start = asked[which].astype(np.float32)
        for way in _ways(clip, int(t), mode):
            tracks = tracker.track(clip.with_frames(clip.frames[way]), start)
            points[np.ix_(which, way)] = tracks.points
            visible[np.ix_(which, way)] = tracks.visible
    return points, visible


def _ways(clip: Clip, t: int, mode: QueryMode) -> Iterator[NDArray[np.int64]]:
    """The frames to go through from frame t, in order: onwards, and backwards where the mode asks for it."""
    if t < len(clip) - 1:
        yield np.arange(t, len(clip))
    if mode == "strided" and t > 0:
        yield np.arange(t, -1, -1)


def measure_video(tracker: Tracker, video: TapVideo, mode: QueryMode) -> dict[str, float | None]:
    """The figures of one video (see `figures`); all None where it has no query."""
    queries = choose_queries(video.occluded, mode)
    if not len(queries.track):
        return dict.fromkeys(FIGURES)
    points, visible = follow_queries(tracker, video, queries, mode)
    truth, seen = video.places()[queries.track], ~video.occluded[queries.track]
    return figures(points - truth, visible, seen, queries.evaluated(len(video.frames), mode))


def figures(
    errors: NDArray[np.float64], visible: NDArray[np.bool_], seen: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> dict[str, float | None]:
    """TAP-Vid's figures over the counted frames of all queries of a video, in [0, 1]; None over an empty sum.

    errors: (Q, T, 2) pixels at 256x256; visible, seen: (Q, T) by the tracker and in truth; counted: (Q, T).
    within_K: of points seen in truth, those nearer than K pixels, whatever the tracker says of their visibility;
    jaccard_K: right, over right + missed + false, where a point that is called visible and is hidden or K pixels off
    is false. delta_avg and average_jaccard: their means over K = 1, 2, 4, 8, 16. occlusion_accuracy: right answers.
    """
    distance = np.linalg.norm(errors, axis=-1)
    shares: dict[str, float | None] = {"occlusion_accuracy": _share((visible == seen)[counted].sum(), counted.sum())}
    for k in THRESHOLDS:
        near = distance < k  # strictly; not a number is far
        positives = (seen & counted).sum()
        false = (visible & ~(near & seen) & counted).sum()
        shares[f"within_{k}"] = _share((near & seen & counted).sum(), positives)
        shares[f"jaccard_{k}"] = _share((near & seen & visible & counted).sum(), positives + false)
    shares["delta_avg"] = _mean([shares[f"within_{k}"] for k in THRESHOLDS])
    shares["average_jaccard"] = _mean([shares[f"jaccard_{k}"] for k in THRESHOLDS])
    return {name: shares[name] for name in FIGURES}


def _share(part: np.integer, whole: np.integer) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def mean_over_videos(rows: Mapping[str, Mapping[str, float | None]]) -> dict[str, Mean]:
    """Each figure's plain mean over videos, as published tables have it, with a 95% bootstrap interval over videos."""
    means = {}
    for name in FIGURES:
        values = [value for row in rows.values() if (value := row[name]) is not None]
        low, high = percentile_interval({"videos": values}) or (None, None)
        mean = float(np.mean(values)) if values else None
        means[name] = Mean(mean, low, high, len(values), len(rows) - len(values))
    return means
