"""The commands end to end, on real clips with the controls as methods and metrics that need no weights."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import encode, moving_frames
from motionbench.methods.folder import FolderConfig
from small_world import Hopeless, change, install, make_clip, make_metric, make_split

from motionbench import cli, registry
from motionbench.clip import Clip
from motionbench.commands.repeating import retry_command
from motionbench.method import InputContract
from motionbench.plan import RunPlan, config_to_json
from motionbench.record import comparable, comparable_score
from motionbench.runner import run
from motionbench.store import ResultStore
from motionbench.video import read_clip

COMMON = ["--tracker", "still", "--metrics", "change,travel", "--device", "cpu"]


class Bench:
    """A folder with a split, the test's plugins, and the command line in this process."""

    def __init__(self, folder: Path, split: Path, evaluated: Path, capsys: Any, extra: dict[str, Any]) -> None:
        self.folder, self.split, self.evaluated, self.capsys, self.extra = folder, split, evaluated, capsys, extra

    def copied(self, name: str = "a") -> Path:
        """The results of `eval --method copy`, for this test alone."""
        return Path(shutil.copytree(self.evaluated, self.folder / name))

    def invoke(self, *arguments: object, code: int = 0) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.app([str(argument) for argument in arguments], prog_name="motionbench")
        out, err = self.capsys.readouterr()
        assert (ended.value.code or 0) == code, err
        return out, err

    def evaluate(self, name: str, *arguments: object, code: int = 0) -> tuple[dict[str, Any], Path]:
        out = self.folder / name
        words = ["eval", "--split", self.split, "--out", out, "--json", *COMMON, *arguments]
        return json.loads(self.invoke(*words, code=code)[0]), out


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_split(tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="module")
def evaluated(split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`eval --method copy` once, for the tests that start from its results."""
    folder = tmp_path_factory.mktemp("evaluated") / "results"
    words = ["eval", "--method", "copy", "--split", str(split), "--out", str(folder), *COMMON]
    with pytest.MonkeyPatch.context() as patch:
        install(patch)
        with pytest.raises(SystemExit) as ended:
            cli.app(words, prog_name="motionbench")
    assert not ended.value.code
    return folder


@pytest.fixture
def bench(
    tmp_path: Path, split: Path, evaluated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bench:
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    return Bench(tmp_path, split, evaluated, capsys, install(monkeypatch))


def read_json(folder: str | Path) -> dict[str, Any]:
    """The bare content of a folder's summary.json."""
    return dict(json.loads((Path(folder) / "summary.json").read_text()))


def row(summary: dict[str, Any], metric: str, category: str) -> dict[str, Any]:
    (found,) = (r for r in summary["rows"] if (r["metric"], r["category"]) == (metric, category))
    return dict(found)


def test_eval_makes_records_scores_summary_and_controls(bench: Bench) -> None:
    summary, out = bench.evaluate("a", "--method", "reversed")
    store = ResultStore(out)
    assert [r.status for r in store.records()] == ["ok"] * 8
    assert len(store.scores()) == 16
    assert read_json(out) == {k: v for k, v in summary.items() if k != "results"}
    assert sorted(path.name for path in (out / "controls").iterdir() if (path / "summary.json").exists()) == []
    camera = row(summary, "change", "camera")
    assert (camera["n"], camera["n_failed"], camera["floor"]) == (4, 0, 0.0)
    assert camera["low"] <= camera["mean"] <= camera["high"]
    # played backwards, the changes are those of the copy, up to the codec: the top of the scale
    assert camera["normalized"] == pytest.approx(1.0, abs=0.05)
    assert row(summary, "change", "all")["n"] == 8


def test_ceiling_falls_back_where_the_first_control_cannot_work(bench: Bench) -> None:
    bench.extra["metrics"]["lofty"] = make_metric(change, "lofty", ceiling=("hopeless", "copy"))
    bench.extra["metrics"]["lonely"] = make_metric(change, "lonely", ceiling=("nowhere",))
    words = ["--metrics", "lofty,lonely", "--method", "frozen", "--category", "camera", "--limit", 1]
    summary, out = bench.evaluate("a", *words, code=0)
    assert [r.status for r in ResultStore(out / "controls/hopeless").records()] == ["failed", "failed"]
    assert row(summary, "lofty", "camera")["ceiling"] > 0
    assert row(summary, "lonely", "camera")["ceiling"] is None


def test_eval_prints_a_table_within_a_hundred_columns(bench: Bench) -> None:
    out, err = bench.invoke("eval", "--method", "copy", "--split", bench.split, "--out", bench.copied(), *COMMON)
    assert max(map(len, out.splitlines())) <= 100
    for word in ("change v1", "camera", "human", "all", "floor", "ceiling", "normalized"):
        assert word in out
    assert "results: " in err
    assert "camera/0000/0" not in out  # the log goes to stderr


def test_eval_again_does_nothing_and_says_the_same(bench: Bench) -> None:
    out = bench.copied()
    first = ResultStore(out).read_summary()
    files = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in {".mp4", ".jsonl"}}
    bench.evaluate("a", "--method", "copy")
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert ResultStore(out).read_summary() == first


