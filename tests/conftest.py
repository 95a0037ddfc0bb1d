"""What all tests share: no network, a cache that is not the user's, and no time spent on looking through libraries."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# What decides over a change draws the same examples each time; at a desk every run draws new ones.
settings.register_profile("same_examples", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("same_examples")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run in two processes: a thread for each core, not four
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")

gc.disable()  # while test files are collected: all that they import stays


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of whole jobs begin: at the end, one process would wait for the other's."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


def pytest_collection_finish() -> None:
    """What was imported by now is no garbage. Each failed attempt asks for a full collection, and each would look
    through these 600,000 objects, which takes 0.3 s."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def own_logger() -> Iterator[None]:
    """A command sets up the logger for its process, which here goes on: the next test finds it as it was."""
    logger = logging.getLogger("motionbench")
    held = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = held


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Derived data goes into the session's temporary folder; commands that tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTIONBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
