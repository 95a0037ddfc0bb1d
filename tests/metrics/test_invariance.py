"""The same scores, digit for digit, whatever the number of processes, shards and CPU threads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from motionbench.metrics.trackers.tiny import TinyTracker

from motionbench.plan import RunPlan
from motionbench.record import comparable_score
from motionbench.runner import run
from motionbench.scorer import ScorePlan, score
from motionbench.split import read_split
from motionbench.store import ResultStore
from motionbench.tracks import grid_queries

MOTION = (
    "motion_fidelity", "motion_fidelity_smm", "motion_fidelity_released", "motion_fidelity_det", "camera_agreement",
    "speed_ratio", "motion_smoothness", "dynamic_degree", "trajectory_error",
)  # fmt: skip
SEEN = ("text_alignment", "temporal_consistency", "temporal_gap", "appearance_leak")
WORKER = """
import os, sys
from motionbench import registry
from motionbench.scorer import ScorePlan, score
from motionbench.split import read_split
from motionbench.store import ResultStore
folder, tracker, keys, metrics = sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:]
for name in metrics:
    registry.load("metrics", name)  # once for all processes: loading takes longer than scoring
def work(shard):
    plan = ScorePlan(tuple(metrics), tracker, shard=(shard, len(keys)))
    score(ResultStore(folder), read_split("mini"), plan, keys=[keys[shard - 1]])
if len(keys) == 1:
    work(1)
else:
    children = []
    for shard in range(1, len(keys) + 1):
        children.append(os.fork())
        if children[-1] == 0:
            status = 1
            try:
                work(shard)
                status = 0
            finally:
                os._exit(status)
    ends = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(ends))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `reversed` on the split mini: one reference of each category, with ground truth."""
    folder = tmp_path_factory.mktemp("made") / "results"
    run(RunPlan("reversed", split="mini"), ResultStore(folder))
    return folder


class Scored:
    """A fresh copy of the run with a cache of its own."""

    def __init__(self, made: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shutil.copytree(made, folder / "results")
        monkeypatch.setenv("MOTIONBENCH_CACHE", str(folder / "cache"))
        self.store = ResultStore(folder / "results")
        self.keys = sorted(record.key for record in self.store.records())

    def score(self, metrics: tuple[str, ...], tracker: str, **options: Any) -> Scored:
        shard = options.pop("shard", (1, 1))
        score(self.store, read_split("mini"), ScorePlan(metrics, tracker, shard=shard), **options)
        return self

    def scores(self) -> list[dict[str, Any]]:
        found = [comparable_score(s) for s in self.store.scores()]
        return sorted(found, key=lambda s: (s["record_key"], s["metric"]))


@pytest.fixture(scope="module")
def whole(made: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The scores of all records by one process."""
    with pytest.MonkeyPatch.context() as patch:
        return Scored(made, tmp_path_factory.mktemp("whole"), patch).score(MOTION, "lk").scores()


def test_one_shard_and_four_score_alike(
    made: Path, whole: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(whole) == 4 * len(MOTION)
    assert sum(s["value"] is None for s in whole) < len(whole) / 4
    parts = Scored(made, tmp_path, monkeypatch)
    for shard in (4, 2, 1, 3):  # in any order
        parts.score(MOTION, "lk", shard=(shard, 4), keys=[parts.keys[shard - 1]])
    assert parts.scores() == whole


def test_one_worker_and_four_at_once_score_alike(
    made: Path, whole: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Scored(made, tmp_path, monkeypatch)
    asked = [str(together.store.folder), "lk", ",".join(together.keys), *MOTION]
    subprocess.run([sys.executable, "-c", WORKER, *asked], check=True, timeout=240)
    assert together.scores() == whole


def test_one_cpu_thread_and_two_score_alike(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            bench = Scored(made, tmp_path / str(threads), monkeypatch)
            found.append(bench.score((*MOTION, *SEEN), "tiny", keys=bench.keys[1:2]).scores())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found[0]) == len(MOTION) + len(SEEN)
    assert found[0] == found[1]


def test_one_worker_thread_and_more_find_the_same_tracks() -> None:
    split, tracker, before, found = read_split("mini"), TinyTracker.create("cpu"), torch.get_num_threads(), []
    clip = split.read_reference(split.cases[0])
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(tracker.track(clip, grid_queries(clip.height, clip.width, 20)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert np.array_equal(other.points, found[0].points)
        assert np.array_equal(other.visible, found[0].visible)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["tiny", "lk"])
def test_every_library_with_one_thread_and_with_two_scores_alike(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tracker: str
) -> None:
    found = []
    for threads in ("1", "2"):
        bench = Scored(made, tmp_path / threads, monkeypatch)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.setenv(name, threads)
        for key in bench.keys:
            asked = [str(bench.store.folder), tracker, key, *MOTION, *SEEN]
            subprocess.run([sys.executable, "-c", WORKER, *asked], check=True)
        found.append(bench.scores())
    assert len(found[0]) == 4 * (len(MOTION) + len(SEEN))
    assert found[0] == found[1]