def test_run_then_score_is_eval_without_controls(bench: Bench) -> None:
    out, _ = bench.invoke("run", "--method", "copy", "--split", bench.split, "--out", "b", "--device", "cpu")
    assert out == "b\n"
    scored = json.loads(bench.invoke("score", "b", "--json", *COMMON)[0])
    there, here = ResultStore(bench.evaluated), ResultStore("b")
    assert [comparable(r) for r in here.records()] == [comparable(r) for r in there.records()]
    assert [comparable_score(s) for s in here.scores()] == [comparable_score(s) for s in there.scores()]
    assert row(scored, "change", "all")["mean"] == row(read_json(there.folder), "change", "all")["mean"]
    assert row(scored, "change", "all")["floor"] is None


def test_score_never_generates(bench: Bench) -> None:
    out = bench.copied()
    video = next((out / "videos").rglob("*.mp4"))
    video.unlink()
    (out / "scores.jsonl").unlink()
    _, err = bench.invoke("score", out, *COMMON, code=1)
    assert not video.exists()
    assert err.count("not scored: ") == 2


def test_summary_keeps_metrics_that_were_not_asked_for_again(bench: Bench) -> None:
    out = bench.copied()
    bench.invoke("score", out, "--metrics", "change", "--tracker", "still", "--device", "cpu")
    assert list(read_json(out)["metrics"]) == ["change", "travel"]


def test_other_tracker_replaces_the_scores_that_track(bench: Bench) -> None:
    out = bench.copied()
    words = ["score", out, "--metrics", "travel", "--tracker", "restless", "--device", "cpu", "--json"]
    summary = json.loads(bench.invoke(*words)[0])
    assert summary["trackers"] == {"travel": ["restless v1"], "change": []}
    assert row(summary, "travel", "all")["mean"] == 0.5


def test_default_folder_differs_with_the_configuration_only(bench: Bench) -> None:
    words = ["run", "--method", "frozen", "--split", bench.split, "--device", "cpu"]
    first = bench.invoke(*words, "--limit", 1)[0]
    assert bench.invoke(*words)[0] == first
    assert first.startswith(f"results/frozen-{bench.split.name}-")
    assert bench.invoke(*words[:2], "copy", *words[3:])[0] != first


def test_limit_category_and_seeds_choose_the_cases(bench: Bench) -> None:
    words = ["--limit", 1, "--category", "human", "--seed", 3, "--seed", 5, "--seed", 3]
    bench.evaluate("a", "--method", "copy", *words)
    records = ResultStore("a").records()
    assert [(r.case_id, r.seed) for r in records] == [(f"human/0000/{n}", s) for n in range(2) for s in (3, 5)]
    floors = ResultStore("a/controls/frozen").records()
    assert [(r.case_id, r.seed) for r in floors] == [(f"human/0000/{n}", 3) for n in range(2)]


