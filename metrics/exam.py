"""The metrics' own exam: every metric answers for perfect transfers, their graded corruptions, controls and
settings."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from motionbench import registry
from motionbench.case import Case, Category, Level
from motionbench.clip import Clip, nearest_indices
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.method import Setting
from motionbench.metric import Measurement, Metric, MetricSetting, Sample
from motionbench.split import Split
from motionbench.track_cache import TrackCache
from motionbench.tracks import Tracks, grid_queries
from motionbench.world import CorruptingWorld, Corruption

logger = logging.getLogger(__name__)

Half = Literal["tune", "report", "all"]
TRUTH = "truth"
ANSWERS = "answers.jsonl"
# Questions that are no corruption: question -> what the answer is for.
CONTROLS = ("identity", "swapped", "frozen", "reversed", "unrelated")
SETTINGS = ("frames_9", "pixels_128", "grid_14", "grid_28")  # at which the perfect transfer and its reversal are asked


@dataclass(frozen=True)
class ExamPlan:
    """What is examined.

    metrics, tracker, device: as in scoring; tracker `truth` gives the exact tracks, which parts the metric's own error
    from the tracker's. decoded: clips pass through the backbone's autoencoder, as generated ones do. half: references
    with odd numbers are there to choose thresholds by (`tune`), those with even numbers to report.
    """

    metrics: tuple[str, ...]
    tracker: str = TRUTH
    device: str = "cpu"
    decoded: bool = False
    half: Half = "report"
    categories: tuple[Category, ...] = ()
    limit: int | None = None
    seed: int = 0
    grid: int = 20
    shard: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Answer:
    """One metric's value for one clip. question: a corruption's name, a control, or `perfect@SETTING`,
    `reversed@SETTING`."""

    reference: str
    category: str
    tracker: str
    question: str
    strength: float
    metric: str
    version: int
    value: float | None
    note: str

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes an answer the same answer."""
        return self.reference, self.tracker, self.question, self.strength, self.metric, self.version


@dataclass(frozen=True, eq=False)
class Shown:
    """A clip with its true tracks, where they are known."""

    clip: Clip
    true: Tracks

    def reversed(self) -> Shown:
        """Played backwards."""
        points, visible = (
            np.ascontiguousarray(self.true.points[:, ::-1]),
            np.ascontiguousarray(self.true.visible[:, ::-1]),
        )
        backwards = Clip(np.ascontiguousarray(self.clip.frames[::-1]), self.clip.fps)
        return Shown(backwards, replace(self.true, points=points, visible=visible))

    def frozen(self) -> Shown:
        """Its first frame all the time."""
        still = np.zeros(len(self.clip), int)
        return Shown(self.clip.with_frames(self.clip.frames[still]), _take(self.true, still))

    def sampled(self, frames: int) -> Shown:
        """With fewer frames."""
        return Shown(self.clip.sample(frames), _take(self.true, nearest_indices(len(self.clip), frames)))

    def enlarged(self, side: int) -> Shown:
        """At another size."""
        scale = side / self.clip.height
        size = round(self.clip.height * scale), round(self.clip.width * scale)
        points = ((self.true.points + 0.5) * scale - 0.5).astype(np.float32)
        return Shown(self.clip.resize(*size), Tracks(points, self.true.visible, *size))


def _take(tracks: Tracks, index: NDArray[np.int64]) -> Tracks:
    return replace(tracks, points=tracks.points[:, index], visible=tracks.visible[:, index])


