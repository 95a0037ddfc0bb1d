"""Many methods by many processes: what is put on record, what is packed, and what a second command adds."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from motionbench.store import ResultStore

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "side_by_side.py"


def start(out: Path, *words: str) -> str:
    command = [sys.executable, "-P", str(SCRIPT), "--out", str(out), "--device", "cpu", *words]
    env = os.environ | {"PYTHONPATH": str(SCRIPT.parent)}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=240, env=env).stdout


def test_two_processes_share_the_references_of_methods_and_gate(tmp_path: Path) -> None:
    out, packed = tmp_path / "many", tmp_path / "many.tar"
    words = ("--lite", "copy", "--gate", "frozen", "--split", "mini", "--workers", "2", "--pack", str(packed))
    told = start(out, *words)
    assert "12 references asked for, 0 processes stopped" in told
    stores = [out / "lite" / "copy", out / "gate" / "frozen" / "forwards", out / "gate" / "frozen" / "backwards"]
    for folder in stores:
        records = ResultStore(folder).records()
        assert len(records) == 4
        assert {record.status for record in records} == {"ok"}
        assert len({record.case_id for record in records}) == 4
    with tarfile.open(packed) as tar:
        names = tar.getnames()
    assert sum(name.endswith(".mp4") for name in names) == 16  # 12 clips and 4 references played backwards
    assert "lite/copy/run.json" in names
    assert not [name for name in names if name.endswith((".tmp", ".lock"))]


def test_no_process_outlives_the_time(tmp_path: Path) -> None:
    told = start(tmp_path, "--lite", "copy", "--split", "mini", "--workers", "1", "--seconds", "0")
    assert "4 references asked for, 1 processes stopped" in told


def test_a_method_may_bring_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    side_by_side = importlib.import_module("side_by_side")
    args = side_by_side.parse(["--lite", "backbone:guidance=2:sample_steps=3", "--split", "mini"])
    tasks = side_by_side.all_tasks(args)
    assert {(t.plan.method, t.plan.config.guidance, t.plan.config.sample_steps) for t in tasks} == {
        ("backbone", 2.0, 3)
    }
    assert {t.out.name for t in tasks} == {"backbone:guidance=2:sample_steps=3"}


def test_a_study_is_shared_reference_by_reference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    side_by_side = importlib.import_module("side_by_side")
    file = tmp_path / "small.toml"
    file.write_text('split = "mini"\n[variants.copy]\nmethod = "copy"\n[variants.frozen]\nmethod = "frozen"\n')
    tasks = side_by_side.all_tasks(
        side_by_side.parse(["--study", str(file), "--out", str(tmp_path), "--device", "cpu"])
    )
    assert [(task.out.name, task.plan.shard[0]) for task in tasks] == [
        (name, number) for number in (1, 2, 3, 4) for name in ("copy", "frozen")
    ]
    assert {task.out.parent for task in tasks} == {tmp_path}