def test_levels_choose_the_prompts(bench: Bench) -> None:
    bench.invoke("run", "--method", "copy", "--split", bench.split, "--out", "a", "--level", "scene", "--device", "cpu")
    assert [r.case_id[-2:] for r in ResultStore("a").records()] == ["/1"] * 4
    words = ["run", "--method", "copy", "--split", bench.split, "--out", "b"]
    assert "no prompt of level caption" in bench.invoke(*words, "--level", "caption", code=2)[1]
    assert (
        "unknown level 'hard'; there are caption, subject, scene" in bench.invoke(*words, "--level", "hard", code=2)[1]
    )


def test_shards_in_one_folder_equal_one_run(bench: Bench) -> None:
    whole = read_json(bench.evaluated)
    bench.evaluate("b", "--method", "copy", "--shard", "2/2")
    parts, _ = bench.evaluate("b", "--method", "copy", "--shard", "1/2")
    assert parts["rows"] == whole["rows"]


def test_failed_case_is_listed_and_the_rest_is_done(bench: Bench, tmp_path: Path) -> None:
    split = make_split(tmp_path / "broken")
    (split / "clips/camera1.mp4").write_bytes(b"")
    words = ["eval", "--method", "copy", "--split", split, "--out", "a", *COMMON]
    _, err = bench.invoke(*words, code=1)
    assert err.count("failed: camera/0001/") == 2
    assert "bad_video" in err
    rows = read_json("a")["rows"]
    (camera,) = (r for r in rows if (r["metric"], r["category"]) == ("change", "camera"))
    assert (camera["n"], camera["n_failed"]) == (2, 2)
    make_split(split)  # mended, and seen
    bench.invoke(*words)
    assert [r.status for r in ResultStore("a").records()] == ["ok"] * 8


def test_failures_come_with_the_command_that_tries_them_again(bench: Bench) -> None:
    words = ["run", "--method", "hopeless", "--split", bench.split, "--out", "an out", "--category", "camera"]
    _, err = bench.invoke(*words, "--limit", 1, "--seed", 3, "--device", "cpu", code=1)
    (line,) = (line for line in err.splitlines() if line.startswith("try them again: "))
    again = shlex.split(line.partition(": ")[2])
    assert again[-1] == "--retry-failed"
    before = (Path("an out") / "records.jsonl").read_text().count("\n")
    bench.invoke(*again[1:], code=1)
    assert (Path("an out") / "records.jsonl").read_text().count("\n") == before + 2


def test_command_that_repeats_a_run_gives_its_configuration(bench: Bench, tmp_path: Path) -> None:
    plan = RunPlan("folder", FolderConfig(tmp_path, "a b"), split=str(bench.split), device="cpu", limit=1)
    run(plan, ResultStore("a"))
    again = shlex.split(retry_command(ResultStore("a"), "run"))
    before = ResultStore("a").read_run()
    bench.invoke(*again[1:], code=1)
    assert ResultStore("a").read_run() == before


def test_table_says_of_which_cases_it_speaks(bench: Bench) -> None:
    words = ["eval", "--method", "copy", "--split", bench.split, "--out", "a", "--controls", "none", *COMMON]
    out, _ = bench.invoke(*words, "--limit", 2)
    assert "Of all 8 cases of 4 references on record in this folder." in out
    out, _ = bench.invoke(*words, "--limit", 1)
    told = "Of all 8 cases of 4 references on record in this folder; this command asked for 4 of them."
    assert told in " ".join(out.split())
    assert read_json("a")["on_record"] == {"cases": 8, "references": 4}


