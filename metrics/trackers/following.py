"""What trackers share besides tracking: which questions they answer, where no track can go, and clips of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.tracks import Tracks

from .cuts import first_cut

Queries = NDArray[np.float32]


def follow(clip: Clip, queries: Queries, track: Callable[[Clip, Queries], Tracks]) -> Tracks:
    """Tracks of `queries` (N, 2) in a clip, by `track` where there is something to follow.

    It is asked for the clip's first shot and for points on its first frame only. A point outside the frame shows
    nothing: it rests where it was asked for, hidden. So does every point behind a hard cut, where it was last: what
    looks alike in another shot is not the same point. Raises ShapeError for malformed queries.
    """
    if queries.ndim != 2 or queries.shape[1] != 2 or not np.isfinite(queries).all():
        raise ShapeError(f"queries must be (N, 2) finite x, y, got {queries.shape}, or some are not finite")
    queries = queries.astype(np.float32)
    on_frame = inside_frame(queries, clip.height, clip.width)
    points = np.repeat(queries[:, None], len(clip), axis=1)
    visible = np.zeros(points.shape[:2], np.bool_)
    if on_frame.any():
        end = first_cut(clip.frames) or len(clip)
        tracks = track(clip if end == len(clip) else Clip(clip.frames[:end], clip.fps), queries[on_frame])
        points[on_frame, :end], visible[on_frame, :end] = tracks.points, tracks.visible
        points[on_frame, end:] = tracks.points[:, -1:]
        points[:, 0] = queries  # where they were asked, to the last bit
    return Tracks(points, visible, clip.height, clip.width)


def inside_frame(points: NDArray[np.floating], height: int, width: int) -> NDArray[np.bool_]:
    """Whether points (..., 2) lie on a frame of so many pixels: (...)."""
    far = np.array([width, height], points.dtype) - np.array(0.5, points.dtype)
    return np.asarray(((points >= -0.5) & (points <= far)).all(axis=-1))


def follow_in_windows(
    clip: Clip, queries: Queries, track: Callable[[Clip, Queries], Tracks], *, frames: int, context: int
) -> Tracks:
    """Tracks by `track` in windows of so many `frames`, so that memory is bounded whatever the clip's length.

    Every window begins with the clip's first frame, in which the points are: each is looked for anew by how it looked
    there, so windows need no joining and errors do not add up. Each shows `context` frames of the one before, too.
    """
    points = np.repeat(queries.astype(np.float32)[:, None], len(clip), axis=1)
    visible = np.ones(points.shape[:2], np.bool_)
    for before, start, stop in windows(len(clip), frames, context):
        shown = np.concatenate([clip.frames[:1], clip.frames[before:stop]])
        tracks = track(Clip(shown, clip.fps), queries)
        points[:, start:stop] = tracks.points[:, 1 + start - before :]
        visible[:, start:stop] = tracks.visible[:, 1 + start - before :]
    return Tracks(points, visible, clip.height, clip.width)


def windows(length: int, frames: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(before, start, stop): frames `start` to `stop` are answered by a window that shows 0 and `before` to `stop`."""
    step = frames - context - 1
    for start in range(1, length, step):
        yield max(1, start - context), start, min(start + step, length)
