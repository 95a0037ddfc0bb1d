"""Processes side by side: every job is taken once, none outlives the time."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from motionbench.processes import work_side_by_side


def meet(folder: Path, numbers: Iterator[int]) -> None:
    """Two jobs of which each waits until the other has begun."""
    for number in numbers:
        (folder / str(number)).touch()
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.1)


def note(folder: Path, numbers: Iterator[int]) -> None:
    for number in numbers:
        with (folder / str(number)).open("x"):  # fails where a job is done twice
            pass


def say_threads(folder: Path, numbers: Iterator[int]) -> None:
    for number in numbers:
        threads = [os.environ[f"{library}_NUM_THREADS"] for library in ("OMP", "MKL")]
        (folder / f"{number} {' '.join(threads)} {'torch' in sys.modules}").touch()


def names(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def test_processes_work_at_the_same_time(tmp_path: Path) -> None:
    looks: list[int] = []
    assert work_side_by_side(partial(meet, tmp_path), 2, 2, meanwhile=lambda: looks.append(1)) == 0
    assert names(tmp_path) == [0, 1]
    assert looks


def test_every_job_is_taken_once(tmp_path: Path) -> None:
    assert work_side_by_side(partial(note, tmp_path), 40, 2) == 0
    assert names(tmp_path) == list(range(40))


def test_a_process_computes_in_one_thread_and_loads_torch_only_if_its_work_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("MKL_NUM_THREADS", "2")  # torch would take this one's word
    assert work_side_by_side(partial(say_threads, tmp_path), 1, 1) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["0 1 1 False"]


def test_no_process_outlives_the_time(tmp_path: Path) -> None:
    assert work_side_by_side(partial(meet, tmp_path), 1, 1, seconds=0.5) == 1  # alone, it would wait forever
    assert not multiprocessing.active_children()
