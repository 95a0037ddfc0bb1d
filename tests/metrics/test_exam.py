"""The exam: its grades by hand, and a whole sitting in a small made-up world."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.metrics.exam.examiner import ready_metrics
from motionbench.metrics.exam.page import to_json, to_page
from motionbench.metrics.exam.plan import Answer, ExamPlan, read_answers
from motionbench.metrics.exam.rank_agreement import goodness, pair_accuracy, rank_agreement, targets
from motionbench.metrics.exam.report import make_reports
from motionbench.metrics.exam.requirements import to_requirements
from motionbench.metrics.exam.run import exam_cases, run_exam
from motionbench.metrics.exam.stimuli import Stimulus
from motionbench.metrics.exam.tables import to_markdown

from motionbench import registry
from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample
from motionbench.split import Split
from motionbench.tracks import Tracks, grid_queries
from motionbench.world import Corruption

CORRUPTIONS = (
    Corruption("slower", "motion", (0.5, 1.0), ("single_object", "camera"), "goes less far"),
    Corruption("tint", "appearance", (0.5, 1.0), ("single_object",), "another color"),
)


def info(name: str, better: Any = "higher") -> MetricInfo:
    return MetricInfo(name, 1, "", (-1.0, 1.0), better, "test", "test", measures="motion")


class Distance:
    """How far tracks go, as a share of the reference's: 1 is best."""

    info = info("distance")

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Distance:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        g, r = (sample.tracks(clip).points for clip in (sample.generated, sample.reference))
        far = [float(np.abs(x[:, -1] - x[:, 0]).mean()) for x in (g, r)]
        return Measurement(far[0] / far[1] if far[1] else None, "" if far[1] else "still")


class SmallWorld:
    """A world of one motion: everything goes right."""

    frames, height, width, fps = 9, 64, 64, 8.0

    def vocabulary(self) -> tuple[str, ...]:
        return ()

    def sample(self, batch: int, *, seed: int, device: str, points: int = 0) -> Any:
        raise NotImplementedError

    def rerender(self, reference: Path, prompt: str) -> Any:
        raise NotImplementedError

    def corruptions(self) -> tuple[Corruption, ...]:
        return CORRUPTIONS

    def corrupt(
        self, reference: Path, prompt: str, name: str, strength: float, *, seed: int, queries: np.ndarray
    ) -> tuple[Clip, Tracks]:
        tint = int(100 * strength) if name == "tint" else 0
        return moving_clip(20 + tint), tracks_of(queries, 1.0 - 0.4 * strength * (name == "slower"))

    def true_tracks(self, reference: Path, queries: np.ndarray) -> Tracks:
        return tracks_of(queries, 1.0)


def moving_clip(value: int) -> Clip:
    frames = np.full((9, 64, 64, 3), value, np.uint8)
    frames[np.arange(9), 0, 0, 0] = np.arange(9)
    return Clip(frames, 8.0)


def tracks_of(queries: np.ndarray, pace: float) -> Tracks:
    path = np.arange(9)[None, :, None] * np.array([pace, 0.0])
    points = (queries[:, None] + path).astype(np.float32)
    return Tracks(points, np.ones(points.shape[:2], bool), 64, 64)


def make_split(tmp_path: Path, count: int = 4) -> Split:
    cases = tuple(
        Case(f"{category}/{n:04d}/{p}", Category(category), f"{category}{n}.mp4", "0" * 64, "a", "b", level, "x", "x")
        for category in ("camera", "single_object")
        for n in range(1, count + 1)
        for p, level in enumerate((Level.SUBJECT, Level.SCENE))
    )
    return Split("small", "r", tmp_path, cases)


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Split:
    load = registry.load

    def find(group: Any, name: str) -> Any:
        return {"procedural": SmallWorld, "distance": Distance}.get(name) or load(group, name)

    monkeypatch.setattr(registry, "load", find)
    monkeypatch.setattr(Split, "read_reference", lambda self, case: moving_clip(hash(case.category) % 7))
    return make_split(tmp_path)


PLAN = ExamPlan(("distance",), half="report")


