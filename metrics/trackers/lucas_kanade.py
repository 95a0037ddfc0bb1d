"""Lucas-Kanade: the model-free tracker, on frames freed of flicker, with occlusion by consistency and appearance."""

from __future__ import annotations

from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.tracks import Tracks

from .following import follow

Array = NDArray[np.float32]

_SIDE = 256  # small clips are enlarged (at most 4x) until their shorter side has as many pixels
_LARGEST = 1024  # large clips are shrunk until their longer side has as many pixels
_LEVELS = 3
_WINDOWS = (21, 11)  # coarse to find it, then fine so that a neighbor cannot capture the point
_ROUND_TRIP = 2.0  # pixels of the enlarged clip
_SETTLE = 2.0  # pixels of the enlarged clip: how far a point may be corrected against the first frame
_PATCH = 5  # radius of the patch whose colors must stay
_APPEARANCE = (
    0.16  # largest root mean square color difference to the first frame, in units of the clip's contrast range
)


class LucasKanade:
    """Pyramidal Lucas-Kanade (OpenCV): needs no weights; wavers where texture is weak and where things cover others."""

    name: ClassVar[str] = "lk"
    version: ClassVar[int] = 1

    @classmethod
    def create(cls, device: str) -> Self:
        """The device is ignored: this runs on the CPU."""
        return cls()

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks of `queries` (N, 2) from frame to frame.

        A point that fails the way back or no longer looks as in the first frame is hidden; it then moves with the
        frame's overall motion and is taken up again where it looks right; tracks end at a hard cut (see `follow`).
        Raises ShapeError for malformed queries.
        """
        return follow(clip, queries, self._track_large)

    def _track_large(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """Tracks in a clip of any size: what is larger than `_LARGEST` is followed on smaller frames."""
        shrink = _LARGEST / max(clip.height, clip.width)
        if shrink >= 1:
            return self._track(clip, queries)
        small = clip.resize(max(1, round(clip.height * shrink)), max(1, round(clip.width * shrink)))
        scale = np.array([small.width / clip.width, small.height / clip.height], np.float32)
        tracks = self._track(small, (queries + 0.5) * scale - 0.5)
        return Tracks((tracks.points + 0.5) / scale - 0.5, tracks.visible, clip.height, clip.width)

    def _track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        count, frames = len(queries), len(clip)
        points = np.repeat(queries.astype(np.float32)[:, None], frames, axis=1)
        visible = np.ones((count, frames), bool)
        if frames > 1:
            scale = float(np.clip(_SIDE / min(clip.height, clip.width), 1.0, 4.0))
            color, gray = normalize(clip.frames, scale)
            track = _Course(color, gray, (queries + 0.5) * scale - 0.5)
            for t in range(1, frames):
                place, seen = track.step(t)
                points[:, t], visible[:, t] = (place + 0.5) / scale - 0.5, seen
        return Tracks(points, visible, clip.height, clip.width)


def normalize(frames: NDArray[np.uint8], scale: float) -> tuple[Array, NDArray[np.uint8]]:
    """Frames enlarged and freed of flicker: colors (T, h, w, 3) float32 of mean 0, and one channel (T, h, w) uint8.

    Each frame's mean and contrast are set to the clip's. The channel is the clip's principal color axis, which holds
    edges between colors of equal brightness that gray would lose.
    """
    values = frames.astype(np.float32) / 255
    mean, deviation = values.mean((1, 2), keepdims=True), values.std((1, 2, 3), keepdims=True)
    values = (values - mean) / np.maximum(deviation, 1e-3) * np.median(deviation)
    size = (round(frames.shape[2] * scale), round(frames.shape[1] * scale))
    if scale != 1:
        values = np.stack([cv2.resize(v, size, interpolation=cv2.INTER_CUBIC) for v in values])
    flat = values.reshape(-1, 3)
    axis = np.linalg.eigh(np.cov(flat[:: max(1, len(flat) // 20000)].T))[1][:, -1].astype(np.float32)
    axis *= np.sign(axis.sum()) or 1
    channel = values @ axis
    low, high = np.percentile(channel, [0.5, 99.5])
    gray = np.clip((channel - low) / max(float(high - low), 1e-3) * 255, 0, 255).astype(np.uint8)
    return values.astype(np.float32), gray


class _Course:
    """The state of N points on their way through a clip, in pixels of the enlarged frames."""

    def __init__(self, color: Array, gray: NDArray[np.uint8], start: Array) -> None:
        self.color, self.gray = color, gray
        self.place = start.astype(np.float32)
        self.seen: NDArray[np.bool_] = np.ones(len(start), bool)
        self.start = self.place
        self.look = patches(color[0], self.place)
        self.contrast = float(np.percentile(np.abs(color), 95)) or 1.0

    def step(self, t: int) -> tuple[Array, NDArray[np.bool_]]:
        """Places (N, 2) and visibility (N,) in frame t."""
        forth, ok = _flow(self.gray[t - 1], self.gray[t], self.place)
        forth = self._settle(t, forth, ok & self.seen)
        carried = _carry(self.place, forth, ok & self.seen)
        height, width = self.gray.shape[1:]
        # A hidden point rides with the scene, and is looked for where it should be by now.
        place = np.where((ok & self.seen)[:, None], forth, carried)
        inside = (place >= 0).all(1) & (place[:, 0] <= width - 1) & (place[:, 1] <= height - 1)
        same = self._differs(t, place) < _APPEARANCE
        seen = inside & same & (ok | ~self.seen)
        # What has gone astray must not drag the point along: back to where the scene would have it.
        place = np.where((self.seen & ~seen & inside)[:, None], carried, place)
        self.place, self.seen = place.astype(np.float32), seen
        return self.place, seen

    def _settle(self, t: int, place: Array, which: NDArray[np.bool_]) -> Array:
        """Places corrected against the first frame where that asks for little: small errors no longer add up."""
        if not which.any():
            return place
        here = place[which]
        exact = _follow(self.gray[0], self.gray[t], self.start[which], here, _WINDOWS[-1], 0)
        back = _follow(self.gray[t], self.gray[0], exact, self.start[which], _WINDOWS[-1], 0)
        near = np.linalg.norm(exact - here, axis=1) < _SETTLE
        near &= np.linalg.norm(back - self.start[which], axis=1) < _SETTLE / 2
        settled = place.copy()
        settled[which] = np.where(near[:, None], exact, here)
        return settled

    def _differs(self, t: int, place: Array) -> Array:
        now = patches(self.color[t], place)
        difference: Array = np.sqrt(((now - self.look) ** 2).mean((1, 2, 3))) / (2 * self.contrast)
        return difference


def patches(image: Array, places: Array) -> Array:
    """(N, P, P, 3) smoothed colors around places (N, 2), the border repeated outside."""
    offsets = np.linspace(-_PATCH, _PATCH, 5, dtype=np.float32)
    x = places[:, 0, None, None] + offsets[None, None, :] + 0 * offsets[None, :, None]
    y = places[:, 1, None, None] + offsets[None, :, None] + 0 * offsets[None, None, :]
    soft = cv2.blur(image, (5, 5))
    border = cv2.BORDER_REPLICATE
    rows = []
    for i in range(0, len(places), 1024):  # remap takes at most 32,767 rows
        at = slice(i, i + 1024)
        rows.append(cv2.remap(soft, x[at].reshape(-1, 5), y[at].reshape(-1, 5), cv2.INTER_LINEAR, borderMode=border))
    cut: Array = np.concatenate(rows).reshape(len(places), 5, 5, 3).astype(np.float32)
    return cut


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8], place: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Places (N, 2) one frame on, and whether the way back ends where it began."""
    forth = _lucas_kanade(before, after, place)
    back = _lucas_kanade(after, before, forth)
    finite: NDArray[np.bool_] = np.isfinite(forth).sum(axis=1) == 2
    ok = finite & (np.linalg.norm(back - place, axis=1) < _ROUND_TRIP)
    return np.where(finite[:, None], forth, place), ok


