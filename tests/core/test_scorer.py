"""The scorer: only what is missing, never a zero for a null, one score per record, metric, version and tracker."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from small_world import METRICS, SIDE, Still, install, make_clip, make_metric, make_split, travel

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.disk_cache import cache_folder
from motionbench.errors import MissingWeightsError, StoreError, UnknownNameError
from motionbench.footage import world_of
from motionbench.metric import Measurement, MetricRuntime, Sample
from motionbench.pair import GEOMETRY, SHAPE
from motionbench.plan import RunPlan
from motionbench.record import Score, video_path
from motionbench.runner import run
from motionbench.scorer import ScorePlan, ScoreResult, score
from motionbench.split import Split, read_split
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache

CASES = 8  # 2 categories x 2 references x 2 prompts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split and one run of `copy` on it."""
    folder = tmp_path_factory.mktemp("made")
    make_split(folder / "split")
    run(RunPlan("copy", split=str(folder / "split")), ResultStore(folder / "results"))
    return folder


class Bench:
    """A private copy of the run, with the test's metrics and trackers installed."""

    def __init__(self, made: Path, folder: Path, extra: dict[str, dict[str, Any]]) -> None:
        self.split: Split = read_split(made / "split")
        self.store = ResultStore(folder)
        self.extra = extra

    def score(self, *metrics: str, tracker: str = "still", **options: Any) -> ScoreResult:
        return score(self.store, self.split, ScorePlan(metrics, tracker), **options)

    def values(self, metric: str) -> dict[str, Score]:
        keys = {r.key: r.case_id for r in self.store.records()}
        return {keys[s.record_key]: s for s in self.store.scores() if s.metric == metric}

    def lines(self) -> list[str]:
        return (self.store.folder / "scores.jsonl").read_text().splitlines()


@pytest.fixture
def bench(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    import shutil

    shutil.copytree(made / "results", tmp_path / "results")
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Still, "calls", 0)
    return Bench(made, tmp_path / "results", install(monkeypatch))


def test_each_record_gets_a_score_from_each_metric(bench: Bench) -> None:
    result = bench.score("change", "travel")
    assert (result.new, result.kept, result.errors) == (2 * CASES, 0, [])
    assert len(bench.values("change")) == CASES
    score = bench.values("travel")["camera/0000/0"]
    assert (score.value, score.metric_version) == (0.0, 1)
    context = {"scored_at": "5x32x32", "geometry": GEOMETRY, "tracker": "still v1"}
    digest = bench.store.records()[0].video_sha256
    assert digest
    assert score.details == {"points": SHAPE.grid**2, "video": digest[:16], **context}
    assert "tracker" not in bench.values("change")["camera/0000/0"].details


def test_second_time_computes_nothing(bench: Bench) -> None:
    bench.score("change", "travel")
    before, Still.calls = bench.lines(), 0
    result = bench.score("change", "travel")
    assert (result.new, result.kept) == (0, 2 * CASES)
    assert bench.lines() == before
    assert Still.calls == 0


def test_new_version_scores_again_and_keeps_the_old(bench: Bench) -> None:
    bench.score("change", "travel")
    bench.extra["metrics"]["change"] = make_metric(lambda sample: Measurement(7.0), "change", version=2)
    assert bench.score("change", "travel").new == CASES
    versions = [(s.metric_version, s.value) for s in bench.store.scores() if s.metric == "change"]
    assert versions.count((2, 7.0)) == CASES
    assert len(versions) == 2 * CASES


def test_other_tracker_scores_only_what_tracks(bench: Bench) -> None:
    bench.score("change", "travel")
    assert bench.score("change", "travel", tracker="restless").new == CASES
    assert bench.values("travel")["camera/0000/0"].value == 0.5  # one pixel along x, none along y


class Seeing:
    """A metric by the model `old` in the world's footage and by `new` in all other; `ready`: whether `new` is here."""

    info = make_metric(travel, "seeing").info
    ready: ClassVar[bool] = True
    real: ClassVar[str] = "new"

    def __init__(self, model: str) -> None:
        self.model = model

    @classmethod
    def model_name(cls, runtime: MetricRuntime) -> str:
        return "old" if runtime.world == "own" else cls.real

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Seeing:
        if cls.model_name(runtime) == "new" and not cls.ready:
            raise MissingWeightsError("get it by motionbench prefetch seeing")
        return cls(cls.model_name(runtime))

    def measure(self, sample: Sample) -> Measurement:
        return Measurement(1.0, details={"model": f"{self.model} 0123"})


