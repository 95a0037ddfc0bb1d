"""Results folders that the tests of this room share; nothing that a test may change."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_factory import RunRecipe, write_run, write_split

from motionbench.split import Split


@pytest.fixture(scope="session")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Three references a category, three prompts each, some of them hostile."""
    return write_split(tmp_path_factory.mktemp("split"))


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory, split: Split) -> Path:
    """Results of four methods and four controls on `tiny`, one of them with failures and one unfinished."""
    folder = tmp_path_factory.mktemp("gallery")
    tracker = "lk v1"
    for recipe in (
        RunRecipe("followyourmotion", tracker=tracker, gate={"passed": True, "note": "0.9 [0.8, 1.0]"}),
        RunRecipe("twostagelora", tracker=tracker, failing=0.2, gate={"passed": False, "note": "0.0 [-0.2, 0.2]"}),
        RunRecipe("smm", tracker=tracker),
        RunRecipe("vmc", tracker=tracker, stop_after=20),
        *(RunRecipe(name, tracker=tracker) for name in ("backbone", "frozen", "oracle", "reversed")),
    ):
        write_run(folder / recipe.method, split, recipe)
    return folder
