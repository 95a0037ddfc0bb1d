"""Features of frames, computed once: the windows of a clip and the clip itself show the same frames, a still one only
one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from ..threads import Workers

ROOM = 400 * 2**20  # bytes kept from call to call: the 49 frames of a clip that is scored, as the tracker `real` sees

Frames = NDArray[np.uint8]
Levels = list[torch.Tensor]  # features (1, T, h, w, C) at each stride


@dataclass(frozen=True, eq=False)
class Seen:
    """The features of one call's frames; index: where each frame lies in them, by its digest."""

    index: dict[bytes, int]
    levels: Levels

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(level.numel() * level.element_size() for level in self.levels)

    def frame(self, key: bytes) -> Levels:
        """Those of one frame."""
        i = self.index[key]
        return [level[:, i : i + 1] for level in self.levels]


class FrameMemory:
    """What a network said of the frames of the last calls, by their pixels.

    Each is described alone: that keeps every worker busy, and what it takes is small enough to lie near the processor.
    """

    def __init__(self, describe: Callable[[Frames], Levels]) -> None:
        self._describe = describe
        self._seen: list[Seen] = []  # the latest last

    def levels(self, frames: Frames, team: Workers) -> Levels:
        """Features of frames (T, H, W, 3); those that are not held are described, one by one."""
        keys = team.map(_digest, frames)
        found = {key: seen.frame(key) for seen in self._seen for key in keys if key in seen.index}
        new = {key: frame for key, frame in zip(keys, frames, strict=True) if key not in found}
        described = team.map(lambda frame: self._describe(frame[None]), new.values())
        found.update(zip(new, described, strict=True))
        whole = team.map(partial(torch.cat, dim=1), zip(*(found[key] for key in keys), strict=True))
        self._keep(Seen({key: i for i, key in enumerate(keys)}, whole))
        return whole

    def _keep(self, latest: Seen) -> None:
        """As many of the last calls as there is room for; one whose frames another shows, too, need not be held."""
        self._seen = [s for s in self._seen if not s.index.keys() <= latest.index.keys()] + [latest]
        while sum(seen.size for seen in self._seen) > ROOM:
            del self._seen[0]


def _digest(frame: Frames) -> bytes:
    digest = hashlib.sha256(repr(frame.shape).encode())
    digest.update(np.ascontiguousarray(frame).data)
    return digest.digest()
