"""Results folders that the tests of this room share; nothing that a test may change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from results_factory import RunRecipe, write_run, write_split

from motionbench.split import Split

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome")


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    reason = "needs playwright: pip install 'motionbench-transfer[dev]'"
    sync_api = pytest.importorskip("playwright.sync_api", reason=reason)
    path = os.environ.get("MOTIONBENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: the test set-up must install it (apt-get install -y chromium)")
        pytest.skip("no Chromium here: apt-get install -y chromium, or set MOTIONBENCH_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()
