"""The search for presets: trials, their order, resuming, and the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from motionbench.methods import preset_search
from motionbench.methods.followyourmotion.method import FollowYourMotion
from stand_in import ENTRY, moving_square
from typer.testing import CliRunner

from motionbench import registry
from motionbench.case import Case, Category, Level
from motionbench.errors import ConfigError
from motionbench.manifest import write_manifest
from motionbench.metric import Measurement, MetricInfo
from motionbench.tracks import Tracks

QUICK = {"rank": 2, "spatial_steps": 2, "temporal_steps": 2, "sparse_frames": 5, "head_times": [0.5], "head_alpha": 0.8}

SAMPLES = {"both": {}, "temporal": {"branches_at_inference": "temporal"}}


class Still:
    """A tracker for which nothing moves."""

    name: ClassVar[str] = "still"
    version: ClassVar[int] = 1

    @classmethod
    def create(cls, device):
        return cls()

    def track(self, clip, queries):
        points = np.repeat(queries[:, None], len(clip), axis=1).astype(np.float32)
        return Tracks(points, np.ones(points.shape[:2], bool), clip.height, clip.width)


class Brightness:
    """How bright the generated clip is: enough to see that clips reach the metric."""

    info = MetricInfo("brightness", 1, "", (0, 1), "higher", "", "")

    @classmethod
    def create(cls, runtime):
        return cls()

    def measure(self, sample):
        assert sample.generated.frames.shape == sample.reference.frames.shape
        assert sample.tracks(sample.generated).points.shape == (400, 9, 2)
        return Measurement(float(sample.generated.frames.mean()) / 255)


@pytest.fixture
def call(tmp_path, monkeypatch):
    plugins = {
        "backbones": ENTRY, "trackers": Still, "metrics": Brightness, "methods": FollowYourMotion,
        "worlds": object,
    }  # fmt: skip
    monkeypatch.setattr(registry, "load", lambda group, name: plugins[group])
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path / "cache"))
    cases = []
    for i, category in enumerate((Category.CAMERA, Category.HUMAN), 1):
        digest = moving_square(9, 16).write(tmp_path / f"{i}.mp4")
        case_id = f"{category}/9001/1"
        cases.append(Case(case_id, category, f"{i}.mp4", digest, "a square", "a disc", Level.SCENE, "CC0-1.0", "test"))
    write_manifest(tmp_path / "manifest.jsonl", cases)
    trials = [
        {"name": "one", "set": QUICK},
        {"name": "hot", "set": {**QUICK, "spatial_lr": 1e30, "temporal_lr": 1e30, "max_grad_norm": 0}},
    ]
    (tmp_path / "configs.json").write_text(
        json.dumps({"method": "followyourmotion", "sample": SAMPLES, "trials": trials})
    )

    def run(*more):
        files = ["--split", str(tmp_path), "--out", str(tmp_path / "out.jsonl")]
        words = ["run", str(tmp_path / "configs.json"), *files, "--device", "cpu", "--metrics", "brightness"]
        return CliRunner().invoke(preset_search.app, [*words, "--tracker", "tiny", *more])

    return run


def lines_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_every_trial_is_run_once_reference_by_reference(call, tmp_path):
    for _ in range(2):  # the second time adds nothing
        result = call()
        assert result.exit_code == 0, result.output
    order = list(dict.fromkeys((line["case"], line["trial"]) for line in lines_of(tmp_path)))
    assert order == [(c, t) for c in ("camera/9001/1", "human/9001/1") for t in ("one", "hot")]
    found = [(line["trial"], line["sample"], line["case"]) for line in lines_of(tmp_path)]
    cases = ("camera/9001/1", "human/9001/1")
    assert sorted(found) == sorted(
        [(*k, c) for c in cases for k in (("one", "both"), ("one", "temporal"), ("hot", ""))]
    )
    good = [line for line in lines_of(tmp_path) if line["trial"] == "one"]
    assert all(0 < line["scores"]["brightness"] < 1 for line in good)
    hot = [line for line in lines_of(tmp_path) if line["trial"] == "hot"]
    assert all("NotFiniteError" in line["notes"]["error"] for line in hot)
    rows = CliRunner().invoke(preset_search.app, ["table", str(tmp_path / "out.jsonl")]).stdout.splitlines()
    assert len(rows) == 2
    assert "n=2" in rows[0]


KEPT = sorted((Path(__file__).parents[2] / "training/searches").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda p: p.stem)
def test_the_searches_that_are_kept_can_be_read(path):
    trials = preset_search.read_trials(path, "tiny")
    assert len({trial.name for trial in trials}) == len(trials)
    assert sum(len(trial.samples) for trial in trials) > 1, "a search compares something"


def test_the_table_is_a_macro_mean_best_first():
    def line(trial, category, value):
        return {"trial": trial, "sample": "s", "category": category, "scores": {"m": value}}

    found = [("a", "human", 0.0), ("a", "human", 0.0), ("a", "camera", 0.6), ("b", "human", 0.9), ("b", "camera", None)]
    rows = preset_search.to_rows([line(*values) for values in found])
    assert rows[0].startswith("b/s")
    assert "+0.300 n=3 | camera +0.600  human +0.000" in rows[1]


def test_a_trial_with_an_unknown_setting_is_named(tmp_path):
    odd = {"name": "odd", "set": {"rnk": 3}}
    (tmp_path / "c.json").write_text(json.dumps({"method": "followyourmotion", "sample": {}, "trials": [odd]}))
    with pytest.raises(ConfigError, match=r"odd.*rnk"):
        preset_search.read_trials(tmp_path / "c.json", "tiny")
