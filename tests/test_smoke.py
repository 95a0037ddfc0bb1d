"""The main job and its neighbors from outside, in minutes: what holds the versions that pyproject.toml states.

`python -m pytest -m minimums` runs these, and what is marked so of the reader, the Hub, the page and the Python face.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.minimums, pytest.mark.smoke]
SHORT = ("spatial_steps=2", "temporal_steps=2", "sample_steps=2")
METRICS = ("motion_fidelity", "text_alignment", "temporal_consistency", "temporal_gap")


def motionbench(*words: str) -> str:
    """What a command prints on stdout; it must succeed."""
    command = [sys.executable, "-m", "motionbench", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the real method on one case, with its controls."""
    folder = tmp_path_factory.mktemp("smoke") / "run"
    settings = [part for setting in SHORT for part in ("--set", setting)]
    job = ["--method", "followyourmotion", "--category", "camera", "--device", "cpu", "--out", str(folder)]
    assert METRICS[0] in motionbench("eval", *job, *settings)
    return folder


def test_the_main_job_measures_every_default_metric_with_both_ends(results: Path) -> None:
    summary = json.loads((results / "summary.json").read_text())
    rows = {row["metric"]: row for row in summary["rows"] if row["category"] == "camera"}
    assert set(METRICS) <= set(rows)
    for name in METRICS:
        assert (rows[name]["n"], rows[name]["n_failed"]) == (1, 0)
        assert None not in (rows[name]["mean"], rows[name]["floor"], rows[name]["ceiling"])


def test_results_are_verified_compared_and_shown(results: Path, tmp_path: Path) -> None:
    assert "everything holds" in motionbench("verify", str(results), "--sample", "1")
    assert "motion_fidelity" in motionbench("compare", str(results), str(results / "controls" / "oracle"))
    motionbench("leaderboard", str(results), "--out", str(tmp_path / "page.html"))
    assert "plotly" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_splits_and_lists_are_told() -> None:
    assert "sound" in motionbench("data", "check", "mini")
    assert "followyourmotion" in motionbench("list", "methods")
    assert "--method" in motionbench("eval", "--help")


def test_ray_spreads_the_work(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    job = ["--method", "copy", "--category", "camera", "--engine", "ray", "--device", "cpu"]
    motionbench("run", *job, "--out", str(tmp_path / "run"))
    assert len(list((tmp_path / "run" / "videos").rglob("*.mp4"))) == 1


def test_backgrounds_are_compared_by_stlpips(results: Path) -> None:
    pytest.importorskip("stlpips_pytorch")
    control = results / "controls" / "copy"
    shown = motionbench("score", str(control), "--metrics", "background_lpips", "--json")
    assert json.loads(shown)["metrics"]["background_lpips"]["name"] == "background_lpips"
