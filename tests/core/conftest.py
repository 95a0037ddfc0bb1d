"""What the tests of the core share: the stand-in method, and a results folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from drift_method import Drift, install

from motionbench.store import ResultStore


@pytest.fixture
def drift(monkeypatch: pytest.MonkeyPatch) -> type[Drift]:
    """The stand-in method, installed under the name `drift`."""
    return install(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    """A results folder that is not there yet."""
    return ResultStore(tmp_path / "results")
