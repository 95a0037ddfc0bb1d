"""A local Hub, a client that speaks to nothing else, and a small split of real videos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from small_split import write_small_split

from motionbench.split import Split, read_split

TOKENS = {"hf_ownerownerowner": "ann", "hf_otherotherother": "bob"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A running Hub; the client libraries of this process talk to it as `ann`, with a cache of their own."""
    import huggingface_hub.constants as constants

    with HubServer(TOKENS) as server:
        monkeypatch.setenv("HF_TOKEN", "hf_ownerownerowner")
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        # where huggingface_hub before 1.0 keeps a copy
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


@pytest.fixture(scope="session")
def small_split_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small split was written once; do not change it."""
    return write_small_split(tmp_path_factory.mktemp("splits") / "small")


@pytest.fixture
def small_folder(small_split_master: Path, tmp_path: Path) -> Path:
    """A copy of the small split that a test may change."""
    return Path(shutil.copytree(small_split_master, tmp_path / "splits" / "small"))


@pytest.fixture
def small(small_folder: Path) -> Split:
    """The small split: five references in four categories, eight cases."""
    return read_split(small_folder)
