"""What a plan would do and cost: counted and timed by hand, and nothing guessed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from drift_method import Drift, DriftConfig, make_split
from typer.testing import CliRunner

from motionbench.cli import app
from motionbench.errors import StoreError
from motionbench.forecast import Costs, forecast, makespan
from motionbench.job import resolve
from motionbench.plan import RunPlan
from motionbench.record import Score
from motionbench.runner import run
from motionbench.store import ResultStore


def measure(plan: RunPlan, store: ResultStore) -> None:
    """A run whose fits took 10 s, its clips 2 s and the scores of each 1 s."""
    for record in run(plan, store).records:
        store.append_record(replace(record, fit_seconds=10.0, generate_seconds=2.0))
        for metric in ("a", "b"):
            store.append_score(Score(record.key, metric, 1, 0.0, "", {}, 0.5))


def test_forecast_counts_what_is_left_and_costs_it_by_what_was_measured(drift: type[Drift], tmp_path: Path) -> None:
    plan = RunPlan("drift", split=str(make_split(tmp_path / "s", captions=("one", "two", "three"))), device="cpu")
    store = ResultStore(tmp_path / "out")
    measure(replace(plan, limit=1, categories=("camera",)), store)
    found = forecast(resolve(plan), store, [], workers=2)
    assert (found.clips_planned, found.clips_there, found.clips, found.fits) == (6, 2, 4, 2)
    assert found.costs == Costs(10.0, 2.0, 1.0, 2)
    assert found.hours == pytest.approx(2 * (10 + 2 * 2) / 3600)
    assert found.wall_hours == pytest.approx((10 + 2 * 2) / 3600)
    assert found.score_hours == pytest.approx(4 / 3600)


def test_nothing_measured_is_nothing_known_and_other_runs_are_refused(drift: type[Drift], tmp_path: Path) -> None:
    plan = RunPlan("drift", split=str(make_split(tmp_path / "s")), device="cpu")
    job, fresh = resolve(plan), ResultStore(tmp_path / "none")
    assert forecast(job, fresh, []).hours is None
    run(replace(plan, method="copy"), ResultStore(tmp_path / "copy"))
    with pytest.raises(StoreError, match="a run of copy on none, which says nothing of drift on tiny"):
        forecast(job, fresh, [tmp_path / "copy"])
    run(plan, ResultStore(tmp_path / "drift"))
    other = resolve(replace(plan, config=DriftConfig(speed=9)))
    with pytest.raises(StoreError, match=r"config\.speed: 2 there, 9 asked"):
        forecast(other, ResultStore(tmp_path / "drift"), [])
    lines = tmp_path / "speed.jsonl"
    lines.write_text(
        '{"part": "job", "fit_seconds": 57.0, "generate_seconds": 59.0}\n{"part": "steps", "seconds": 1}\n'
    )
    assert forecast(job, fresh, [lines]).costs == Costs(57.0, 59.0, None, 1)


def test_units_are_handed_out_in_order_to_whoever_is_free() -> None:
    assert makespan([4, 3, 2, 1], 2) == 5
    assert makespan([1, 1, 5], 2, start_seconds=10) == 16
    assert makespan([3, 3], 64) == 3
    assert makespan([], 4) == 0


def test_command_says_what_would_be_run_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["plan", "--method", "copy", "--split", "lite", "--limit", "2", "--out", str(out)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "24 asked for, 0 there, 24 left" in said.stdout
    assert "nothing was measured" in " ".join(said.stdout.split())
    found = json.loads(CliRunner().invoke(app, [*words, "--json", "--gpus", "4"]).stdout)
    assert (found["clips"], found["fits"], found["workers"], found["hours"]) == (24, 8, 4, None)
    assert not out.exists()
