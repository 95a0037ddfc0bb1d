"""Point tracks by clip: computed once, kept in memory and on disk under the hash of the clip's pixels."""

from __future__ import annotations

import io
from collections import OrderedDict
from pathlib import Path

import numpy as np

from motionbench import registry
from motionbench.clip import Clip
from motionbench.disk_cache import DiskCache
from motionbench.tracks import Tracker, Tracks, grid_queries

IN_MEMORY = 64  # clips whose tracks stay in memory: a few MB, enough for the prompts and seeds of a reference


class TrackCache:
    """A callable Clip -> Tracks on a full grid of `grid` x `grid` points, by one tracker.

    The tracker is made when first needed. A damaged file is rebuilt; a folder that cannot be written costs speed only.
    `used` says whether tracks were asked for since it was last set to False: a score then depends on the tracker.
    """

    def __init__(self, tracker: str, *, device: str, grid: int, folder: Path | None = None) -> None:
        self.tracker_class: type[Tracker] = registry.load("trackers", tracker)
        self.device, self.grid = device, grid
        self.label = f"{self.tracker_class.name} v{self.tracker_class.version}"
        self.name = f"{self.label} grid {grid}"
        self._disk = DiskCache("tracks", None if folder is None else folder / "tracks")
        self.used = False
        self._tracker: Tracker | None = None
        self._memory: OrderedDict[str, Tracks] = OrderedDict()

    def __call__(self, clip: Clip) -> Tracks:
        """The clip's tracks. Raises what the tracker raises."""
        self.used = True
        key = clip.sha256
        tracks = self._memory.get(key)
        if tracks is None:
            tracks = self._from_disk(key, clip)
        if tracks is None:
            tracks = self._compute(clip)
            self._to_disk(key, tracks)
        self._memory[key] = tracks
        self._memory.move_to_end(key)
        if len(self._memory) > IN_MEMORY:
            self._memory.popitem(last=False)
        return tracks

    def cached(self, clip: Clip) -> Tracks | None:
        """The clip's tracks if they were computed before, else None: computes nothing."""
        tracks = self._memory.get(clip.sha256)
        return self._from_disk(clip.sha256, clip) if tracks is None else tracks

    def _compute(self, clip: Clip) -> Tracks:
        if self._tracker is None:
            self._tracker = self.tracker_class.create(self.device)
        return self._tracker.track(clip, grid_queries(clip.height, clip.width, self.grid))

    def _from_disk(self, key: str, clip: Clip) -> Tracks | None:
        def decode(data: bytes) -> Tracks:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return Tracks(file["points"], file["visible"], clip.height, clip.width)

        tracks = self._disk.get(f"{self.name} {key}", decode)
        return tracks if tracks is not None and tracks.points.shape[1] == len(clip) else None

    def _to_disk(self, key: str, tracks: Tracks) -> None:
        data = io.BytesIO()
        np.savez(data, points=tracks.points, visible=tracks.visible)
        self._disk.put(f"{self.name} {key}", data.getvalue())
