"""`motionbench results verify`: honest results hold, doctored ones do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from motionbench.leaderboard.verify import VerifyPlan, verify_results
from results_factory import RunRecipe, write_run
from typer.testing import CliRunner

from motionbench import registry
from motionbench.cli import app
from motionbench.metric import Measurement, MetricInfo, MetricRuntime, Sample
from motionbench.scorer import ScorePlan, score
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.summary import Attempts, make_summary


class Brightness:
    """Mean difference of brightness: a metric that needs no weights and sees every pixel."""

    info: ClassVar[MetricInfo] = MetricInfo("motion_fidelity", 1, "", (None, None), "higher", "a test", "Brightness")

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        return cls()

    def measure(self, sample: Sample) -> Measurement:
        sample.tracks(sample.generated)
        return Measurement(float(np.mean(sample.generated.frames) - np.mean(sample.reference.frames)))


@pytest.fixture
def only_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    held = registry.load

    def load(group: Any, name: str) -> Any:
        return Brightness if group == "metrics" and name == "motion_fidelity" else held(group, name)

    monkeypatch.setattr(registry, "load", load)


@pytest.fixture
def results(tmp_path: Path, split: Split, only_brightness: None) -> Path:
    """Six cases, really scored."""
    folder = write_run(tmp_path / "smm", split, RunRecipe("smm", stop_after=6))
    (folder / "scores.jsonl").unlink()
    store = ResultStore(folder)
    score(store, split, ScorePlan(("motion_fidelity",), "lk"))
    infos = {"motion_fidelity": Brightness.info}
    store.write_summary(make_summary(store.read_run()["configuration"], Attempts.read(store, infos), {}, infos))
    return folder


def test_honest_results_hold(results: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in results.rglob("*"))
    made = verify_results(results, VerifyPlan(sample=4))
    assert made.holds, made.findings
    assert made.recomputed == 4
    assert made.largest_difference < 1e-6
    assert made.rows > 0
    assert sorted((path, path.stat().st_mtime_ns) for path in results.rglob("*")) == before


def test_a_raised_score_is_found(results: Path) -> None:
    path = results / "scores.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[2]["value"] += 0.01
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    checks = {finding.check for finding in verify_results(results, VerifyPlan(sample=6)).findings}
    assert checks == {"score", "summary"}  # the summary no longer follows from the scores either


def test_another_seed_draws_another_sample(results: Path) -> None:
    from motionbench.leaderboard.verify import choose_sample

    records = ResultStore(results).records()
    drawn = {tuple(r.key for r in choose_sample(records, VerifyPlan(sample=2, seed=seed))) for seed in range(8)}
    assert len(drawn) > 1
    assert choose_sample(records, VerifyPlan(2)) == choose_sample(records, VerifyPlan(2))


def test_the_command_lists_what_does_not_hold(results: Path) -> None:
    good = CliRunner().invoke(app, ["verify", str(results), "--sample", "1"])
    assert good.exit_code == 0, good.output
    next((results / "videos").rglob("*.mp4")).write_bytes(b"another video")
    bad = CliRunner().invoke(app, ["verify", str(results), "--sample", "1", "--json"])
    assert bad.exit_code == 1
    found = json.loads(bad.stdout)
    assert not found["holds"]
    assert found["findings"][0]["check"] == "video"


def test_a_folder_that_is_no_results_folder_is_wrong_use(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["verify", str(tmp_path)]).exit_code == 2
