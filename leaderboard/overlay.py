"""Tracks to be drawn over a player: a few points of a clip, small enough to go into a page."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.errors import MotionBenchError
from motionbench.pair import SHAPE, View
from motionbench.track_cache import TrackCache
from motionbench.tracks import Tracks

from .media import Media, generated_video, reference_video

logger = logging.getLogger(__name__)

Mode = Literal["all", "cached", "none"]
MODES: tuple[Mode, ...] = ("all", "cached", "none")
POINTS = 48  # drawn per clip: more hide the picture
MOVING = 0.02  # of the diagonal: what moves less is drawn only where nothing moves
HIDDEN = 0xFFFF
SCALE = 0x8000  # coordinates are fractions of the frame, from -0.25 to 1.75, in 1/SCALE


def gather_tracks(
    media: Media, mode: Mode, *, device: str = "cpu", report: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, dict[str, Any]]:
    """Video id -> packed tracks, for the videos that the page can play, by the tracker that scored them.

    all: computes what is not cached yet; cached: takes only what scoring left in the cache of this machine.
    A tracker of another version than the one that scored is not used: the lines would explain another number.
    """
    caches: dict[str, TrackCache | None] = {}
    packed: dict[str, dict[str, Any]] = {}
    done: set[str] = set()
    for count, (board, entry, record) in enumerate(media.shown if mode != "none" else ()):
        report(count, len(media.shown))
        if board.tracker is None:
            continue
        if board.tracker not in caches:
            caches[board.tracker] = _cache(board.tracker, device, media.notes)
        cache = caches[board.tracker]
        reference = reference_video(entry, board.cases.get(record.case_id))
        for video in (reference, generated_video(entry, record)):
            if cache is None or video is None or video.id in done:
                continue
            done.add(video.id)
            paths = media.paths[video.id], media.paths[(reference or video).id]
            tracks = _track(*paths, cache, mode)
            if tracks is not None:
                packed[video.id] = pack(tracks)
    return packed


def _cache(label: str, device: str, notes: list[str]) -> TrackCache | None:
    try:
        cache = TrackCache(label.partition(" ")[0], device=device, grid=SHAPE.grid)
    except MotionBenchError as error:
        notes.append(f"No tracks are drawn for tracker {label}: {error}")
        return None
    if cache.label != label:
        notes.append(f"No tracks are drawn: scores rest on tracker {label}, and {cache.label} is installed.")
        return None
    return cache


def _track(path: Path, reference: Path, cache: TrackCache, mode: Mode) -> Tracks | None:
    try:
        clip = at_scoring_shape(Clip.read(path).steady(), reference)
        return cache(clip) if mode == "all" else cache.cached(clip)
    except MotionBenchError as error:
        logger.warning("no tracks of %s: %s", path, error)
        return None


def at_scoring_shape(clip: Clip, reference: Path) -> Clip:
    """The clip as it was scored, but never cropped: tracks must lie on the picture that the player shows.

    A generated clip is scored whole; of a reference, what a generated clip of another aspect lacks is cut off.
    """
    whole = clip if clip.path == reference else Clip.read(reference)
    return View.of(clip, whole).generated(clip)


def pack(tracks: Tracks) -> dict[str, Any]:
    """At most POINTS tracks as base64 of uint16 (N, T, 2), little-endian; a hidden point is HIDDEN twice.

    Which: those that move, thinned evenly over the frame; the longest of the rest where fewer than half as many move.
    """
    chosen = choose(tracks)
    size = np.array([tracks.width, tracks.height], dtype=np.float32)
    fractions = (tracks.points[chosen] + 0.5) / size  # pixel centers lie at integers, so a pixel's middle is +0.5
    codes = np.clip(np.rint((fractions + 0.25) * SCALE), 0, HIDDEN - 1)
    codes = np.where(np.isfinite(codes) & tracks.visible[chosen][..., None], codes, HIDDEN).astype("<u2")
    return {"n": len(chosen), "t": int(codes.shape[1]), "data": base64.b64encode(codes.tobytes()).decode()}


def choose(tracks: Tracks) -> NDArray[np.int64]:
    """Indices of the tracks to draw, ascending."""
    if len(tracks.points) == 0:
        return np.zeros(0, dtype=np.int64)
    span = np.where(tracks.visible[..., None], tracks.points, np.nan)
    seen = tracks.visible.any(axis=1)
    reach = np.zeros(len(span))
    reach[seen] = np.linalg.norm(np.nanmax(span[seen], axis=1) - np.nanmin(span[seen], axis=1), axis=-1)
    moving = np.flatnonzero(reach > MOVING * np.hypot(tracks.width, tracks.height))
    if len(moving) >= POINTS // 2:
        # The grid runs row by row, so every k-th of it is spread over what moves.
        return moving[np.unique(np.linspace(0, len(moving) - 1, min(POINTS, len(moving))).round().astype(np.int64))]
    return np.sort(np.argsort(-reach, kind="stable")[: POINTS // 2])
