"""What a metric is: one sample in, one value (or a counted null) out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

from motionbench.clip import Clip
from motionbench.tracks import Tracks


@dataclass(frozen=True)
class MetricInfo:
    """What a table or a plot must know of a metric.

    source: paper, section, code. summary: what it measures, in a line. version rises whenever a value could change;
    range is (worst or lowest, best or highest possible), None = unbounded.
    better: `higher`, `lower`, `zero` (closest to zero), or `none` (it describes: neither end is better).
    floor, ceiling: the control methods that mark both ends. measures: what it judges, `other` if none of these. faults:
    the corruptions, or kinds of them, that its exam holds it to; none: all of motion and camera for a metric of motion,
    nothing for others. title: what a column of a page is called; none: the name in words.
    headline: methods are ranked by it, and it stands first.
    """

    name: str
    version: int
    unit: str
    range: tuple[float | None, float | None]
    better: Literal["higher", "lower", "zero", "none"]
    source: str
    summary: str
    floor: str = "frozen"
    ceiling: tuple[str, ...] = ("oracle", "copy")  # the first that is in the results
    measures: Literal["motion", "appearance", "time", "text", "other"] = "other"
    faults: tuple[str, ...] = ()
    title: str = ""
    headline: bool = False

    @property
    def heading(self) -> str:
        """The title, or the name in words."""
        return self.title or self.name.replace("_", " ").capitalize()


def headline_of(infos: Mapping[str, MetricInfo]) -> str | None:
    """The name of the metric that says to be the headline; None if none of these does."""
    return next((name for name, info in infos.items() if info.headline), None)


@dataclass(frozen=True)
class Measurement:
    """A value, or None with the reason in `note` (say `static reference`); details are JSON numbers and strings."""

    value: float | None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """All that a metric may look at: one generated clip and what it should have been.

    Both clips have the same T and size (fairness: nearest-frame sampling, done by the scorer).
    tracks(clip): point tracks of a clip by the run's tracker, computed once and cached by the clip's hash.
    case_id, category: for messages and details only; a metric does not branch on them.
    """

    generated: Clip
    reference: Clip
    prompt: str
    caption: str
    case_id: str
    category: str
    tracks: Callable[[Clip], Tracks]


@dataclass(frozen=True)
class MetricRuntime:
    """Where a metric runs, and on what. device as in `method.Runtime`.

    world: the installed world whose footage is measured, None for any other (`motionbench.footage`): a metric that
    sees by a learned model takes the one that knows such pictures.
    """

    device: str = "cpu"
    world: str | None = None


@runtime_checkable
class Metric(Protocol):
    """A metric. No averages, no files; unmeasurable is Measurement(None, reason), never 0 or NaN.

    One that sees by a learned model may say by a class method `model_name(runtime)` which, without loading it; its
    details then name the model as `model`, the name first and the hash of its weights last.
    """

    info: ClassVar[MetricInfo]

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self: ...

    def measure(self, sample: Sample) -> Measurement: ...


def model_name(metric: Any, runtime: MetricRuntime) -> str | None:
    """The model that a metric class takes in a runtime, by its own `model_name`; None if it tells of none."""
    tell: Callable[[MetricRuntime], str] | None = getattr(metric, "model_name", None)
    return None if tell is None else tell(runtime)