def test_results_and_split_moved_together_are_found(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(bench.split, tmp_path / "here/split")
    results = tmp_path / "here/results/a"
    words = ["--split", tmp_path / "here/split", "--out", results, *COMMON]
    bench.invoke("eval", "--method", "reversed", *words)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there/results/a"
    for scores in moved.rglob("scores.jsonl"):
        scores.unlink()
    scored = json.loads(bench.invoke("score", moved, "--json", *COMMON)[0])
    assert row(scored, "change", "all")["n"] == 8
    bench.invoke("compare", moved, moved / "controls/frozen", "--metrics", "change")
    assert json.loads(bench.invoke("verify", moved, "--json")[0])["recomputed"] == 16
    assert json.loads(bench.invoke("leaderboard", moved, "--out", "page.html", "--json")[0])["notes"] == []


def test_results_moved_alone_ask_for_their_split(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(bench.split, tmp_path / "here/split")
    bench.invoke("run", "--method", "copy", "--split", "here/split", "--out", "here/a", "--device", "cpu")
    (tmp_path / "here/a").rename(tmp_path / "a")
    (tmp_path / "here/split").rename(tmp_path / "elsewhere")
    _, err = bench.invoke("score", "a", *COMMON, code=2)
    assert "its split split, revision " in err
    assert "nothing there" in err
    assert "--split PATH" in err
    other = make_split(tmp_path / "other", references=1)
    assert f"{other} (revision " in bench.invoke("score", "a", "--split", other, *COMMON, code=2)[1]
    bench.invoke("score", "a", "--split", "elsewhere", *COMMON)
    assert json.loads(bench.invoke("verify", "a", "--split", "elsewhere", "--json")[0])["recomputed"] == 16


class Modeled(Hopeless):
    """A control that needs a model."""

    name = "modeled"
    contract = InputContract(trains=False, start_latent="noise", sees_reference=False, is_control=True)


class Seer(Hopeless):
    """A control that reads a file beside the reference."""

    name = "seer"
    contract = InputContract(
        trains=False, start_latent="none", sees_reference=True, is_control=True, uses_backbone=False
    )

    @classmethod
    def sources(cls, config: Any, split: Any, cases: Any) -> dict[str, list[Path]]:
        return {case.id: [split.reference_path(case).with_suffix(".truth")] for case in cases}


def test_controls_that_cannot_be_had_or_cost_a_model_are_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bench.extra["methods"], "modeled", Modeled)
    monkeypatch.setitem(bench.extra["methods"], "seer", Seer)
    bench.extra["metrics"]["lofty"] = make_metric(change, "lofty", ceiling=("modeled", "seer", "copy"))
    words = ["--method", "reversed", "--metrics", "lofty", "--tracker", "still", "--device", "cpu"]
    _, err = bench.invoke("eval", "--split", bench.split, "--out", "a", *words)
    assert sorted(path.name for path in Path("a/controls").iterdir()) == ["copy", "frozen"]
    assert err.count("control modeled is left out: it needs a model and reversed uses none") == 1
    assert err.count("control seer is left out: no case has the file") == 1


def test_controls_are_chosen_by_name_or_none(bench: Bench) -> None:
    words = ["--method", "reversed", "--category", "camera", "--limit", 1]
    bench.evaluate("none", *words, "--controls", "none")
    assert not Path("none/controls").exists()
    bench.evaluate("two", *words, "--controls", "copy,frozen")
    assert sorted(path.name for path in Path("two/controls").iterdir()) == ["copy", "frozen"]
    _, err = bench.invoke("eval", "--split", bench.split, "--controls", "followyourmotion", *COMMON, code=2)
    assert "is no control" in err
    assert "Did you mean" in bench.invoke("eval", "--split", bench.split, "--controls", "frozn", *COMMON, code=2)[1]


def test_other_configuration_in_the_same_folder_is_refused(bench: Bench) -> None:
    bench.copied()
    _, err = bench.invoke("eval", "--method", "frozen", "--split", bench.split, "--out", "a", *COMMON, code=2)
    assert "another configuration" in err


def test_metric_without_weights_is_said_and_the_rest_is_scored(bench: Bench) -> None:
    words = ["score", bench.copied(), "--metrics", "change,unready", "--tracker", "still", "--device", "cpu"]
    _, err = bench.invoke(*words, code=1)
    assert "not available: unready: weights of unready are missing" in err
    (unready,) = (r for r in read_json("a")["rows"] if (r["metric"], r["category"]) == ("unready", "all"))
    assert (unready["mean"], unready["n"], unready["n_failed"]) == (None, 0, 8)


def test_compare_prints_paired_differences(bench: Bench) -> None:
    bench.copied()
    found = json.loads(bench.invoke("compare", "a", "a/controls/frozen", "--metrics", "change", "--json")[0])
    (every,) = (d for d in found if d["category"] == "all")
    assert every["b"] == 0.0
    assert every["difference"] == pytest.approx(every["a"])
    assert 0 < every["low"] <= every["difference"] <= every["high"]
    assert (every["n_pairs"], every["n_unpaired"]) == (8, 0)
    out, _ = bench.invoke("compare", "a", "a/controls/frozen", "--metrics", "change")
    assert "A − B [95%]" in out
    assert max(map(len, out.splitlines())) <= 100


def test_compare_refuses_other_cases_and_unscored_runs(bench: Bench, tmp_path: Path) -> None:
    bench.copied()
    other = make_split(tmp_path / "other", references=1)
    run(RunPlan("copy", split=str(other), device="cpu"), ResultStore("b"))
    assert "differs" in bench.invoke("compare", "a", "b", "--metrics", "change", code=2)[1]
    run(RunPlan("frozen", split=str(bench.split), device="cpu"), ResultStore("c"))
    assert "motionbench score" in bench.invoke("compare", "a", "c", "--metrics", "change", code=2)[1]


def test_transfer_with_a_method_without_backbone_keeps_the_clip(bench: Bench) -> None:
    make_clip(1, frames=11, height=48, width=80, fps=30.0).write(Path("my.mp4"))
    words = ["transfer", "--reference", "my.mp4", "--prompt", "a cube", "--out", "new.mp4", "--device", "cpu"]
    out, _ = bench.invoke(*words, "--method", "frozen")
    assert out == "new.mp4\n"
    clip = read_clip("new.mp4")
    assert clip.frames.shape == (11, 48, 80, 3)
    assert int(np.abs(np.diff(clip.frames.astype(int), axis=0)).max()) <= 2


def test_transfer_cuts_odd_sides_where_no_backbone_resizes_them(bench: Bench) -> None:
    frames = moving_frames(6, 49, 81)
    encode(Path("odd.mp4"), frames, pixels="yuv444p")
    words = ["transfer", "--reference", "odd.mp4", "--prompt", "a cube", "--out", "new.mp4", "--device", "cpu"]
    _, err = bench.invoke(*words, "--method", "copy")
    assert "cut: 81x49 to 80x48" in err
    made = read_clip("new.mp4").frames
    assert made.shape == (6, 48, 80, 3)
    assert np.abs(made.astype(int) - frames[:, :48, :80]).mean() < 12


def test_transfer_brings_any_clip_to_the_native_shape_and_says_so(bench: Bench) -> None:
    from motionbench.single_transfer import read_reference

    class Native:
        frames, height, width = 17, 64, 64

    make_clip(1, frames=50, height=90, width=160, fps=29.97).write(Path("my.mp4"))
    lines: list[str] = []
    clip = read_reference(Path("my.mp4"), Native, lines.append)
    err = "\n".join(lines)
    assert clip.frames.shape == (17, 64, 64, 3)
    assert "160x90 to 64x64 (center crop)" in err
    assert "17 frames" in err
    assert "over 1.63 s" in err  # 49 steps at 29.97 fps


@pytest.mark.parametrize(
    ("reference", "out", "words"),
    [
        ("absent.mp4", "new.mp4", "absent.mp4"),
        ("empty.mp4", "new.mp4", "0 bytes"),
        ("text.mp4", "new.mp4", "text.mp4"),
        ("my.mp4", "new.gif", ".mp4"),
        ("my.mp4", "my.mp4", "the reference itself"),
        ("my.mp4", "no/such/folder/new.mp4", "folder"),
        ("one.mp4", "new.mp4", "at least 2"),
    ],
)
def test_transfer_refuses_what_it_cannot_do(bench: Bench, reference: str, out: str, words: str) -> None:
    Path("empty.mp4").write_bytes(b"")
    Path("text.mp4").write_text("not a video\n" * 50)
    make_clip(1).write(Path("my.mp4"))
    Clip(make_clip(1).frames[:1], 8.0).write(Path("one.mp4"))
    before = Path("my.mp4").read_bytes()
    command = ["transfer", "--method", "frozen", "--prompt", "a cube", "--device", "cpu"]
    _, err = bench.invoke(*command, "--reference", reference, "--out", out, code=2)
    assert words in err
    assert Path("my.mp4").read_bytes() == before
    assert not Path("new.mp4").exists()


def test_read_only_results_folder_is_wrong_use(bench: Bench) -> None:
    Path("file").write_text("in the way")
    _, err = bench.invoke("run", "--method", "copy", "--split", bench.split, "--out", "file/a", code=2)
    assert "StoreError" in err


def test_list_splits_reads_their_manifests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motionbench.split.splits_folder", lambda: bench.split.parent)
    out, _ = bench.invoke("list", "splits")
    assert re.search(rf"^{bench.split.name} +8 cases of 4 references \(camera, human\)", out, re.MULTILINE)


def test_doctor_names_what_is_there_and_what_is_not(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from motionbench.commands import doctor

    few = {
        "methods": ["frozen"],
        "metrics": ["change", "unready"],
        "trackers": ["still"],
        "backbones": [],
        "worlds": [],
        "commands": [],
    }
    monkeypatch.setattr(registry, "names", few.__getitem__)
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    with pytest.raises(SystemExit) as ended:
        cli.app(["doctor", "--json"], prog_name="motionbench")
    out, err = bench.capsys.readouterr()
    report = json.loads(out)
    assert ended.value.code == 1  # the missing package, and the metric without weights
    assert report["packages"]["numpy"] == np.__version__
    assert "missing" in report["packages"]["no-such-package"]
    assert report["metrics"]["change"] == "ok"
    assert report["metrics"]["unready"].startswith("missing: weights of unready")
    assert report["trackers"]["still"] == "ok"
    assert report["video"]["round trip"].startswith("ok")
    assert "GiB free" in report["disk"]["cache"]
    assert "needs attention: packages no-such-package" in err


def test_transfer_keeps_the_tempo_of_the_reference(bench: Bench) -> None:
    class Native:
        frames, height, width, fps = 5, 32, 32, 8.0

    class Steady:
        """A method with a backbone that always plays at 8 frames a second."""

        name = "steady"
        presets: dict[str, dict[str, Any]] = {}
        Config = Hopeless.Config
        backbone = Native

        @classmethod
        def create(cls, config: Any, runtime: Any) -> Steady:
            return cls()

        def fit(self, reference: Clip, caption: str, *, seed: int) -> Clip:
            return reference

        def generate(self, adapter: Clip, prompt: str, *, seed: int) -> Clip:
            return Clip(adapter.frames, Native.fps)

    bench.extra["methods"] = {"steady": Steady}
    make_clip(1, frames=49, height=48, width=80, fps=24.0).write(Path("my.mp4"))
    words = ["--method", "steady", "--reference", "my.mp4", "--prompt", "a cube", "--out", "new.mp4"]
    bench.invoke("transfer", *words, "--device", "cpu")
    clip = read_clip("new.mp4")
    assert clip.frames.shape == (5, 32, 32, 3)
    assert (len(clip) - 1) / clip.fps == pytest.approx(48 / 24.0)


def test_setting_without_a_value_is_null_in_run_json(bench: Bench) -> None:
    @dataclass(frozen=True)
    class Config:
        shift: float | None = None

    assert config_to_json(Config()) == {"shift": None}
