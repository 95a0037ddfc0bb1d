"""What users hand to the functions of `functional`, as what the formulas take: tracks, motions, embeddings."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from motionbench.errors import ShapeError
from motionbench.tracks import Tracks

from .track_matching import Motion, tracks_to_motion

Size = tuple[int, int]  # height, width
Visible = tuple[ArrayLike, ArrayLike] | None  # masks (N, T) of the generated and of the reference clip


def to_tracks(points: ArrayLike, size: Size, visible: ArrayLike | None) -> Tracks:
    """Arrays as tracks. Raises ShapeError."""
    array = np.asarray(points, dtype=np.float32)
    seen = np.ones(array.shape[:2], bool) if visible is None else np.asarray(visible, dtype=bool)
    return Tracks(array, seen, *size)


def to_track_pair(generated: ArrayLike, reference: ArrayLike, size: Size, visible: Visible) -> tuple[Tracks, Tracks]:
    """The tracks of both clips. Raises ShapeError."""
    seen = (None, None) if visible is None else visible
    return to_tracks(generated, size, seen[0]), to_tracks(reference, size, seen[1])


def to_motions(generated: ArrayLike, reference: ArrayLike, size: Size, visible: Visible) -> tuple[Motion, Motion]:
    """How both clips move. Raises ShapeError."""
    made, true = to_track_pair(generated, reference, size, visible)
    return tracks_to_motion(made), tracks_to_motion(true)


def to_steps(points: ArrayLike) -> NDArray[np.float64] | None:
    """Points as the formulas of others take them; None where there is no track or no step."""
    tracks = to_tracks(points, (1, 1), None).points
    return tracks.astype(np.float64) if len(tracks) and tracks.shape[1] > 1 else None


def to_embeddings(vectors: ArrayLike, dimensions: int) -> NDArray[np.float32]:
    """Unit vectors as an array of so many dimensions. Raises ShapeError."""
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != dimensions or 0 in array.shape:
        wanted = {1: "(D,)", 2: "(T, D)"}[dimensions]
        raise ShapeError(f"embeddings must be {wanted} unit vectors and not empty, got {array.shape}")
    return array
