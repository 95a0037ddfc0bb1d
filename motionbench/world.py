"""The door to a procedural world: captioned clips with exact ground truth, for training and for controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.tracks import Tracks


@dataclass(frozen=True)
class Batch:
    """B rendered clips with their ground truth, as torch tensors on one device.

    frames: (B, T, 3, H, W) float32 in [0, 1]. captions: B strings.
    queries: (B, N, 2) float32 x, y pixels in the first frame; points: (B, N, T, 2) their true positions;
    visible: (B, N, T) bool (inside the frame and not behind anything); background: (B, N) bool, it lies on the scene.
    labels: per clip, `scene`, `color`, `shape`, `motion`, `category` as plain words (None where it does not apply).
    """

    frames: Any
    captions: list[str]
    queries: Any
    points: Any
    visible: Any
    background: Any
    labels: list[dict[str, Any]]


@runtime_checkable
class World(Protocol):
    """A source of training clips, and the re-renderer of known motion with other content.

    Found by entry point `motionbench.worlds`.
    """

    frames: int  # T
    height: int
    width: int
    fps: float

    def vocabulary(self) -> tuple[str, ...]:
        """Every word that a caption can hold, sorted."""
        ...

    def sample(
        self, batch: int, *, seed: int, device: str, points: int = 0, shares: Mapping[str, float] | None = None
    ) -> Batch:
        """`batch` random *training* clips (never a benchmark motion) with `points` tracked points each.

        Deterministic in seed on one device type. shares: how often each category is drawn; None: the world's choice.
        """
        ...

    def rerender(self, reference: Path, prompt: str) -> tuple[Clip, Tracks]:
        """The motion of the split clip at `reference` with the content of `prompt`, and the tracks of a full grid.

        Both come from the ground truth that lies beside the clip.
        """
        ...


@runtime_checkable
class JudgedWorld(Protocol):
    """A world whose clips are judged by a tracker and an image-text model that were learned on it."""

    height: int
    width: int
    tracker: str  # a plugin's name
    image_model: str  # as the metrics spell it

    def made(self, case: Case) -> bool:
        """Whether this world made the reference of a case, by what the manifest says; reads no file."""
        ...


@dataclass(frozen=True)
class Corruption:
    """A way to spoil a perfect transfer by degrees; what a good metric must notice, or (`appearance`) must not.

    kind: `motion`, `camera` or `appearance`. strengths: rising, in (0, 1]; 0 is the perfect transfer.
    """

    name: str
    kind: str
    strengths: tuple[float, ...]
    categories: tuple[str, ...]
    summary: str


@runtime_checkable
class CorruptingWorld(Protocol):
    """A world that can also render known motions wrongly, on purpose: what the metrics are examined with."""

    def corruptions(self) -> tuple[Corruption, ...]:
        """What can be done, in a fixed order."""
        ...

    def corrupt(
        self, reference: Path, prompt: str, name: str, strength: float, *, seed: int, queries: NDArray[np.float32]
    ) -> tuple[Clip, Tracks]:
        """The split clip's motion with the prompt's content, corrupted, and the true tracks of its points (N, 2)."""
        ...

    def true_tracks(self, reference: Path, queries: NDArray[np.float32]) -> Tracks:
        """The true tracks of the reference clip's points (N, 2), x then y, pixels of its first frame."""
        ...
