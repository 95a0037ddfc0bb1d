"""Fetching what is published elsewhere: one file, or the wanted part of a repository's archive, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from urllib.error import URLError

import torch

from motionbench.errors import MissingWeightsError

# What torch.load(weights_only=True) and load_state_dict raise for a file that is damaged, that holds more than tensors
# (it is refused, not loaded), or that holds those of another model.
UNREADABLE = (RuntimeError, ValueError, EOFError, OSError, KeyError, AttributeError, TypeError, UnpicklingError)


def fetch_file(url: str, path: Path) -> Path:
    """The file at `url`, under a temporary name until it is whole. Raises MissingWeightsError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise MissingWeightsError(f"{url} cannot be fetched ({error}); save it as {path} by other means") from error
    return path


def fetch_source(url: str, folder: Path, parts: Sequence[str]) -> Path:
    """The folder filled with those files of a zip archive that lie at `parts` below its single top folder.

    A part that ends in / is a folder. Raises MissingWeightsError if the archive cannot be had or lacks a part.
    """
    with tempfile.TemporaryDirectory() as temporary:
        archive = fetch_file(url, Path(temporary) / "source.zip")
        built = Path(temporary) / "source"
        try:
            with zipfile.ZipFile(archive) as members:
                _unpack(members, built, parts)
            folder.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            shutil.move(built, folder)
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise MissingWeightsError(f"{url} is not the archive that was expected: {error}") from error
    return folder


def _unpack(members: zipfile.ZipFile, folder: Path, parts: Sequence[str]) -> None:
    for part in parts:
        names = [name for name in members.namelist() if not name.endswith("/") and _is_part(_inner(name), part)]
        if not names:
            raise KeyError(f"{part} is not in it")
        for name in names:
            path = folder / _inner(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(members.read(name))


def _inner(name: str) -> str:
    """A member's path below the archive's top folder."""
    return "/".join(PurePosixPath(name).parts[1:])


def _is_part(name: str, part: str) -> bool:
    inside = name.startswith(part) if part.endswith("/") else name == part
    return inside and ".." not in name.split("/")