def _lucas_kanade(before: NDArray[np.uint8], after: NDArray[np.uint8], place: Array) -> Array:
    coarse = _follow(before, after, place, place, _WINDOWS[0], _LEVELS)
    return _follow(before, after, place, coarse, _WINDOWS[1], 0)


def _follow(
    before: NDArray[np.uint8], after: NDArray[np.uint8], place: Array, guess: Array, window: int, levels: int
) -> Array:
    """One Lucas-Kanade search in a square window, from a guess."""
    start, first = (x[:, None].astype(np.float32).copy() for x in (place, guess))
    size, flags = (window, window), cv2.OPTFLOW_USE_INITIAL_FLOW
    points, _, _ = cv2.calcOpticalFlowPyrLK(before, after, start, first, winSize=size, maxLevel=levels, flags=flags)
    ends: Array = np.asarray(points, dtype=np.float32)[:, 0]
    return ends


def _carry(place: Array, forth: Array, good: NDArray[np.bool_]) -> Array:
    """Where each point would go with the frame's overall motion (a robust similarity from the good points)."""
    if good.sum() < 3:
        return place
    matrix = _robust_similarity(place[good], forth[good])
    moved: Array = (place @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved


def _robust_similarity(a: Array, b: Array) -> Array:
    """2x3 similarity from a to b by reweighted least squares (no random draws: same points, same answer)."""
    za, zb = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
    weight = np.ones(len(za))
    turn, shift = 1 + 0j, 0j
    for sigma in (32.0, 16.0, 8.0, 4.0, 2.0, 1.0, 1.0):
        total = weight.sum()
        ma, mb = (weight * za).sum() / total, (weight * zb).sum() / total
        spread = (weight * np.abs(za - ma) ** 2).sum()
        turn = (weight * np.conj(za - ma) * (zb - mb)).sum() / spread if spread > 1e-6 else 1 + 0j
        shift = mb - turn * ma
        weight = (sigma**2 / (sigma**2 + np.abs(zb - turn * za - shift) ** 2)) ** 2 + 1e-12
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=np.float32)
