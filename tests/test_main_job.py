"""The main job with the real method on the embedded backbone, killed at ten random moments, and in two shards.

Minutes rather than seconds: `python -m pytest -q -m slow tests/test_main_job.py`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from motionbench.record import comparable, comparable_score
from motionbench.store import ResultStore

SHORT = ("spatial_steps=3", "temporal_steps=8", "sample_steps=4")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def command(verb: str, folder: Path, *more: str) -> list[str]:
    settings = [part for setting in SHORT for part in ("--set", setting)]
    job = [verb, "--method", "followyourmotion", "--split", "mini", "--device", "cpu", "--out", str(folder)]
    return [sys.executable, "-m", "motionbench", *job, *settings, *more]


def finish(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def contents(folder: Path) -> dict[str, Any]:
    """Records and scores without times, in the order of their keys, and the bytes of every video."""
    store = ResultStore(folder)
    records = sorted((comparable(record) for record in store.records()), key=lambda line: str(line["key"]))
    scores = sorted(
        (comparable_score(score) for score in store.scores()), key=lambda line: (line["record_key"], line["metric"])
    )
    videos = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("videos/**/*.mp4"))}
    return {"records": records, "scores": scores, "videos": videos}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(command("eval", folder))
    held = contents(folder)
    assert len(held["records"]) == len(held["videos"]) == 4
    assert all(record["status"] == "ok" for record in held["records"])
    assert len(held["scores"]) >= 16
    return held


def test_ten_kills_change_no_record_score_or_byte(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    dice, folder = random.Random(11), tmp_path / "run"
    for _ in range(10):
        process = subprocess.Popen(command("eval", folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(4, 25))  # import, fit, sample, encode, score: wherever it is then
        process.kill()
        process.wait()
    finish(command("eval", folder))
    assert contents(folder) == undisturbed


def test_two_shards_are_one_run(undisturbed: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for shard in ("1/2", "2/2"):
        finish(command("run", folder, "--shard", shard))
    finish([sys.executable, "-m", "motionbench", "score", str(folder), "--device", "cpu"])
    assert contents(folder) == undisturbed
