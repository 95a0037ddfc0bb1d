"""A split of small clips, and metrics and trackers that need no weights, for tests of the whole path."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from motionbench import registry
from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.errors import MissingInputError, MissingWeightsError, ShapeError
from motionbench.manifest import write_manifest
from motionbench.method import InputContract, Runtime
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample
from motionbench.tracks import Tracks

FRAMES, SIDE = 5, 32


def make_clip(seed: int, frames: int = FRAMES, height: int = SIDE, width: int = SIDE, fps: float = 8.0) -> Clip:
    """A smooth pattern that moves to the right by one pixel a frame."""
    phase = np.random.default_rng(seed).uniform(0, 6, 3)
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        128 + 90 * np.sin((x - t)[..., None] / (4 + np.arange(3)) + y[..., None] / 7 + phase) for t in range(frames)
    ]
    return Clip(np.stack(planes).round().astype(np.uint8), fps)


def make_split(folder: Path, references: int = 2, categories: tuple[str, ...] = ("camera", "human")) -> Path:
    """A split's folder: `references` clips in each category, two prompts for each."""
    cases = []
    for c, category in enumerate(categories):
        for r in range(references):
            path = folder / f"clips/{category}{r}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            make_clip(10 * c + r).write(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            for n, level in enumerate((Level.SUBJECT, Level.SCENE)):
                case_id = f"{category}/{r:04}/{n}"
                words = (f"clips/{category}{r}.mp4", digest, "waves", f"prompt {n}")
                cases.append(Case(case_id, Category(category), *words, level, "CC0-1.0", "made here"))
    write_manifest(folder / "manifest.jsonl", cases)
    return folder


@dataclass
class Still:
    """A tracker that sees no motion."""

    name: ClassVar[str] = "still"
    version: ClassVar[int] = 1
    calls: ClassVar[int] = 0

    @classmethod
    def create(cls, device: str) -> Self:
        return cls()

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        type(self).calls += 1
        points = np.repeat(queries[:, None], len(clip), axis=1)
        return Tracks(points, np.ones(points.shape[:2], bool), clip.height, clip.width)


class Restless(Still):
    """A tracker that sees everything go right."""

    name = "restless"

    def track(self, clip: Clip, queries: NDArray[np.float32]) -> Tracks:
        still = super().track(clip, queries)
        moved = still.points + np.arange(len(clip), dtype=np.float32)[None, :, None] * np.float32([1, 0])
        return Tracks(moved, still.visible, clip.height, clip.width)


def make_metric(
    measure: Callable[[Sample], Measurement], name: str, version: int = 1, ceiling: tuple[str, ...] = ("copy",)
) -> type:
    """A metric class around a function."""

    class Made:
        info = MetricInfo(name, version, "", (None, None), "higher", "test", "test", ceiling=ceiling)

        @classmethod
        def create(cls, runtime: MetricRuntime) -> Self:
            return cls()

        def measure(self, sample: Sample) -> Measurement:
            return measure(sample)

    return Made


def change(sample: Sample) -> Measurement:
    """Mean change from frame to frame: 0 for a frozen clip."""
    return Measurement(float(np.abs(np.diff(sample.generated.frames.astype(float), axis=0)).mean()))


def travel(sample: Sample) -> Measurement:
    """Mean path of the tracks, in pixels."""
    points = sample.tracks(sample.generated).points
    return Measurement(float(np.abs(np.diff(points, axis=1)).mean()), details={"points": len(points)})


def picky(sample: Sample) -> Measurement:
    """Refuses human motion, and calls the first camera clip unmeasurable."""
    if sample.category == "human":
        raise ShapeError("no people")
    return Measurement(None, "too plain") if sample.case_id == "camera/0000/0" else Measurement(1.0)


class Unready:
    """A metric whose weights are missing."""

    info = MetricInfo("unready", 1, "", (None, None), "higher", "test", "test")

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        raise MissingWeightsError("weights of unready are missing; motionbench doctor says how to get them")

    def measure(self, sample: Sample) -> Measurement:
        raise AssertionError("never made")


class Hopeless:
    """A method whose every attempt fails."""

    name = "hopeless"
    contract = InputContract(trains=False, start_latent="none", sees_reference=False, uses_backbone=False)
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    @dataclass(frozen=True)
    class Config:
        """No settings."""

    @classmethod
    def create(cls, config: Any, runtime: Runtime) -> Self:
        return cls()

    def fit(self, reference: Clip, caption: str, *, seed: int) -> Any:
        raise MissingInputError("the motion is not known")


METRICS = {
    "change": make_metric(change, "change"),
    "travel": make_metric(travel, "travel"),
    "picky": make_metric(picky, "picky"),
    "nan": make_metric(lambda sample: Measurement(float("nan")), "nan"),
    "unready": Unready,
}
METHODS = {"hopeless": Hopeless}
TRACKERS = {"still": Still, "restless": Restless}


def install(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Puts the test's plugins beside the installed ones; the tables returned may be added to."""
    extra: dict[str, dict[str, Any]] = {"methods": METHODS, "metrics": dict(METRICS), "trackers": TRACKERS}
    load, resolve, names = registry.load, registry.resolve, registry.names
    monkeypatch.setattr(registry, "load", lambda g, n: extra.get(g, {}).get(n) or load(g, n))
    monkeypatch.setattr(registry, "resolve", lambda g, n: n if n in extra.get(g, {}) else resolve(g, n))
    monkeypatch.setattr(registry, "names", lambda g: sorted({*names(g), *extra.get(g, {})}))
    return extra
