"""The Python door: one line each for the main job and its halves, the same numbers as the commands, nothing heavy."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_world import install, make_clip, make_split

import motionbench as mb
from motionbench import cli, registry
from motionbench.commands.planning import PLAN_OPTIONS, plan_defaults
from motionbench.errors import ConfigError, StoreError, UnknownNameError, VideoError
from motionbench.html import to_html

COMMON: dict[str, Any] = {"tracker": "still", "metrics": ["change", "travel"], "device": "cpu"}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_split(tmp_path_factory.mktemp("split"))


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    install(monkeypatch)


@pytest.fixture
def made(split: Path) -> mb.Results:
    return mb.evaluate("reversed", split=split, out="a", **COMMON)


def test_importing_loads_nothing_heavy_and_names_are_there() -> None:
    code = (
        "import sys, motionbench as mb; names = dir(mb); "
        "print([n for n in ('numpy', 'torch', 'pandas', 'rich') if n in sys.modules], set(mb.__all__) <= set(names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "True"]
    assert all(getattr(mb, name) is not None for name in mb.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'evaluat'"):
        mb.evaluat  # noqa: B018


def test_no_module_has_the_name_of_a_function() -> None:
    modules = {path.stem for path in Path(mb.__file__).parent.glob("*.py")}
    assert modules & set(mb.__all__) == set()  # importing the module would take the function's place


@pytest.mark.minimums
def test_evaluate_gives_the_numbers_of_the_command(
    made: mb.Results, split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["eval", "--method", "reversed", "--split", str(split), "--out", "b", "--json", "--tracker", "still"]
    with pytest.raises(SystemExit):
        cli.app([*words, "--metrics", "change,travel", "--device", "cpu"], prog_name="motionbench")
    printed = json.loads(capsys.readouterr().out)
    assert json.loads(json.dumps(made.summary.to_json()))["rows"] == printed["rows"]
    assert made.summary.configuration == printed["configuration"]
    assert made.scoring is not None
    assert made.scoring.new == 16


@pytest.mark.minimums
def test_frames_hold_rows_scores_and_records(made: mb.Results) -> None:
    rows = made.frame()
    assert list(rows["category"].unique()) == ["camera", "human", "all"]
    assert rows["mean"].tolist() == [row.mean for row in made.summary.rows]
    records = made.frame("records")
    assert len(records) == 8
    assert set(records["status"]) == {"ok"}
    scores = made.frame("scores")
    assert len(scores) == 16
    assert not scores[["case_id", "metric", "value"]].isna().any().any()
    with pytest.raises(ValueError, match="rows, scores or records"):
        made.frame("averages")  # type: ignore[arg-type]


def test_generate_then_score_is_evaluate_without_controls(split: Path) -> None:
    generated = mb.generate("reversed", split=split, out="c", device="cpu", categories="human", seeds=3)
    assert set(generated.frame("records")["seed"]) == {3}
    assert set(generated.frame("records")["category"]) == {"human"}
    assert "nothing is scored yet" in generated._repr_html_()
    with pytest.raises(StoreError, match=r"mb\.score"):
        generated.frame()
    scored = mb.score("c", **COMMON)
    assert scored.frame()["floor"].isna().all()
    assert mb.score(scored, **COMMON).scoring.new == 0  # type: ignore[union-attr]


def test_a_plan_is_an_argument_list(split: Path) -> None:
    plan = mb.RunPlan("copy", split=str(split), limit=1, device="cpu", levels="scene")
    made = mb.generate(plan, out="d", categories=["camera"])
    assert len(made.frame("records")) == 1
    with pytest.raises(TypeError, match="splitt"):
        mb.generate("copy", splitt="mini")
    with pytest.raises(ConfigError, match="unknown category 'cats'"):
        mb.generate("copy", categories="cats")
    with pytest.raises(ConfigError, match="unknown key 'rank'"):
        mb.generate("copy", split=split, settings={"rank": 64})
    with pytest.raises(ConfigError, match="not both"):
        mb.RunPlan("copy", config=object(), settings={"rank": 64})
    with pytest.raises(UnknownNameError, match="unknown metric 'beauty'"):
        mb.evaluate("copy", split=split, metrics="beauty", out="e")
    assert not Path("e").exists()


def test_settings_from_python_are_typed_like_those_of_the_command_line() -> None:
    plan = mb.RunPlan("x", settings={"rank": 64, "shares": (0.5, 1), "bias": None, "fast": True})
    assert plan.settings == ("rank=64", "shares=0.5,1", "bias=None", "fast=True")
    assert mb.RunPlan("x", settings="rank=64").settings == ("rank=64",)


def test_the_command_line_has_an_option_for_every_field_of_a_plan() -> None:
    assert set(PLAN_OPTIONS) == {field.name for field in fields(mb.RunPlan)} - {"config"}
    assert plan_defaults()["shard"] == "1/1"
    assert mb.RunPlan(**plan_defaults()) == mb.RunPlan()


def test_compare_is_paired_and_says_what_it_left_out(made: mb.Results) -> None:
    found = mb.compare(made, "a/controls/frozen", metrics="change,travel")
    frame = found.frame().set_index(["metric", "category"])
    assert frame.loc[("change", "all"), "difference"] == pytest.approx(
        frame.loc[("change", "all"), "a"] - frame.loc[("change", "all"), "b"]
    )
    assert "A − B [95%]" in found._repr_html_()
    with pytest.raises(StoreError, match=r"no run\.json"):
        mb.compare(made, "nowhere")


def test_html_escapes_what_comes_from_outside(made: mb.Results) -> None:
    assert "<script>" not in to_html("<script>", ["<script>"], [["<script>"]], ["<script>"])
    page = made._repr_html_()
    assert page.count("<tr>") == 1 + len(made.frame())
    assert "reversed" in page


def test_leaderboard_is_one_call(made: mb.Results) -> None:
    page = made.leaderboard("page.html", media="none")
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_two_clips_are_compared_without_a_run() -> None:
    clip = make_clip(1, frames=9)
    backwards = clip.with_frames(np.ascontiguousarray(clip.frames[::-1]))
    backwards.write("back.mp4")
    for generated in (backwards, backwards.frames, "back.mp4", Path("back.mp4")):
        found = mb.compare_clips(generated, clip, ["change", "unready"], tracker="still", device="cpu")
        assert found["change"] is not None
        assert found["unready"] is None
        frame = found.frame().set_index("metric")
        assert frame.loc["change", "frozen"] == 0
        assert "weights of unready" in frame.loc["unready", "note"]
        assert "change" in found._repr_html_()
    with pytest.raises(VideoError, match=r"absent\.mp4"):
        mb.compare_clips("absent.mp4", clip, ["change"], tracker="still", device="cpu")


def test_transfer_returns_the_clip_and_writes_it_only_when_asked() -> None:
    make_clip(1, frames=9, height=48, width=80).write("my.mp4")
    made = mb.transfer("my.mp4", "a cube", method="reversed", device="cpu")
    assert (made.clip.frames.shape, made.out, made.sha256) == ((9, 48, 80, 3), None, None)
    assert sorted(path.name for path in Path().iterdir()) == ["my.mp4"]
    written = mb.transfer("my.mp4", "a cube", method="reversed", device="cpu", out="new.mp4")
    assert Path("new.mp4").is_file()
    assert written.sha256


@pytest.mark.minimums
def test_a_split_is_a_frame(split: Path) -> None:
    frame = mb.read_split(split).frame()
    assert len(frame) == 8
    assert Path(frame["path"][0]).is_file()


def test_run_json_says_what_a_page_needs_where_the_method_is_not_installed(
    made: mb.Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = importlib.import_module("motionbench.leaderboard.facts")
    manifest = made.store.read_run()
    here = facts.method_facts("reversed", [manifest])
    monkeypatch.setattr(registry, "names", lambda group: [])  # another machine
    there = facts.method_facts("reversed", [manifest])
    assert there.contract == here.contract
    assert there.contract.is_control
    assert there.summary == here.summary != ""
    assert manifest["environment"]["license"] == "Apache-2.0"
