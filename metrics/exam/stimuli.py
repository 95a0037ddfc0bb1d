"""The stimuli: the clips that are asked about, each made once, with their true tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motionbench.backbone import make_backbone
from motionbench.case import Case
from motionbench.clip import Clip, nearest_indices
from motionbench.method import Runtime
from motionbench.split import Split
from motionbench.tracks import Tracks, grid_queries
from motionbench.world import CorruptingWorld, Corruption

from .plan import CONDITIONS, ExamPlan


@dataclass(frozen=True, eq=False)
class Stimulus:
    """A clip with its true tracks, where they are known."""

    clip: Clip
    true: Tracks

    def reversed(self) -> Stimulus:
        """Played backwards."""
        points = np.ascontiguousarray(self.true.points[:, ::-1])
        visible = np.ascontiguousarray(self.true.visible[:, ::-1])
        backwards = Clip(np.ascontiguousarray(self.clip.frames[::-1]), self.clip.fps)
        return Stimulus(backwards, replace(self.true, points=points, visible=visible))

    def frozen(self) -> Stimulus:
        """Its first frame all the time."""
        still = np.zeros(len(self.clip), int)
        return Stimulus(self.clip.with_frames(self.clip.frames[still]), _take(self.true, still))

    def sampled(self, frames: int) -> Stimulus:
        """With fewer frames."""
        return Stimulus(self.clip.sample(frames), _take(self.true, nearest_indices(len(self.clip), frames)))

    def enlarged(self, side: int) -> Stimulus:
        """At another size."""
        scale = side / self.clip.height
        size = round(self.clip.height * scale), round(self.clip.width * scale)
        points = ((self.true.points + 0.5) * scale - 0.5).astype(np.float32)
        return Stimulus(self.clip.resize(*size), Tracks(points, self.true.visible, *size))


Pair = tuple[Stimulus, Stimulus]  # generated, reference


def _take(tracks: Tracks, index: NDArray[np.int64]) -> Tracks:
    return replace(tracks, points=tracks.points[:, index], visible=tracks.visible[:, index])


class Stimuli:
    """Makes the pairs of clips that are asked about; what several questions share is made once a reference."""

    def __init__(self, plan: ExamPlan, split: Split, world: CorruptingWorld) -> None:
        self.plan, self.split, self.world = plan, split, world
        self.backbone: Any = None
        if plan.decoded:
            self.backbone = make_backbone(Runtime(device=plan.device))
        self._corruptions = {corruption.name for corruption in world.corruptions()}
        self._made: dict[tuple[str, int], Stimulus] = {}

    def is_corruption(self, question: str) -> bool:
        """Whether a question is about a corruption, not a control or a condition."""
        return question in self._corruptions

    def questions(self, case: Case) -> Iterator[tuple[str, float, Callable[[], Pair]]]:
        """(question, strength, how to make the generated clip and the reference)."""
        self._made = {}
        perfect, reference = partial(self._perfect, case), partial(self._reference, case)
        for corruption in self.world.corruptions():
            if case.category.value in corruption.categories:
                for strength in (0.0, *corruption.strengths):
                    yield corruption.name, strength, partial(self._pair, case, corruption, strength)
        yield "identity", 0.0, lambda: (reference(), reference())
        yield "swapped", 0.0, lambda: (reference(), perfect())
        yield "frozen", 0.0, lambda: (perfect().frozen(), reference())
        yield "reversed", 0.0, lambda: (perfect().reversed(), reference())
        yield "unrelated", 0.0, lambda: (self._render(self._neighbor(case), self._first, 0.0), reference())
        for condition in CONDITIONS:
            yield f"perfect@{condition}", 0.0, partial(self._set, case, condition, backwards=False)
            yield f"reversed@{condition}", 0.0, partial(self._set, case, condition, backwards=True)

    @property
    def _first(self) -> Corruption:
        return self.world.corruptions()[0]

    def _pair(self, case: Case, corruption: Corruption, strength: float) -> Pair:
        stimulus = self._render(case, corruption, strength) if strength else self._perfect(case)
        return stimulus, self._reference(case)

    def _set(self, case: Case, condition: str, *, backwards: bool) -> Pair:
        kind, size = condition.split("_")
        grid = grid_of(f"@{condition}", self.plan.grid)
        stimulus, reference = self._perfect(case, grid), self._reference(case, grid)
        if backwards:
            stimulus = stimulus.reversed()
        if kind == "frames":
            return stimulus.sampled(int(size)), reference.sampled(int(size))
        if kind == "pixels":
            return stimulus.enlarged(int(size)), reference.enlarged(int(size))
        return stimulus, reference

    def _neighbor(self, case: Case) -> Case:
        """The same category's next reference, by id: a clip that has nothing to do with this one."""
        others = sorted({c.reference_id: c for c in self.split.select((case.category,), None)}.items())
        index = [reference_id for reference_id, _ in others].index(case.reference_id)
        return others[(index + 1) % len(others)][1]

    def _perfect(self, case: Case, grid: int | None = None) -> Stimulus:
        """The perfect transfer; kept."""
        key = ("perfect", grid or self.plan.grid)
        if key not in self._made:
            self._made[key] = self._render(case, self._first, 0.0, grid)
        return self._made[key]

    def _reference(self, case: Case, grid: int | None = None) -> Stimulus:
        """The reference; kept."""
        key = ("reference", grid or self.plan.grid)
        if key not in self._made:
            clip = self.split.read_reference(case)
            queries = grid_queries(clip.height, clip.width, key[1])
            self._made[key] = Stimulus(clip, self.world.true_tracks(self.split.reference_path(case), queries))
        return self._made[key]

    def _render(self, case: Case, corruption: Corruption, strength: float, grid: int | None = None) -> Stimulus:
        path = self.split.reference_path(case)
        queries = grid_queries(64, 64, grid or self.plan.grid)
        clip, true = self.world.corrupt(
            path, case.prompt, corruption.name, strength, seed=self.plan.seed, queries=queries
        )
        if self.backbone is not None:
            clip = self.backbone.decode(self.backbone.encode(self.backbone.prepare(clip)))
        return Stimulus(clip, true)


def grid_of(question: str, grid: int) -> int:
    condition = question.partition("@")[2]
    return int(condition.removeprefix("grid_")) if condition.startswith("grid_") else grid