def test_grades_are_what_they_are_by_hand() -> None:
    strengths = [0.0, 0.5, 1.0]
    assert rank_agreement(strengths, [3, 2, 1]) == pytest.approx(1)
    assert rank_agreement(strengths, [1, 2, 3]) == pytest.approx(-1)
    assert rank_agreement(strengths, [1, 1, 1]) == 0
    assert pair_accuracy(strengths, [3, 2, 1]) == 1
    assert pair_accuracy(strengths, [3, 1, 2]) == pytest.approx(2 / 3)
    assert pair_accuracy(strengths, [1, 1, 1]) == 0.5


def test_each_metric_is_graded_by_what_it_is_there_to_notice() -> None:
    kinds = {
        "path_noise": "motion", "path_scaled": "motion", "partly_frozen": "motion", "camera_drift": "camera",
        "flicker": "appearance", "leak": "appearance",
    }  # fmt: skip
    corruptions = [Corruption(name, kind, (1.0,), ("camera",), "") for name, kind in kinds.items()]
    names = ["motion_fidelity", "camera_agreement", "speed_ratio", "text_alignment_b32"]
    infos = [registry.load("metrics", name).info for name in names]
    assert targets(infos[0], corruptions) == list(kinds)[:4]
    assert targets(infos[1], corruptions) == ["camera_drift"]
    assert targets(infos[2], corruptions) == ["path_scaled", "partly_frozen"]
    assert targets(infos[3], corruptions) == ["leak"]
    assert [held.measures for held in infos] == ["motion", "motion", "motion", "text"]
    unknown = MetricInfo("somebodys", 1, "", (None, None), "higher", "test", "test")
    assert targets(unknown, corruptions) == []  # it is not taken for one of motion
    assert targets(replace(unknown, measures="motion"), corruptions) == list(kinds)[:4]


def test_every_metric_says_what_it_measures() -> None:
    for name in registry.names("metrics"):
        assert registry.load("metrics", name).info.measures != "other", name


@pytest.mark.parametrize(
    ("better", "value", "expected"), [("higher", 0.3, 0.3), ("lower", 0.3, -0.3), ("zero", -2, -2)]
)
def test_goodness_points_up(better: str, value: float, expected: float) -> None:
    assert goodness(value, info("x", better)) == expected


def test_one_case_a_reference_of_the_wanted_half(tmp_path: Path) -> None:
    split = make_split(tmp_path)
    chosen = exam_cases(split, PLAN)
    assert [c.id for c in chosen] == [
        "camera/0002/1", "camera/0004/1", "single_object/0002/1", "single_object/0004/1",
    ]  # fmt: skip
    tune = exam_cases(split, ExamPlan(("distance",), half="tune"))
    assert not {c.reference_id for c in tune} & {c.reference_id for c in chosen}
    shards = [exam_cases(split, ExamPlan(("distance",), half="all", shard=(i, 3))) for i in (1, 2, 3)]
    assert sorted(c.id for shard in shards for c in shard) == sorted(
        c.id for c in exam_cases(split, ExamPlan(("distance",), half="all"))
    )


def test_a_sitting_grades_a_good_metric_1(split: Split, tmp_path: Path) -> None:
    answers = run_exam(PLAN, split, tmp_path / "exam")
    (report,) = make_reports(answers, {"distance": Distance.info}, CORRUPTIONS)
    assert report.rho.mean == pytest.approx(1)
    assert report.accuracy.mean == 1
    assert report.rho.n == 4
    assert report.controls["perfect"].mean == 1
    assert report.controls["frozen"].mean == 0
    assert report.controls["identity"].mean == 1
    assert report.appearance_shift == 0
    assert report.curves["slower"] == [(0.0, 1.0), (0.5, pytest.approx(0.8)), (1.0, pytest.approx(0.6))]
    assert [estimate.mean for estimate in report.sensitivity["frames_9"]] == [0, 0]
    assert report.missing[0] == 0


def test_an_interrupted_sitting_goes_on_and_ends_alike(split: Split, tmp_path: Path) -> None:
    whole = run_exam(PLAN, split, tmp_path / "a")
    path = tmp_path / "b" / "answers.jsonl"
    path.parent.mkdir()
    lines = (tmp_path / "a" / "answers.jsonl").read_text().splitlines()
    path.write_text("\n".join(lines[:7]) + "\n" + lines[7][:20])  # killed while writing a line
    assert sorted(a.key for a in run_exam(PLAN, split, tmp_path / "b")) == sorted(a.key for a in whole)
    held = {a.key: a for a in read_answers(path)}
    assert held == {a.key: a for a in whole}
    before = path.read_bytes()
    run_exam(PLAN, split, tmp_path / "b")
    assert path.read_bytes() == before


