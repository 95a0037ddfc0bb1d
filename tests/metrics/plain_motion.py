"""Plain-loop versions of the motion formulas, written from the definitions, and small made-up tracks."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
from motionbench.metrics.track_windows import clip_windows, count_windows, cut_tracks

from motionbench.clip import Clip
from motionbench.metric import Sample
from motionbench.tracks import Tracks

HEIGHT, WIDTH = 480, 832
DIAGONAL = math.hypot(HEIGHT, WIDTH)


def make_tracks(
    points: np.ndarray, visible: np.ndarray | None = None, height: int = HEIGHT, width: int = WIDTH
) -> Tracks:
    seen = np.ones(points.shape[:2], bool) if visible is None else visible
    return Tracks(points.astype(np.float32), seen, height, width)


def starts(count: int, seed: int = 0) -> np.ndarray:
    """(count, 2) places well inside the frame."""
    return np.random.default_rng(seed).uniform([200, 150], [600, 330], (count, 2))


def straight(count: int, frames: int, velocity: tuple[float, float], seed: int = 0) -> np.ndarray:
    """(count, frames, 2) tracks that all go straight at one velocity."""
    return starts(count, seed)[:, None] + np.arange(frames)[None, :, None] * np.array(velocity)


def wandering(count: int, frames: int, seed: int, pace: float = 12.0) -> np.ndarray:
    """(count, frames, 2) tracks that each wander on their own."""
    steps = np.random.default_rng(seed).normal(0, pace, (count, frames, 2))
    steps[:, 0] = 0
    return starts(count, seed)[:, None] + steps.cumsum(1)


def plain_moves(track: np.ndarray) -> bool:
    """Range of the 3-frame mean (ends repeated) beyond 1% of the diagonal."""
    frames = len(track)
    for t in range(frames):
        window = [track[min(max(s, 0), frames - 1)] for s in (t - 1, t, t + 1)]
        x, y = sum(p[0] for p in window) / 3, sum(p[1] for p in window) / 3
        if math.hypot(x - track[0][0], y - track[0][1]) > 0.01 * DIAGONAL:
            return True
    return False


def plain_similarity(a: np.ndarray, wa: np.ndarray, b: np.ndarray, wb: np.ndarray) -> float:
    """Weighted mean of the cosine between directions of step of two tracks (T, 2), by visibility of frames (T,)."""
    total = weight = 0.0
    for t in range(len(a) - 1):
        w = float(wa[t] and wa[t + 1] and wb[t] and wb[t + 1])
        va, vb = (a[t + 1] - a[t]) / DIAGONAL, (b[t + 1] - b[t]) / DIAGONAL
        na, nb = max(math.hypot(*va), 1e-6), max(math.hypot(*vb), 1e-6)
        total += w * (va[0] * vb[0] + va[1] * vb[1]) / (na * nb)
        weight += w
    return total / weight if weight else 0.0


def plain_matrix(g: np.ndarray, r: np.ndarray) -> list[list[float]]:
    ones = np.ones(g.shape[1], bool)
    moving_g, moving_r = [x for x in g if plain_moves(x)], [y for y in r if plain_moves(y)]
    return [[plain_similarity(x, ones, y, ones) for y in moving_r] for x in moving_g]


def plain_mf(g: np.ndarray, r: np.ndarray) -> float:
    s = plain_matrix(g, r)
    forth = sum(max(row) for row in s) / len(s)
    back = sum(max(row[m] for row in s) for m in range(len(s[0]))) / len(s[0])
    return (forth + back) / 2


def plain_mf_match(g: np.ndarray, r: np.ndarray) -> float:
    """Best one-to-one assignment by trying them all: at most 6 tracks."""
    s = plain_matrix(g, r)
    if len(s) > len(s[0]):
        s = [list(column) for column in zip(*s, strict=True)]
    best = max(sum(s[n][m] for n, m in enumerate(order)) for order in permutations(range(len(s[0])), len(s)))
    return 2 * best / (len(s) + len(s[0]))


def plain_released(g: np.ndarray, r: np.ndarray) -> float:
    """The released script: cosine matrix minus identity, best in each row."""
    total = 0.0
    for n, a in enumerate(g):
        best = -math.inf
        for m, b in enumerate(r):
            mean = 0.0
            for t in range(len(a) - 1):
                va, vb = a[t + 1] - a[t], b[t + 1] - b[t]
                mean += (va[0] * vb[0] + va[1] * vb[1]) / (math.hypot(*va) * math.hypot(*vb)) / (len(a) - 1)
            best = max(best, mean - (n == m))
        total += best
    return total / len(g)


def still_clip(frames: int, value: int = 0, height: int = 12, width: int = 16) -> Clip:
    return Clip(np.full((frames, height, width, 3), value, np.uint8), 8.0)


def make_sample(generated: Tracks, reference: Tracks, prompt: str = "a red ball") -> Sample:
    """A sample whose clips are stand-ins, tracked by look-up."""
    clips = still_clip(generated.points.shape[1], 1), still_clip(reference.points.shape[1], 2)
    found: dict[str, Tracks] = {}
    for clip, tracks in zip(clips, (generated, reference), strict=True):
        n = count_windows(min(map(len, clips)))
        parts = zip(clip_windows(clip, n), cut_tracks(tracks, n), strict=True)
        found |= {clip.sha256: tracks, **{window.sha256: part for window, part in parts}}
    look: Callable[[Clip], Tracks] = lambda clip: found[clip.sha256]  # noqa: E731
    return Sample(clips[0], clips[1], prompt, prompt, "single_object/0000/0", "single_object", look)