def read_answers(path: Path) -> list[Answer]:
    """The whole answers of a file; a half-written last line is left out."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(Answer(**json.loads(line)))
        except (ValueError, TypeError):
            logger.warning("%s: a line is no whole answer and will be asked again", path)
    return found


def sit_exam(
    plan: ExamPlan, split: Split, folder: Path, report: Callable[[int, int], None] = lambda done, total: None
) -> list[Answer]:
    """Asks what has not been answered yet, appends it to `answers.jsonl` in the folder, and returns all answers there.

    The same command goes on after an interruption. Raises ConfigError if no installed world can corrupt clips.
    """
    world = registry.load("worlds", "procedural")()
    if not isinstance(world, CorruptingWorld):
        raise ConfigError(
            f"world {type(world).__name__} renders no corruptions: the exam needs `corrupt` and `true_tracks`"
        )
    folder.mkdir(parents=True, exist_ok=True)
    known = {answer.key for answer in read_answers(folder / ANSWERS)}
    room = ExamRoom(plan, split, world)
    cases = exam_cases(split, plan)
    with (folder / ANSWERS).open("a", encoding="utf-8") as file:
        if file.tell() and not (folder / ANSWERS).read_bytes().endswith(b"\n"):
            file.write("\n")
        for done, case in enumerate(cases):
            report(done, len(cases))
            for answer in room.examine(case, known):
                file.write(json.dumps(asdict(answer), allow_nan=False) + "\n")
                file.flush()
    report(len(cases), len(cases))
    return read_answers(folder / ANSWERS)


def exam_cases(split: Split, plan: ExamPlan) -> list[Case]:
    """One case a reference, at the level `scene` where there is one, of the wanted half and shard."""
    chosen: dict[str, Case] = {}
    for case in split.select(plan.categories, None):
        held = chosen.get(case.reference_id)
        if held is None or (held.level is not Level.SCENE and case.level is Level.SCENE):
            chosen[case.reference_id] = case
    kept: list[Case] = []
    for category in sorted({case.category for case in chosen.values()}):
        own = [c for k, c in sorted(chosen.items()) if c.category == category and _in_half(k, plan.half)]
        kept += own[: plan.limit]
    return [case for i, case in enumerate(kept) if i % plan.shard[1] == plan.shard[0] - 1]


def _in_half(reference_id: str, half: Half) -> bool:
    odd = int(reference_id.rsplit("/", 1)[1]) % 2 == 1
    return half == "all" or odd == (half == "tune")


class ExamRoom:
    """The metrics, the tracker and the world of one exam."""

    def __init__(self, plan: ExamPlan, split: Split, world: CorruptingWorld) -> None:
        self.plan, self.split, self.world = plan, split, world
        self.metrics = ready_metrics(plan.metrics, plan.device)
        self.backbone: Any = None
        if plan.decoded:
            self.backbone = registry.load("backbones", "tiny")(Setting(device=plan.device))
        self._caches: dict[int, TrackCache] = {}
        self._corruptions = {corruption.name for corruption in world.corruptions()}

    def examine(self, case: Case, known: set[tuple[Any, ...]]) -> Iterator[Answer]:
        """The answers about one reference that are not known yet."""
        label = self.plan.tracker + ("-decoded" if self.plan.decoded else "")
        perfect: dict[str, Measurement] = {}  # strength 0 is one clip, whatever the corruption
        for question, strength, show in self._questions(case):
            asked = [
                metric
                for metric in self.metrics
                if (case.reference_id, label, question, strength, metric.info.name, metric.info.version) not in known
            ]
            if not asked:
                continue
            again = question in self._corruptions and strength == 0
            if not (again and all(metric.info.name in perfect for metric in asked)):
                sample = self._sample(case, *show(), grid=_grid_of(question, self.plan.grid))
            for metric in asked:
                held = perfect.get(metric.info.name) if again else None
                measured = _measure(metric, sample) if held is None else held
                if again:
                    perfect[metric.info.name] = measured
                yield Answer(
                    case.reference_id, case.category.value, label, question, strength,
                    metric.info.name, metric.info.version, measured.value, measured.note,
                )  # fmt: skip

    def _questions(self, case: Case) -> Iterator[tuple[str, float, Callable[[], tuple[Shown, Shown]]]]:
        """(question, strength, how to make the generated clip and the reference)."""
        for corruption in self.world.corruptions():
            if case.category.value in corruption.categories:
                for strength in (0.0, *corruption.strengths):
                    yield corruption.name, strength, self._pair(case, corruption, strength)
        first = self.world.corruptions()[0]
        yield "identity", 0.0, lambda: (self._reference(case), self._reference(case))
        yield "swapped", 0.0, lambda: (self._reference(case), self._shown(case, first, 0.0))
        yield "frozen", 0.0, lambda: (self._shown(case, first, 0.0).frozen(), self._reference(case))
        yield "reversed", 0.0, lambda: (self._shown(case, first, 0.0).reversed(), self._reference(case))
        yield "unrelated", 0.0, lambda: (self._shown(self._neighbor(case), first, 0.0), self._reference(case))
        for setting in SETTINGS:
            yield f"perfect@{setting}", 0.0, partial(self._set, case, first, setting, backwards=False)
            yield f"reversed@{setting}", 0.0, partial(self._set, case, first, setting, backwards=True)

    def _pair(self, case: Case, corruption: Corruption, strength: float) -> Callable[[], tuple[Shown, Shown]]:
        return lambda: (self._shown(case, corruption, strength), self._reference(case))

    def _set(self, case: Case, first: Corruption, setting: str, *, backwards: bool) -> tuple[Shown, Shown]:
        kind, size = setting.split("_")
        grid = _grid_of(f"@{setting}", self.plan.grid)
        shown, reference = self._shown(case, first, 0.0, grid), self._reference(case, grid)
        if backwards:
            shown = shown.reversed()
        if kind == "frames":
            return shown.sampled(int(size)), reference.sampled(int(size))
        if kind == "pixels":
            return shown.enlarged(int(size)), reference.enlarged(int(size))
        return shown, reference

    def _neighbor(self, case: Case) -> Case:
        """The same category's next reference, by id: a clip that has nothing to do with this one."""
        others = sorted({c.reference_id: c for c in self.split.select((case.category,), None)}.items())
        index = [reference_id for reference_id, _ in others].index(case.reference_id)
        return others[(index + 1) % len(others)][1]

    def _reference(self, case: Case, grid: int | None = None) -> Shown:
        clip = self.split.read_reference(case)
        queries = grid_queries(clip.height, clip.width, grid or self.plan.grid)
        return Shown(clip, self.world.true_tracks(self.split.reference_path(case), queries))

    def _shown(self, case: Case, corruption: Corruption, strength: float, grid: int | None = None) -> Shown:
        path = self.split.reference_path(case)
        queries = grid_queries(64, 64, grid or self.plan.grid)
        clip, true = self.world.corrupt(
            path, case.prompt, corruption.name, strength, seed=self.plan.seed, queries=queries
        )
        if self.backbone is not None:
            clip = self.backbone.decode(self.backbone.encode(self.backbone.prepare(clip)))
        return Shown(clip, true)

    def _sample(self, case: Case, generated: Shown, reference: Shown, grid: int) -> Sample:
        look: Callable[[Clip], Tracks]
        if self.plan.tracker == TRUTH:
            # The generated clip last: a perfect copy is one clip with one set of tracks.
            true: Mapping[str, Tracks] = {s.clip.sha256: s.true for s in (reference, generated)}
            look = lambda clip: true[clip.sha256]  # noqa: E731
        else:
            if grid not in self._caches:
                self._caches[grid] = TrackCache(self.plan.tracker, device=self.plan.device, grid=grid)
            look = self._caches[grid]
        return Sample(generated.clip, reference.clip, case.prompt, case.caption, case.id, case.category.value, look)


def _grid_of(question: str, grid: int) -> int:
    setting = question.partition("@")[2]
    return int(setting.removeprefix("grid_")) if setting.startswith("grid_") else grid


def ready_metrics(names: Sequence[str], device: str) -> list[Metric]:
    """The metrics that can be made ready here; the others are named in the log with what they lack."""
    ready: list[Metric] = []
    for name in names:
        try:
            ready.append(registry.load("metrics", name).create(MetricSetting(device)))
        except MotionBenchError as error:
            logger.warning("metric %s does not sit the exam: %s", name, error)
    return ready


def _measure(metric: Metric, sample: Sample) -> Measurement:
    try:
        measured = metric.measure(sample)
    except MotionBenchError as error:
        return Measurement(None, f"{type(error).__name__}: {error}")
    if measured.value is not None and not np.isfinite(measured.value):
        return Measurement(None, f"not finite: {measured.value}")
    return measured