class OwnWorld:
    height, width, tracker, image_model = SIDE, SIDE, "still", "old"

    def made(self, case: Case) -> bool:
        return True


def seen_by_another(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of real footage by the model of a world, as earlier versions made them."""
    bench.extra["metrics"]["seeing"] = Seeing
    monkeypatch.setattr(Seeing, "real", "old")
    assert bench.score("seeing").new == CASES
    monkeypatch.setattr(Seeing, "real", "new")


def test_values_of_the_wrong_model_are_scored_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen_by_another(bench, monkeypatch)
    assert bench.score("seeing").new == CASES
    assert {s.details["model"] for s in bench.values("seeing").values()} == {"new 0123"}
    assert bench.score("seeing").new == 0


def test_values_of_the_wrong_model_are_withdrawn_where_the_right_one_is_not_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_by_another(bench, monkeypatch)
    monkeypatch.setattr(Seeing, "ready", False)
    result = bench.score("seeing", "change")
    assert result.unavailable == {"seeing": "get it by motionbench prefetch seeing"}
    assert {(s.value, s.note) for s in bench.values("seeing").values()} == {(None, result.unavailable["seeing"])}
    lines = bench.lines()
    bench.score("seeing", "change")
    assert bench.lines() == lines  # said once, not at every scoring
    monkeypatch.setattr(Seeing, "ready", True)
    assert bench.score("seeing").new == CASES


def test_the_model_of_a_world_judges_its_footage_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.extra["metrics"]["seeing"] = Seeing
    bench.extra["worlds"] = {"own": OwnWorld}
    world_of.cache_clear()
    bench.score("seeing")
    assert {s.details["model"] for s in bench.values("seeing").values()} == {"old 0123"}
    world_of.cache_clear()


def test_tracks_are_computed_once_per_clip(bench: Bench) -> None:
    bench.extra["metrics"]["again"] = make_metric(travel, "again")
    bench.score("travel", "again")
    assert Still.calls == 4  # the copies of a reference are one clip for both prompts and both metrics


def test_error_of_ours_is_a_null_with_a_note_and_is_tried_again(bench: Bench) -> None:
    result = bench.score("picky")
    values = bench.values("picky")
    assert [values[f"camera/000{r}/{n}"].value for r in range(2) for n in range(2)] == [None, 1.0, 1.0, 1.0]
    assert values["camera/0000/0"].note == "too plain"
    assert values["human/0000/0"].value is None
    assert values["human/0000/0"].note == "ShapeError: no people"
    assert sorted(case for case, _, _ in result.errors) == [f"human/000{r}/{n}" for r in range(2) for n in range(2)]
    assert bench.score("picky").new == 4  # the unmeasurable one stands, the errors do not


def test_value_that_is_not_finite_is_a_null(bench: Bench) -> None:
    bench.score("nan")
    assert {(s.value, s.note) for s in bench.values("nan").values()} == {(None, "nan returned nan")}
    assert all(json.loads(line)["value"] is None for line in bench.lines())


def test_missing_video_is_a_null_with_a_note(bench: Bench) -> None:
    record = bench.store.records()[0]
    assert record.video
    (bench.store.folder / record.video).unlink()
    result = bench.score("change")
    assert bench.values("change")[record.case_id].value is None
    assert [(case, metric) for case, metric, _ in result.errors] == [(record.case_id, "change")]
    assert "VideoError" in result.errors[0][2]


def test_metric_without_weights_is_left_out_and_said(bench: Bench) -> None:
    result = bench.score("unready", "change")
    assert list(result.unavailable) == ["unready"]
    assert "motionbench doctor" in result.unavailable["unready"]
    assert (result.new, len(bench.values("unready"))) == (CASES, 0)


def test_unknown_metric_is_said_before_anything_is_scored(bench: Bench) -> None:
    with pytest.raises(UnknownNameError, match="chang"):
        bench.score("chang")


def test_shards_together_score_what_one_process_scores(bench: Bench) -> None:
    keys = [r.key for r in bench.store.records()]
    plans = [ScorePlan(("change",), "still", shard=(i, 2)) for i in (1, 2)]
    news = [score(bench.store, bench.split, plan, keys=keys[i::2]).new for i, plan in enumerate(plans)]
    assert news == [CASES // 2, CASES // 2]
    assert bench.score("change").new == 0


def test_two_processes_do_not_score_the_same_folder(bench: Bench) -> None:
    with bench.store.locked("scores"), pytest.raises(StoreError):
        bench.score("change")


def test_split_of_another_revision_is_refused(bench: Bench, tmp_path: Path) -> None:
    other = read_split(make_split(tmp_path / "other", references=1))
    with pytest.raises(StoreError, match="revision"):
        score(bench.store, other, ScorePlan(("change",), "still"))


def test_generated_clip_of_another_shape_meets_the_part_of_the_reference_that_it_shows(bench: Bench) -> None:
    shapes = []
    bench.extra["metrics"]["shape"] = make_metric(
        lambda s: shapes.append((s.generated.frames.shape, s.reference.frames.shape)) or Measurement(0.0), "shape"
    )
    replace_video(bench, make_clip(3, frames=9, height=48, width=80))
    bench.score("shape")
    assert shapes == [((5, 19, 32, 3), (5, 19, 32, 3)), *[((5, 32, 32, 3), (5, 32, 32, 3))] * (CASES - 1)]


def test_score_of_the_first_geometry_stands_only_where_nothing_was_cut(bench: Bench) -> None:
    bench.score("change")
    path = bench.store.folder / "scores.jsonl"
    path.write_text(path.read_text().replace('"geometry":2,', ""))
    assert bench.score("change").new == 0
    replace_video(bench, make_clip(3, frames=9, height=48, width=80))
    assert bench.score("change").new == 1


def test_video_made_again_is_scored_again(bench: Bench) -> None:
    bench.score("change", "travel")
    before = bench.values("change")["camera/0000/0"].value
    replace_video(bench, make_clip(7, frames=5))
    assert bench.score("change", "travel").new == 2
    assert bench.values("change")["camera/0000/0"].value != before


def replace_video(bench: Bench, clip: Clip) -> None:
    """Gives the first record another video."""
    record = bench.store.records()[0]
    video = video_path(record.case_id, record.seed)
    digest = clip.write(bench.store.folder / video)
    bench.store.append_record(replace(record, video=video, video_sha256=digest))


def test_cached_tracks_survive_the_process_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    monkeypatch.setattr(Still, "calls", 0)
    clip = make_clip(1)

    def cached() -> TrackCache:
        return TrackCache("still", device="cpu", grid=4, folder=tmp_path)

    first = cached()(clip)
    again = cached()(clip)
    assert Still.calls == 1
    np.testing.assert_array_equal(first.points, again.points)
    (path,) = tmp_path.glob("tracks/*/*")
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for number, damage in enumerate([b"", b"no zip", whole[: len(whole) // 2], bytes(flipped)], start=2):
        path.write_bytes(damage)
        np.testing.assert_array_equal(cached()(clip).points, first.points)
        assert Still.calls == number
        assert path.read_bytes() == whole


def test_tracks_of_other_clips_grids_and_versions_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    for seed, grid in [(1, 4), (2, 4), (1, 5)]:
        TrackCache("still", device="cpu", grid=grid, folder=tmp_path)(make_clip(seed))
    monkeypatch.setattr(Still, "version", 2)
    TrackCache("still", device="cpu", grid=4, folder=tmp_path)(make_clip(1))
    assert len(list(tmp_path.glob("tracks/*/*"))) == 4


def test_cache_that_cannot_be_written_costs_speed_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch)
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level("WARNING", logger="motionbench"):
        tracks = TrackCache("still", device="cpu", grid=4, folder=tmp_path / "file")(make_clip(1))
    assert tracks.points.shape == (16, 5, 2)


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTIONBENCH_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("MOTIONBENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/else")
    assert cache_folder() == Path("/else/motionbench")


def test_metrics_of_the_test_world_are_complete() -> None:
    assert {name for name, made in METRICS.items() if made.info.name != name} == set()
