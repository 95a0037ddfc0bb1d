"""A run that is killed at any moment goes on with the same command and ends with the same records and bytes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from drift_method import make_split

from motionbench.record import comparable
from motionbench.store import ResultStore

SCRIPT = Path(__file__).with_name("drift_method.py")


def start(split: Path, results: Path, seconds: float, shard: str = "1/1") -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(split), str(results), str(seconds), shard]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors.decode()


def wait_for_records(folder: Path, least: int) -> None:
    """Returns once a run has begun in the folder and so many records are on disk."""
    deadline = time.monotonic() + 200
    while not (folder / "run.json").exists() or len(ResultStore(folder).records()) < least:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def contents(folder: Path) -> dict[str, Any]:
    """Records without times, and every byte of videos and adapters (but the time in an adapter's stamp)."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("videos", "adapters")
        for path in (folder / part).glob("**/*")
        if path.is_file() and path.name != "fit.json"
    }
    return {"files": files, "records": [comparable(record) for record in ResultStore(folder).records()]}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_split(tmp_path_factory.mktemp("split") / "s", captions=("one", "two", "three"))


@pytest.fixture(scope="module")
def undisturbed(split: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(split, folder, 0.0))
    held = contents(folder)
    assert len(held["records"]) == 12
    return held


def test_killed_runs_go_on_and_end_with_the_same_bytes(
    split: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    dice = random.Random(3)
    for least in (0, 1, 4, 8):
        # The last one is slow, so that a busy machine does not let it end before it is killed.
        process = start(split, tmp_path, 0.15 if least == 8 else 0.03)
        wait_for_records(tmp_path, least)
        time.sleep(dice.random() * 0.08)  # then at any moment: while it fits, generates, encodes or writes
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
    assert 8 <= len(ResultStore(tmp_path).records()) < 12
    finish(start(split, tmp_path, 0.0))
    assert contents(tmp_path) == undisturbed


def test_two_shards_at_once_are_one_run(split: Path, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    shards = [start(split, tmp_path, 0.01, f"{i}/2") for i in (1, 2)]
    for shard in shards:
        finish(shard)
    assert contents(tmp_path) == undisturbed
