"""What the `tiny` tracker does after its network: points of the scene move with the scene, and are not dragged along.

A network that follows each point by itself lets a background point that an object passes over be carried away by it.
So the motion that most of the frame shares is fitted first (a still camera is one case of it), and every point is
asked whether it was *seen* away from where that motion takes it, for several frames and looking more like its start
there than at the scene's place. If not, it lies on the scene: it is put there, and is visible where the picture still
looks as it did. All thresholds were chosen on training-world clips and on the tuning references (motions of no split),
decoded by the embedded backbone's autoencoder, never on a benchmark split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .following import inside_frame

Floats = NDArray[np.float64]

AGREE = 0.1  # share of the (sure, border-weighted) support tracks that must follow one motion as wholes; many leave
STILL = 0.35  # px: a scene whose motion stays below this does not move at all; true stills were found at 0.02-0.1
AWAY = (0.5, 1.0)  # px off the scene from which a seen point begins to, and does, count as away from it
AWAY_FRAMES, AWAY_SHARE = 4.0, 0.25  # seen away in more frames (or a greater share of a short clip): not the scene
BETTER = 0.05  # correlation by which the place it was seen at must look more like its start than the scene's place
NEAR = 0.5  # px: there the network's own answer says whether a scene point is visible
MATCH = 0.45  # elsewhere: the mean correlation of its surroundings with those at the start
_SIGMAS = (8.0, 4.0, 2.0, 1.0, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4)  # px, annealed scale of what counts as agreeing


@dataclass(frozen=True, eq=False)
class ScenePath:
    """The motion that most of the frame shares, as one similarity per frame, against the first frame.

    A point at z (complex pixels from the center) is at z + shift[t] + turn[t] * z in frame t; both (T,) complex.
    agree: share of the support that follows it, in [0, 1].
    """

    shift: NDArray[np.complex128]
    turn: NDArray[np.complex128]
    agree: float
    size: int

    def places(self, starts: NDArray[np.float32]) -> Floats:
        """Where scene points that start at (N, 2) pixels are: (N, T, 2)."""
        center = (self.size - 1) / 2 * (1 + 1j)
        z = (starts[:, :1] + 1j * starts[:, 1:]).astype(np.complex128) - center
        moved = z + self.shift + self.turn * z + center
        return np.stack([moved.real, moved.imag], axis=-1)


def fit_scene(points: NDArray[np.float32], sure: NDArray[np.float32], size: int) -> ScenePath:
    """The scene's motion from support tracks (N, T, 2) and how sure the network is of each position (N, T).

    Least squares, reweighted by whole tracks and by frames with a shrinking scale, so that what moves by itself is let
    go. Tracks near the border count up to three times as much as central ones: what surrounds is the scene.
    """
    center = (size - 1) / 2 * (1 + 1j)
    path = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    z = path[:, 0] - center
    moved = path - path[:, :1]
    edge = np.clip(np.maximum(abs(z.real), abs(z.imag)) * 2 / size, 0, 1)
    prior = sure.astype(np.float64) * (1 + 2 * edge**2)[:, None]
    fit = np.ones_like(prior)
    for sigma in _SIGMAS:
        shift, turn = _similarity(z, moved, prior * fit)
        residual = abs(moved - shift - turn * z[:, None]) ** 2
        whole = (residual * sure).sum(1) / np.maximum(sure.sum(1), 1e-9)
        fit = (sigma**2 / (sigma**2 + 0.5 * residual + 0.5 * whole[:, None])) ** 2
    agree = float((prior * (fit > 0.25)).sum() / max(prior.sum(), 1e-9))
    reach = np.sqrt(abs(shift) ** 2 + abs(turn) ** 2 * size**2 / 6).max()  # root mean square over the frame
    if reach < STILL:
        shift, turn = np.zeros_like(shift), np.zeros_like(turn)
    return ScenePath(shift, turn, agree, size)


def _similarity(
    z: NDArray[np.complex128], moved: NDArray[np.complex128], weight: Floats
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Per frame the shift and turn that minimize sum weight |moved - shift - turn z|^2; turn is drawn to 0 where the
    points lie too close together to tell."""
    total = np.maximum(weight.sum(0), 1e-9)
    mean_z, mean_moved = (weight * z[:, None]).sum(0) / total, (weight * moved).sum(0) / total
    away = z[:, None] - mean_z
    spread = (weight * abs(away) ** 2).sum(0) / total
    turn = (weight * away.conj() * (moved - mean_moved)).sum(0) / total / (spread + 1.0)
    return mean_moved - turn * mean_z, turn


def frames_seen_away(off: NDArray[np.floating], sure: NDArray[np.floating]) -> Floats:
    """How far (0 to 1) a point was seen away from the scene in each frame: (N, T).

    off (N, T): px between track and scene; sure (N, T): P(the track is right), 0 outside the frame. A dragged point is
    unsure while it is dragged; a thing that moves is seen away from its start, again and again.
    """
    low, high = AWAY
    return np.asarray(sure * np.clip((off - low) / (high - low), 0, 1), dtype=np.float64)


def may_move(away: Floats) -> NDArray[np.bool_]:
    """Which points (N,) were seen away (N, T) from the scene long enough to move by themselves."""
    return np.asarray(away.sum(axis=1) > min(AWAY_FRAMES, AWAY_SHARE * (away.shape[1] - 1)))


def looks_better(away: Floats, appearance: NDArray[np.floating], scene: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which points (N,) look, while seen away (N, T), clearly more like their start on their `own` track than at the
    `scene`'s place, by correlations (N, T): a point that still looks right where it began was not dragged."""
    gain = (away * (appearance - scene)).sum(axis=1) / np.maximum(away.sum(axis=1), 1e-9)
    return np.asarray(gain > BETTER)


def put_on_scene(
    points: NDArray[np.float32],
    sure: NDArray[np.float32],
    places: Floats,
    match: Callable[[NDArray[np.floating], NDArray[np.bool_]], NDArray[np.float32]],
    size: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Tracks (N, T, 2) and P(visible) (N, T) after points of the scene were put at its `places` (N, T, 2).

    match(where, chosen): mean correlation (n, T) of the surroundings of `where` (N, T, 2) with those in the first
    frame, of the `chosen` (N,) points. Other points keep what the network found.
    """
    off = np.linalg.norm(points - places, axis=-1)
    away = frames_seen_away(off, sure * inside_frame(points, size, size))
    scene = match(places, np.ones(len(points), np.bool_))
    moves = may_move(away)
    moves[moves] = looks_better(away[moves], match(points, moves), scene[moves])
    seen = np.where(off < NEAR, sure, (scene > MATCH).astype(np.float32))
    placed = np.where(moves[:, None, None], points, places).astype(np.float32)
    return placed, np.where(moves[:, None], sure, seen).astype(np.float32)