def test_shards_together_are_one_sitting(split: Split, tmp_path: Path) -> None:
    whole = run_exam(PLAN, split, tmp_path / "a")
    for i in (1, 2, 3):
        run_exam(ExamPlan(("distance",), shard=(i, 3)), split, tmp_path / "b")
    assert {a.key: a for a in read_answers(tmp_path / "b" / "answers.jsonl")} == {a.key: a for a in whole}


def test_pages_show_every_metric_and_are_self_contained(split: Split, tmp_path: Path) -> None:
    answers = run_exam(PLAN, split, tmp_path / "exam")
    reports = make_reports(answers, {"distance": Distance.info}, CORRUPTIONS)
    text = to_markdown(reports, CORRUPTIONS, {"split": "small"})
    assert "`distance` v1" in text
    assert "| slower | motion | goes less far |" in text
    assert "NaN" not in json.dumps(to_json(reports))
    page = to_page(reports, CORRUPTIONS, "exam")
    assert len(page) < 2_000_000
    assert "src=" not in page.partition('<script type="text/plain"')[0]
    figures = json.loads(unpacked(page, "figures"))
    assert "slower" in {trace.get("name") for figure in figures for trace in figure["data"]}
    assert "Plotly" in unpacked(page, "plotly")[:5000]


def unpacked(page: str, name: str) -> str:
    found = re.search(rf'id="{name}" data-bytes="(\d+)">([^<]*)</script>', page)
    assert found
    return gzip.decompress(base64.b85decode(found[2].replace(".", "<"))[: int(found[1])]).decode()


class Looking(Distance):
    """What a stand-in tracker sees, so that trackers can be told apart."""

    info = info("looking")

    def measure(self, sample: Sample) -> Measurement:
        return Measurement(float(sample.tracks(sample.generated).points[0, -1, 0] > 0))


class Brightness(Distance):
    """A metric that asks no tracker."""

    info = info("brightness")
    asked = 0

    def measure(self, sample: Sample) -> Measurement:
        type(self).asked += 1
        return Measurement(float(sample.generated.frames.mean()))


class BlindTracker:
    """Sees nothing move."""

    name, version = "blind", 7

    @classmethod
    def create(cls, device: str) -> BlindTracker:
        return cls()

    def track(self, clip: Clip, queries: np.ndarray) -> Tracks:
        return Tracks(
            np.zeros((len(queries), len(clip), 2), np.float32),
            np.ones((len(queries), len(clip)), bool),
            clip.height,
            clip.width,
        )


def test_each_clip_is_rendered_once_for_all_trackers_and_a_metric_without_tracks_is_asked_once(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, rendered = registry.load, []
    plugins = {"looking": Looking, "brightness": Brightness, "blind": BlindTracker}
    monkeypatch.setattr(registry, "load", lambda group, name: plugins.get(name) or load(group, name))
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path / "cache"))
    corrupt = SmallWorld.corrupt

    def counting(self: SmallWorld, reference: Path, prompt: str, name: str, strength: float, **more: Any) -> Any:
        rendered.append((reference, name if strength else "perfect", strength, len(more["queries"])))
        return corrupt(self, reference, prompt, name, strength, **more)

    monkeypatch.setattr(SmallWorld, "corrupt", counting)
    monkeypatch.setattr(Brightness, "asked", 0)
    plan = ExamPlan(("looking", "brightness"), ("truth", "blind"), categories=(Category.CAMERA,), limit=1)
    answers = run_exam(plan, split, tmp_path / "exam")
    own = [r for r in rendered if r[0].name == "camera2.mp4"]
    assert len(own) == len(set(own)) == 2 + 3  # two strengths of one corruption, the perfect transfer at three grids
    seen = {(a.tracker, a.question, a.strength): a.value for a in answers if a.metric == "looking"}
    assert seen["truth", "slower", 1.0] == 1
    assert seen["blind v7", "slower", 1.0] == 0
    bright = [a for a in answers if a.metric == "brightness"]
    assert len(bright) == 2 * Brightness.asked
    by_tracker = [{(a.question, a.strength): a.value for a in bright if a.tracker == t} for t in ("truth", "blind v7")]
    assert by_tracker[0] == by_tracker[1]


