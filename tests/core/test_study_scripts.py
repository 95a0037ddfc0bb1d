"""Scripts around studies: records packed small, a search's contrasts, and curves that run where they are said to."""

from __future__ import annotations

import importlib
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from motionbench.schema import SCHEMA
from motionbench.split import read_split
from motionbench.summary import Attempts
from motionbench.video import read_clip

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_packed_records_keep_what_scores_rest_on_and_are_the_same_bytes_again(tmp_path: Path, script: Any) -> None:
    records = script("study_records")
    folder = tmp_path / "results" / "full"
    folder.mkdir(parents=True)
    run = {"configuration": {"split": "/home/me/crowd"}, "selection": {"split": "/home/me/crowd"}}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "records.jsonl").write_text('{"key": "a"}\n')
    (folder / "scores.jsonl").write_text('{"details": {"tracker": "tiny v3", "parts": [1]}, "value": 0.5}\n')
    (folder / "video.mp4").write_bytes(b"no")
    assert records.pack(tmp_path / "results", tmp_path / "a.tar.xz") == 1
    first = (tmp_path / "a.tar.xz").read_bytes()
    records.pack(tmp_path / "results", tmp_path / "a.tar.xz")
    assert (tmp_path / "a.tar.xz").read_bytes() == first
    with tarfile.open(tmp_path / "a.tar.xz") as tar:
        assert tar.getnames() == [f"a/full/{name}" for name in ("records.jsonl", "run.json", "scores.jsonl")]
        member = tar.extractfile("a/full/scores.jsonl")
        assert member is not None
        assert json.loads(member.read()) == {"details": {"tracker": "tiny v3"}, "value": 0.5}
        member = tar.extractfile("a/full/run.json")
        assert member is not None
        assert json.loads(member.read()) == {**run, "selection": {"split": "…/crowd"}}


def test_a_study_is_drawn_with_its_intervals_and_the_published_difference(script: Any, tmp_path: Path) -> None:
    difference = {"metric": "motion_fidelity", "low": -0.2, "high": -0.05}
    parts = [difference | {"category": name, "difference": -0.1} for name in ("camera", "all")]
    contrast = {"a": "bare", "b": "full", "differences": parts, "published": {"motion_fidelity": -0.425}}
    variants = {"full": {"title": "full"}, "bare": {"title": "bare <1>"}, "none": {"title": "none"}}
    far = contrast | {"a": "none", "differences": [parts[0] | {"difference": -9.0, "low": -9.5, "high": -8.5}]}
    study = tmp_path / "study.json"
    study.write_text(json.dumps({"variants": variants, "contrasts": [contrast, far]}))
    script("contrast_plot").main([str(study), "--leave-out", "none", "--out", str(tmp_path / "a.svg")])
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    said = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"bare <1> − full", "−0.100", "the paper: −0.425", "camera", "−0.1", "0"} <= set(said)
    x = {one.text: float(one.get("x", "")) for one in root.iter("{http://www.w3.org/2000/svg}text")}
    drawn = [float(one.get("cx", "")) for one in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert drawn == [x["−0.1"]] * 2, "the point stands below its number on the axis"
    bare = {"metric": "motion_fidelity", "category": "all", "difference": 0.0, "low": None, "high": None}
    for value in (0.0, 0.3):  # of one reference, and of variants that are the same
        one = contrast | {"differences": [bare | {"difference": value}]}
        drawing = script("contrast_plot").draw({"variants": variants, "contrasts": [one]}, "motion_fidelity", [])
        (point,) = ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}circle")
        assert 300 <= float(point.get("cx", "")) <= 590
    with pytest.raises(ValueError, match="found none"):
        script("contrast_plot").draw({"variants": variants, "contrasts": []}, "motion_fidelity", [])


