"""Truth: the tracker that knows, on clips with ground truth beside them; it parts metric error from tracker error."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingInputError
from motionbench.tracks import Tracks


class TruthTracker:
    """Exact tracks from the ground truth beside a split's reference; generated clips have none (see `validate`)."""

    name: ClassVar[str] = "truth"
    version: ClassVar[int] = 1

    def __init__(self, world: Any) -> None:
        self.world = world

    @classmethod
    def create(cls, device: str) -> Self:
        return cls(registry.load("worlds", "procedural")())

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        """True tracks of `queries` (N, 2), in the clip's own pixels and at its frames.

        Raises MissingInputError if no ground truth lies beside the clip's file.
        """
        if clip.path is None:
            raise MissingInputError("tracker truth needs a split's reference, with ground truth beside its file")
        scale = np.array([self.world.width / clip.width, self.world.height / clip.height], np.float32)
        true: Tracks = self.world.true_tracks(clip.path, ((queries + 0.5) * scale - 0.5).astype(np.float32))
        index = np.linspace(0, true.points.shape[1] - 1, len(clip)).round().astype(int)
        points = ((true.points[:, index] + 0.5) / scale - 0.5).astype(np.float32)
        return Tracks(points, true.visible[:, index], clip.height, clip.width)