def test_sensitivity_to_the_tracker_is_the_distance_from_the_truth() -> None:
    def answer(tracker: str, question: str, value: float, reference: str) -> Answer:
        return Answer(reference, "camera", tracker, question, 0.0, "distance", 1, value, "")

    answers = []
    for reference, off in (("camera/0002", 0.1), ("camera/0004", 0.3)):
        answers += [answer("truth", "slower", 1.0, reference), answer("truth", "reversed", -1.0, reference)]
        answers += [answer("lk v1", "slower", 1 - off, reference), answer("lk v1", "reversed", -1 + 2 * off, reference)]
    lk, truth = make_reports(answers, {"distance": Distance.info}, CORRUPTIONS)
    assert "tracker" not in truth.sensitivity
    forth, back = lk.sensitivity["tracker"]
    assert (forth.mean, back.mean) == (pytest.approx(0.2), pytest.approx(0.4))
    assert forth.low == pytest.approx(0.1)
    assert forth.high == pytest.approx(0.3)


def test_marks_say_what_was_demanded_what_was_found_and_whether_it_is_met() -> None:
    def answers(metric: str, values: list[float]) -> list[Answer]:
        rows = [("camera_drift", s, v) for s, v in zip((0.0, 0.5, 1.0), values, strict=True)] + [("frozen", 0.0, 0.0)]
        return [
            Answer(reference, "camera", "truth", question, strength, metric, 1, value, "")
            for reference in ("camera/0002", "camera/0004")
            for question, strength, value in rows
        ]

    names = ("motion_fidelity", "motion_fidelity_smm", "camera_agreement")
    infos = {name: info(name) for name in names}
    drift = Corruption("camera_drift", "camera", (0.5, 1.0), ("camera",), "drifts")
    good = to_requirements(make_reports(
        answers(names[0], [1, 0.5, 0.2]) + answers(names[1], [0.4, 0.5, 0.3]) + answers(names[2], [1, 0.6, 0.3]),
        infos, [drift],
    ))  # fmt: skip
    assert [mark.met for mark in good] == [True] * 6
    assert "1.000 falls to 0.200" in {mark.value for mark in good}
    bad = to_requirements(make_reports(
        answers(names[0], [0.4, 0.5, 0.8]) + answers(names[1], [1, 0.5, 0.3]) + answers(names[2], [1, 0.3, 0.6]),
        infos, [drift],
    ))  # fmt: skip
    assert [mark.met for mark in bad] == [False, False, False, False, True, False]


def test_missing_values_are_counted_and_leave_the_rest(tmp_path: Path) -> None:
    answers = [
        Answer("camera/0002", "camera", "truth", "slower", s, "distance", 1, None if s == 1.0 else 1 - s, "")
        for s in (0.0, 0.25, 0.5, 1.0)
    ]
    (report,) = make_reports(answers, {"distance": Distance.info}, CORRUPTIONS)
    assert report.missing == (1, 4)
    assert report.by_corruption["slower"] == (pytest.approx(1), 1)


def test_controls_keep_clip_and_tracks_together() -> None:
    queries = grid_queries(64, 64, 4)
    shown = Stimulus(moving_clip(3), tracks_of(queries, 1.0))
    back = shown.reversed()
    assert np.array_equal(back.clip.frames, shown.clip.frames[::-1])
    assert np.array_equal(back.true.points[:, 0], shown.true.points[:, -1])
    assert np.ptp(shown.frozen().true.points, axis=1).max() == 0
    few = shown.sampled(5)
    assert len(few.clip) == few.true.points.shape[1] == 5
    large = shown.enlarged(128)
    assert large.clip.height == large.true.height == 128
    assert np.allclose(large.true.points, (shown.true.points + 0.5) * 2 - 0.5)


def test_metrics_that_lack_something_stay_away(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from motionbench.errors import MissingWeightsError

    class Absent(Distance):
        @classmethod
        def create(cls, runtime: MetricRuntime) -> Distance:
            raise MissingWeightsError("run: fetch it")

    monkeypatch.setattr(registry, "load", lambda group, name: {"distance": Distance, "absent": Absent}[name])
    assert [m.info.name for m in ready_metrics(("distance", "absent"), MetricRuntime())] == ["distance"]
    assert "fetch it" in caplog.text