def test_a_search_is_contrasted_over_the_references_that_both_trials_have(tmp_path: Path, script: Any) -> None:
    page = script("search_page")
    values = {
        "a": {"camera/9001/2": 0.9, "camera/9002/2": 0.5, "single_object/8001/2": 0.4, "single_object/9001/2": 1.0},
        "b": {"camera/9001/2": 0.7, "single_object/8001/2": 0.9, "single_object/9001/2": 0.9},
    }
    lines = [
        {"trial": trial, "sample": "base", "case": case, "scores": {"motion_fidelity": value, "text_alignment": 0.8}}
        for trial, held in values.items()
        for case, value in held.items()
    ]
    found = tmp_path / "found.jsonl"
    found.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    page.main([str(found), "--contrast", "a", "b", "which", "--page", str(tmp_path / "page.md")])
    text = (tmp_path / "page.md").read_text()
    assert "| which | `a` − `b` | +0.000, n 3 | −0.500, n 1 |" in text  # (0.2 + (0.1 − 0.5) / 2) / 2
    assert "| `a` | 0.90 | 1.00 | 0.950 | 0.400 | 0.800 |" in text  # without the camera that b lacks


def test_curves_run_where_they_are_said_to_and_are_of_no_world(tmp_path: Path, script: Any) -> None:
    curves = script("curves")
    path = curves.placed(curves.CURVES["choosing"]["spiral"](), np.random.default_rng(1))
    assert np.ptp(path, axis=0).max() == pytest.approx(1.2, abs=0.11)
    assert np.abs(path).max() < 0.8
    clip = curves.draw(path, (1.0, 0.0, 0.0), np.random.default_rng(2))
    red = clip.frames[..., 0].astype(float) - clip.frames[..., 1:].mean(-1)
    weight = np.clip(red - 90, 0, None)
    assert (weight.sum((1, 2)) > 0).all()
    axis = (np.arange(64) + 0.5) / 32 - 1
    seen = np.stack([(weight * axis).sum((1, 2)), (weight * axis[:, None]).sum((1, 2))], -1)
    assert np.abs(seen / weight.sum((1, 2))[:, None] - path).max() < 0.12
    assert not set(curves.CURVES["choosing"]) & set(curves.CURVES["reporting"])


def test_a_split_of_curves_is_a_split(tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    curves = script("curves")
    one = {"vee": curves.CURVES["choosing"]["vee"]}
    monkeypatch.setitem(curves.CURVES, "choosing", one)
    curves.main(["choosing", "--out", str(tmp_path / "a")])
    curves.main(["choosing", "--out", str(tmp_path / "b")])
    (case,) = read_split(tmp_path / "a").cases
    assert case.id == "single_object/8001/2"
    assert case.caption != case.prompt
    a, b = (read_clip(tmp_path / name / "references" / "vee.mp4").frames for name in ("a", "b"))
    assert np.array_equal(a, b)


def test_groups_are_means_of_their_references_and_a_lost_clip_is_one_below_half(script: Any) -> None:
    groups = script("groups_page")
    values = {("multi_object/6001/2", 0): 0.9, ("multi_object/6001/2", 1): 0.3, ("multi_object/6002/2", 0): 0.8}
    records = tuple(SimpleNamespace(case_id=case, seed=seed, key=f"{case}{seed}", status="ok") for case, seed in values)
    scores = {
        (record.key, metric): SimpleNamespace(value=values[record.case_id, record.seed], details={})
        for record in records
        for metric in ("motion_fidelity", "text_alignment")
    }
    group_of = {"multi_object/6001/2": "3 objects", "multi_object/6002/2": "4 objects"}
    mean, cells = groups._row(
        Attempts("swing", records, scores, frozenset()), group_of, ["3 objects", "4 objects", "5 objects"]
    )
    assert mean == pytest.approx(0.7)  # (0.6 + 0.8) / 2: seeds of a case first
    assert cells[:3] == ["0.600", "0.800", "–"]
    assert cells[4] == "1 of 3"
    without = {key: score for key, score in scores.items() if key[1] == "motion_fidelity"}
    assert groups._row(Attempts("swing", records, without, frozenset()), group_of, ["3 objects"])[1][-1] == "–", (
        "no text model"
    )


def test_groups_of_results_that_nobody_scored_name_the_folder(tmp_path: Path, script: Any) -> None:
    (tmp_path / "swing").mkdir()
    (tmp_path / "swing/run.json").write_text(
        json.dumps({"schema": SCHEMA, "configuration": {"method": "swing"}, "environment": {}})
    )
    with pytest.raises(SystemExit, match=r"no motion_fidelity in swing; run `motionbench score`"):
        script("groups_page").read([tmp_path])
