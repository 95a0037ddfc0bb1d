"""Duplicates: clips with the same frames, and clips that look and move alike though their bytes differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from motionbench.clip import Clip

from .finding import Finding

Bits = NDArray[np.bool_]
ALIKE = 0.35  # distance below which two clips are one: see the figures in tests/data_hub/test_duplicates.py
LONG, STRIDE = 48, 3  # of clips longer than LONG every third frame is hashed: the same rate for all of them
LOOK, MOVE = (8, 9), (8, 8)  # cells of the two hashes
LEAST_CHANGE = 0.3  # of the largest change in a frame: below it a cell is noise of the encoder
OVERLAP = 0.4  # of the shorter clip: a cut that shares so much of another is a duplicate too


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of a clip to tell it from others: the hash of its pixels, its perceptual hash, its file."""

    sha256: str
    bits: Bits
    file: str

    @classmethod
    def of(cls, clip: Clip) -> Look:
        """The look of a clip of at least two frames."""
        return cls(clip.sha256, perceptual_hash(clip), str(clip.path or ""))


def find_duplicates(looks: Mapping[str, Look]) -> Iterator[Finding]:
    """A finding for each pair of clips that is one clip twice: same frames, re-encoded, resized, or cut elsewhere."""
    first: dict[str, str] = {}
    for name, look in looks.items():
        other = first.setdefault(look.sha256, name)
        if other != name:
            yield Finding("duplicate", name, f"has the very frames of {other}; remove one", look.file)
    for one, two in combinations(first.values(), 2):
        distance, overlap = nearest_overlap(looks[one].bits, looks[two].bits)
        if distance <= ALIKE:
            text = f"looks and moves like {one} ({overlap:.0%} of its frames, distance {distance:.2f}); remove one"
            yield Finding("near_duplicate", two, text, looks[two].file)


def perceptual_hash(clip: Clip) -> Bits:
    """(T-1, B) bits: per frame which cells are brighter than their right neighbor, and which change much to the next.

    The first half sees the picture, the second the motion: clips of one scene with other motion differ in the second.
    """
    import cv2

    taken = clip.frames[:: STRIDE if len(clip) > LONG else 1]
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in taken]).astype(np.float32)
    small = np.stack([cv2.resize(frame, LOOK[::-1], interpolation=cv2.INTER_AREA) for frame in gray])
    looks = (small[:-1, :, 1:] > small[:-1, :, :-1]).reshape(len(gray) - 1, -1)
    change = np.abs(np.diff(gray, axis=0))
    cells = np.stack([cv2.resize(frame, MOVE[::-1], interpolation=cv2.INTER_AREA) for frame in change])
    moves = (cells > LEAST_CHANGE * cells.max(axis=(1, 2), keepdims=True)).reshape(len(cells), -1)
    return np.concatenate([looks, moves], axis=1)


def nearest_overlap(a: Bits, b: Bits) -> tuple[float, float]:
    """(distance, overlap): the least distance over all shifts in time, in [0, 1], and the shorter clip's share in it.

    Both halves must agree, so the larger counts: of the first the share of bits that differ, doubled since half of them
    agree by chance; of the second, where few bits are set, the share of set bits that the two have not in common.
    """
    half = LOOK[0] * (LOOK[1] - 1)
    shorter = min(len(a), len(b))
    best = (1.0, 0.0)
    for shift in range(-len(b) + 1, len(a)):
        start, stop = max(0, shift), min(len(a), shift + len(b))
        if stop - start < OVERLAP * shorter or stop - start < 2:
            continue
        one, two = a[start:stop], b[start - shift : stop - shift]
        look = min(1.0, 2 * float((one[:, :half] != two[:, :half]).mean()))
        either = int((one[:, half:] | two[:, half:]).sum())
        move = 1 - int((one[:, half:] & two[:, half:]).sum()) / either if either else 0.0
        distance = max(look, move)
        best = min(best, (distance, (stop - start) / shorter))
    return best
