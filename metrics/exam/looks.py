"""Real clips made over: looks that keep the motion and change what is seen, and faults of motion by degrees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.world import Corruption

Frames = NDArray[np.uint8]
_STRENGTHS = (1 / 3, 2 / 3, 1.0)
_CRF = 28  # as strongly as the web compresses: a generated clip is never the reference's own pixels
_CROP = 0.8  # of the frame is seen through the moving window of `drift`


def reencoded(clip: Clip) -> Clip:
    """The clip as H.264 at crf 28 gives it back. Raises VideoError."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        even = clip.even()
        even.write(path, crf=_CRF)
        frames = Clip.read(path, expected_frames=len(clip)).frames
    padding = [(0, 0), (0, clip.height - even.height), (0, clip.width - even.width), (0, 0)]
    return clip.with_frames(np.pad(frames, padding, mode="edge"))


def copy(frames: Frames) -> Frames:
    """As it is (compressed like all the others): the ceiling."""
    return frames


def permuted(frames: Frames) -> Frames:
    """Red, green and blue change places."""
    return frames[..., [2, 0, 1]]


def inverted(frames: Frames) -> Frames:
    """A negative."""
    return 255 - frames


def posterized(frames: Frames) -> Frames:
    """Four levels of each color."""
    return frames // 64 * 64 + 32


def dark_and_tinted(frames: Frames) -> Frames:
    """At 45% of its light, through an amber glass."""
    tinted: Frames = (frames * np.array([0.45, 0.38, 0.27])).astype(np.uint8)
    return tinted


def recolored(frames: Frames) -> Frames:
    """Another hue for each band of lightness."""
    import cv2

    def recolor(frame: Frames) -> Frames:
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + hsv[..., 2] // 43 * np.uint8(35)) % 180
        hsv[..., 1] = np.maximum(hsv[..., 1], 90)
        return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)

    return np.stack([recolor(frame) for frame in frames])


def stylized(frames: Frames) -> Frames:
    """Flat areas with strong edges, as if painted."""
    import cv2

    return np.stack([np.asarray(cv2.stylization(frame, sigma_s=40, sigma_r=0.45), np.uint8) for frame in frames])


def sketched(frames: Frames) -> Frames:
    """A pencil drawing."""
    import cv2

    drawn = [cv2.pencilSketch(frame, sigma_s=30, sigma_r=0.07, shade_factor=0.05)[0] for frame in frames]
    return np.repeat(np.asarray(np.stack(drawn), np.uint8)[..., None], 3, axis=-1)


LOOKS: dict[str, Callable[[Frames], Frames]] = {
    f.__name__: f
    for f in (copy, permuted, inverted, posterized, dark_and_tinted, recolored, stylized, sketched)
}  # fmt: skip


def _at_times(frames: Frames, times: NDArray[np.floating[Any]]) -> Frames:
    taken: Frames = frames[np.clip(np.floor(times + 0.5).astype(int), 0, len(frames) - 1)]
    return taken


def delayed(frames: Frames, strength: float) -> Frames:
    """Nothing moves for strength x half of the time; the rest is cut off."""
    return _at_times(frames, np.arange(len(frames)) - strength * len(frames) / 2)


def slower(frames: Frames, strength: float) -> Frames:
    """Down to a third of the speed."""
    return _at_times(frames, np.arange(len(frames)) * (1 - strength * 2 / 3))


def faster(frames: Frames, strength: float) -> Frames:
    """Up to three times the speed, then still."""
    return _at_times(frames, np.arange(len(frames)) * (1 + 2 * strength))


def partly_frozen(frames: Frames, strength: float) -> Frames:
    """The last `strength` of the clip stands still."""
    return _at_times(frames, np.minimum(np.arange(len(frames)), (1 - strength) * (len(frames) - 1)))


def drift(frames: Frames, strength: float) -> Frames:
    """A window of 80% of the frame moves across it, from corner to corner at full strength."""
    import cv2

    length, height, width = frames.shape[:3]
    h, w = round(height * _CROP), round(width * _CROP)
    ramp = 0.5 + strength * (np.linspace(0, 1, length) - 0.5)
    moved = []
    for frame, part in zip(frames, ramp, strict=True):
        top, left = part * (height - h), part * (width - w)
        view = np.array([[width / w, 0, -left * width / w], [0, height / h, -top * height / h]])
        moved.append(cv2.warpAffine(frame, view, (width, height), flags=cv2.INTER_LINEAR))
    return np.asarray(np.stack(moved), np.uint8)


def _backwards(frames: Frames) -> Frames:
    return frames[::-1]


def _mirrored(frames: Frames) -> Frames:
    return frames[:, :, ::-1]


def _frozen(frames: Frames) -> Frames:
    return np.repeat(frames[:1], len(frames), axis=0)


FAULTS: dict[str, Callable[[Frames, float], Frames]] = {
    f.__name__: f for f in (delayed, slower, faster, partly_frozen, drift)
}  # fmt: skip
CONTROLS: dict[str, Callable[[Frames], Frames]] = {
    "frozen": _frozen, "reversed": _backwards, "mirrored": _mirrored
}  # fmt: skip
CORRUPTIONS: tuple[Corruption, ...] = tuple(
    Corruption(name, "camera" if name == "drift" else "motion", _STRENGTHS, (), fault.__doc__ or "")
    for name, fault in FAULTS.items()
)


def spoiler(name: str, strength: float) -> Callable[[Frames], Frames]:
    """The fault of that name at that strength, as an edit of frames."""
    return lambda frames: FAULTS[name](frames, strength)


def made_over(clip: Clip, edit: Callable[[Frames], Frames]) -> Clip:
    """The clip after an edit of its frames, compressed. Raises VideoError."""
    return reencoded(clip.with_frames(np.ascontiguousarray(edit(clip.frames))))
