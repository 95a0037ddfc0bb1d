"""Disturbed runs end as undisturbed ones: the short form of `benchmarks/chaos.py`, and behind `slow` the long one."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CHEAP = ("run", "--method", "frozen", "--split", "mini", "--device", "cpu")


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = Path(__file__).parents[2] / "benchmarks"
    if not (folder / "chaos.py").is_file():
        pytest.skip("not a checkout")
    monkeypatch.syspath_prepend(str(folder))
    import chaos

    return chaos


def undisturbed(chaos: Any, folder: Path, words: tuple[str, ...] = CHEAP) -> dict[str, Any]:
    command = chaos.Command(words, folder / "undisturbed")
    assert command.finish() == 1
    held: dict[str, Any] = chaos.contents(command.folder)
    assert len(held["records"]["."]) == len(held["files"]) > 0
    return held


def test_two_commands_on_one_folder_are_one_run(chaos: Any, tmp_path: Path) -> None:
    expected, report = undisturbed(chaos, tmp_path), chaos.Report()
    chaos.two_commands(tmp_path, report, CHEAP, expected)
    assert report.faults == 0, report.lines
    video = next((tmp_path / "two" / "videos").rglob("*.mp4"))
    video.write_bytes(video.read_bytes() + b"\0")
    assert chaos.differences(tmp_path / "two", expected) == ["files"]  # the comparison can fail


@pytest.mark.slow
def test_kills_and_faults_of_disk_and_clock_change_nothing(chaos: Any, tmp_path: Path) -> None:
    report = chaos.Report()
    expected = chaos.kill_local(tmp_path, 8, random.Random(1), report, chaos.CHEAP)
    chaos.spoil(tmp_path, report, chaos.CHEAP, expected)
    assert report.faults == 0, report.lines
    assert report.kills >= 6


@pytest.mark.slow
def test_nodes_of_ray_that_share_nothing_and_are_killed_change_nothing(chaos: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    if not chaos.ray_nodes.can_isolate():
        pytest.skip("needs root on Linux, for namespaces")
    expected, report = undisturbed(chaos, tmp_path, chaos.CHEAP), chaos.Report()
    chaos.kill_ray(tmp_path, 4, random.Random(1), report, chaos.CHEAP, expected)
    assert report.faults == 0, report.lines
