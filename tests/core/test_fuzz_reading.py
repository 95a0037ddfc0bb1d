"""The short form of benchmarks/fuzz_reading.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def fuzz_reading(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return pytest.importorskip("fuzz_reading")


def test_damaged_videos_are_refused_or_read_as_a_player_shows_them(fuzz_reading: Any, tmp_path: Path) -> None:
    outcomes, slowest = fuzz_reading.fuzz(tmp_path, 60, seed=2)
    assert not [outcome for outcome in outcomes if outcome[1].startswith("FAULT")]
    assert outcomes.total() == 60
    accepted = sum(count for (_, outcome), count in outcomes.items() if outcome == "accepted whole")
    assert 0 < accepted < 40  # the mutations do harm, and not to every file
    assert slowest < fuzz_reading.LONGEST + 1


def test_every_kind_is_read_whole_without_mutation(fuzz_reading: Any, tmp_path: Path) -> None:
    from motionbench.video import read_clip

    assert len(fuzz_reading.KINDS) == 12
    for name in fuzz_reading.KINDS:
        fuzz_reading.make(tmp_path / name)
        assert len(read_clip(tmp_path / name)) == fuzz_reading.FRAMES, name
