"""Pixel change as a metric: does as much happen from frame to frame as in the reference?"""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample

STILL = 0.25  # gray levels per frame: what H.264 adds to a clip in which nothing moves


def frames_to_change(frames: NDArray[np.uint8]) -> float:
    """Mean absolute difference of successive frames (T, H, W, 3), in gray levels per frame; T >= 2."""
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean())


class PixelChange:
    """How much the pixels change, against the reference: log2 of the ratio, 0 is ideal, -1 half as much."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="pixel_change",
        version=1,
        unit="octaves",
        range=(None, None),
        better="zero",
        source="this example",
        summary="log2 of the mean change from frame to frame over the reference's; 0 is ideal",
        measures="motion",
    )

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        """The metric; it needs no device."""
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        """None for a reference in which nothing changes; a frozen clip is taken to change by `STILL`."""
        generated, reference = (frames_to_change(clip.frames) for clip in (sample.generated, sample.reference))
        if reference <= STILL:
            return Measurement(None, "static reference")
        details = {"generated": round(generated, 4), "reference": round(reference, 4)}
        return Measurement(float(np.log2(max(generated, STILL) / reference)), "", details)
