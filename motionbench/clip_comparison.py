"""Two clips beside each other: any metrics on a generated clip and its reference, without a split or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from motionbench import registry
from motionbench.clip import Clip
from motionbench.device import resolve_device
from motionbench.errors import MotionBenchError
from motionbench.footage import AUTO, tracker_for_world, world_of_size
from motionbench.metric import Measurement, Metric, MetricInfo, MetricRuntime, Sample
from motionbench.pair import SHAPE, measure, to_sample, unmeasured
from motionbench.scorer import DEFAULT_METRICS, metric_infos
from motionbench.track_cache import TrackCache

if TYPE_CHECKING:
    import pandas as pd

AnyClip = Clip | NDArray[np.uint8] | str | Path


@dataclass(frozen=True)
class ClipComparison:
    """What metrics say of two clips, and of what marks their scale: a frozen first frame and the reference itself.

    values, frozen, copied: metric -> Measurement, of the generated clip, of the reference's first frame held, and of
    the reference against itself. infos: what each metric says of itself. tracker: `name vVERSION`.
    """

    values: dict[str, Measurement]
    frozen: dict[str, Measurement]
    copied: dict[str, Measurement]
    infos: dict[str, MetricInfo]
    tracker: str

    def __getitem__(self, metric: str) -> float | None:
        """The value of a metric; None if it could not be measured."""
        return self.values[registry.canonical(metric)].value

    def frame(self) -> pd.DataFrame:
        """A line per metric: value, those of both yardsticks, which way is better, and why a value is missing."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "metric": name,
                    "value": measured.value,
                    "frozen": self.frozen[name].value,
                    "copy": self.copied[name].value,
                    "better": self.infos[name].better,
                    "note": measured.note,
                }
                for name, measured in self.values.items()
            ]
        )

    def _repr_html_(self) -> str:
        from motionbench.html import to_html
        from motionbench.table import metric_title, number

        rows = [
            (metric_title(self.infos[name]), *(number(each[name].value) for each in sides), measured.note)
            for sides in [(self.values, self.frozen, self.copied)]
            for name, measured in self.values.items()
        ]
        return to_html(f"tracker {self.tracker}", ("metric", "value", "frozen", "copy", "note"), rows)


def compare_clips(
    generated: AnyClip,
    reference: AnyClip,
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    prompt: str = "",
    caption: str = "",
    tracker: str = AUTO,
    device: str = "auto",
    fps: float = 8.0,
) -> ClipComparison:
    """Measures how a generated clip fits a reference: paths, clips, or frames (T, H, W, 3) uint8 at `fps`.

    Both are made comparable first, as scoring does it (`motionbench.pair`). prompt (what was asked for) and caption
    (what the reference shows) are for the metrics that ask. tracker `auto`, and the models of
    images and texts, go by the reference's size: those of the embedded world, or those for real footage.
    Raises VideoError, ShapeError, UnknownNameError; a metric that cannot be made ready has its reason as a note.

    Examples:
        >>> import numpy as np
        >>> import motionbench as mb
        >>> scene = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
        >>> pan = np.stack([scene[:, t : t + 32] for t in range(8)])
        >>> found = mb.compare_clips(pan[::-1], pan, ["motion_fidelity"], tracker="lk")
        >>> found["motion_fidelity"] < -0.8
        True
    """
    clips = to_clip(generated, fps), to_clip(reference, fps)
    infos = metric_infos(metrics)
    runtime = MetricRuntime(resolve_device(device), world_of_size(clips[1].height, clips[1].width))
    tracks = TrackCache(tracker_for_world(tracker, runtime.world), device=runtime.device, grid=SHAPE.grid)
    sample = to_sample(*clips, tracks, prompt=prompt, caption=caption)
    still = sample.reference.with_frames(np.repeat(sample.reference.frames[:1], len(sample.reference), axis=0))
    samples = [sample, replace(sample, generated=still), replace(sample, generated=sample.reference)]
    made = {name: _create(name, runtime) for name in infos}
    values, frozen, copied = ({name: _measure(made[name], each) for name in infos} for each in samples)
    return ClipComparison(values, frozen, copied, infos, tracks.label)


def to_clip(clip: AnyClip, fps: float) -> Clip:
    """A clip, or what can be read as one. Raises VideoError, ShapeError."""
    if isinstance(clip, Clip):
        return clip
    return Clip.read(clip) if isinstance(clip, str | Path) else Clip(np.asarray(clip), fps)


def _create(name: str, runtime: MetricRuntime) -> Metric | MotionBenchError:
    try:
        metric: Metric = registry.load("metrics", name).create(runtime)
    except MotionBenchError as error:
        return error
    return metric


def _measure(metric: Metric | MotionBenchError, sample: Sample) -> Measurement:
    if isinstance(metric, MotionBenchError):
        return unmeasured(metric)
    measured = measure(metric, sample)
    return measured if measured.value is None else replace(measured, value=float(measured.value))
