"""ClipMetric: any metric as a torchmetrics.Metric, which gathers values over batches, steps and processes."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics import Metric

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.footage import AUTO, tracker_for_world, world_of_size
from motionbench.metric import MetricInfo, MetricRuntime
from motionbench.pair import SHAPE, to_sample
from motionbench.track_cache import TrackCache
from motionbench.tracks import Tracks

Texts = str | Sequence[str]


class ClipMetric(Metric):
    """Any installed metric by its name: `ClipMetric("my_metric")`; ours have classes of their own in `torchmetrics`.

    name: as `motionbench list metrics` spells it; not asked where the class says it. tracker: a plugin's name, or
    `auto`: `tiny` for references of the embedded world's size, else `real`; models of images and texts are chosen so,
    too (`motionbench.footage`). Models and trackers run where the metric was
    moved to (`.to("cuda")`) and are made at the first update. Other keywords are torchmetrics' own.
    measured, missing: how many clips have a value, and how many have none; reasons: why, of this process only.
    Raises UnknownNameError; at the first update also MissingWeightsError or MissingExtra with the mending command.
    """

    is_differentiable = False
    full_state_update = False
    metric: ClassVar[str] = ""
    total: torch.Tensor
    measured: torch.Tensor
    missing: torch.Tensor
    mark: torch.Tensor

    def __init__(self, name: str | None = None, *, tracker: str = AUTO, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.name = registry.resolve("metrics", name or self.metric)
        self.tracker = tracker
        self.reasons: Counter[str] = Counter()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("measured", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("missing", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # A MetricCollection takes metrics whose states agree after one batch for the same metric and updates but one
        # of them; two that could measure nothing yet would agree.
        mark = hashlib.sha256(repr((self.name, tracker)).encode()).digest()
        self.add_state("mark", torch.tensor(list(mark), dtype=torch.int64), dist_reduce_fx="max")

    @property
    def info(self) -> MetricInfo:
        """What the metric says of itself: version, unit, range, which way is better."""
        info: MetricInfo = registry.load("metrics", self.name).info
        return info

    @property
    def higher_is_better(self) -> bool | None:  # type: ignore[override]
        """None where the ideal is zero."""
        return {"higher": True, "lower": False}.get(self.info.better)

    def update(
        self,
        generated: torch.Tensor,
        reference: torch.Tensor,
        prompt: Texts = "",
        caption: Texts = "",
        *,
        fps: float = 8.0,
        reference_paths: Sequence[str | Path] | None = None,
    ) -> None:
        """Measures B pairs of clips (B, T, C, H, W), uint8, or floating in [0, 1]; T, H and W of the two may differ.

        prompt, caption: what was asked for, and what the reference shows; one text a clip, or one for all.
        reference_paths: files of the references, for metrics and trackers that read the ground truth beside them.
        Raises ShapeError.
        """
        made, true = to_clips(generated, fps), to_clips(reference, fps, reference_paths)
        if len(made) != len(true):
            raise ShapeError(f"generated and reference must hold as many clips, got {len(made)} and {len(true)}")
        prompts, captions = _texts("prompt", prompt, len(made)), _texts("caption", caption, len(made))
        for clips in zip(made, true, prompts, captions, strict=True):
            self._add(*clips)

    def _add(self, generated: Clip, reference: Clip, prompt: str, caption: str) -> None:
        runtime = MetricRuntime(str(self.device), world_of_size(reference.height, reference.width))

        def tracks(clip: Clip) -> Tracks:  # looked up when a metric asks: others need no tracker to be installed
            return _tracks(tracker_for_world(self.tracker, runtime.world), runtime.device)(clip)

        sample = to_sample(generated, reference, tracks, prompt=prompt, caption=caption)
        # Not `pair.measure`, which makes a null of an error: here one can be mended, and so ends the update.
        measured = _metric(self.name, runtime).measure(sample)
        if measured.value is None or not math.isfinite(measured.value):
            self.missing += 1
            self.reasons[measured.note or f"the value is {measured.value}"] += 1
        else:
            self.measured += 1
            # As in a summary: where closest to zero is best, opposite errors must not cancel.
            self.total += abs(measured.value) if self.info.better == "zero" else measured.value

    def forward(self, *args: Any, **keywords: Any) -> Any:
        """`update`, and the mean over this batch alone."""
        before = self.reasons  # the batch is measured on a state that was reset
        value = super().forward(*args, **keywords)
        self.reasons = before + self.reasons
        return value

    def compute(self) -> torch.Tensor:
        """Mean of what could be measured, float64, of distances from 0 where 0 is ideal; NaN if nothing could."""
        return self.total / self.measured

    def reset(self) -> None:
        """Forgets all clips."""
        super().reset()
        self.reasons = Counter()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, tracker={self.tracker!r})"


def to_clips(batch: torch.Tensor, fps: float, paths: Sequence[str | Path] | None = None) -> list[Clip]:
    """The clips of a batch (B, T, C, H, W), uint8 or floating in [0, 1]. Raises ShapeError."""
    if batch.ndim != 5 or batch.shape[2] != 3:
        raise ShapeError(f"clips must be (B, T, 3, H, W), got {tuple(batch.shape)}; unsqueeze(0) makes a batch of one")
    if paths is not None and len(paths) != len(batch):
        raise ShapeError(f"there must be one path for each of {len(batch)} clips, got {len(paths)}")
    frames = _to_bytes(batch.detach())
    files = [None] * len(frames) if paths is None else [Path(path) for path in paths]
    return [Clip(clip, fps, path) for clip, path in zip(frames, files, strict=True)]


def _to_bytes(batch: torch.Tensor) -> NDArray[np.uint8]:
    """(B, T, H, W, 3) uint8; floating values are rounded. Raises ShapeError for values that are no colors."""
    if batch.is_floating_point():
        if batch.numel() and not bool(((batch >= 0) & (batch <= 1)).all()):
            raise ShapeError(
                f"floating clips must lie in [0, 1], got {batch.min():.3g} to {batch.max():.3g}; "
                "(x + 1) / 2 brings there what lies in [-1, 1]"
            )
        batch = (batch.float() * 255).round().to(torch.uint8)
    if batch.dtype != torch.uint8:
        raise ShapeError(f"clips must be uint8 or floating in [0, 1], got {batch.dtype}")
    return np.ascontiguousarray(batch.permute(0, 1, 3, 4, 2).cpu().numpy())


def _texts(kind: str, texts: Texts, count: int) -> list[str]:
    values = [texts] * count if isinstance(texts, str) else list(texts)
    if len(values) != count:
        raise ShapeError(f"{kind} must be one text or one for each of {count} clips, got {len(values)}")
    return values


@lru_cache(maxsize=32)
def _metric(name: str, runtime: MetricRuntime) -> Any:
    """One metric per runtime for all copies of it: models are loaded once, and a pickled metric carries none."""
    return registry.load("metrics", name).create(runtime)


@lru_cache(maxsize=8)
def _tracks(tracker: str, device: str) -> TrackCache:
    """One cache for all metrics of a process, so that a collection of them tracks each clip once."""
    return TrackCache(tracker, device=device, grid=SHAPE.grid)
