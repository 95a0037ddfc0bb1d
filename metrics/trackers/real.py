"""The tracker of real footage: the same network with a strided stem, learned from clips made of nothing."""

from __future__ import annotations

import math

from .learned import WEIGHTS, LearnedTracker

CELLS = (7168, 9216)  # of a frame, whatever its aspect: 84 x 84 to 96 x 96 of a square, 112 x 64 to 128 x 72 at 16:9
WIDEST = 3.0  # ratio of the sides up to which a clip keeps its aspect
COARSEST = 4  # cells a side of those of the coarsest features


class RealTracker(LearnedTracker):
    """Learned point tracker for footage of any kind, size and aspect, with occlusion; shipped.

    A clip is seen at its own aspect with 115,000 to 147,000 pixels (336 x 336, 512 x 288), smaller ones enlarged.

    Trained on clips whose pictures, things and motions are all drawn by the program: see the card beside the weights
    for what it was measured to do, and not to do.
    """

    name = "real"
    version = 2
    folder = WEIGHTS / "real_tracker"
    longest = 120  # frames of six megabytes each
    trained_by = "training.real_tracker.train"

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Height and width, in cells of 4x4 pixels, at which the network sees a clip of so many pixels."""
        ratio = min(max(width / height, 1 / WIDEST), WIDEST)
        wanted = min(max(height * width / self.model.config.stem**2, CELLS[0]), CELLS[1])
        tall = math.sqrt(wanted / ratio)
        return _whole(tall), _whole(tall * ratio)


def _whole(cells: float) -> int:
    return COARSEST * round(cells / COARSEST)
