"""Adapters as files: whole or absent, and used again only for the very fit that they came from."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from motionbench.errors import StoreError
from motionbench.files import make_folder, read_folder, store_error, write_folder, write_json
from motionbench.outcome import Files
from motionbench.typed_json import to_object

logger = logging.getLogger(__name__)

STAMP = "fit.json"


@dataclass(frozen=True)
class Fit:
    """What a fit was and cost. key: hash of all that determines it; seconds, peak_memory_bytes: of the fit alone."""

    key: str
    seconds: float
    peak_memory_bytes: int


def kept_files(folder: Path, key: str) -> Files | None:
    """The files of the adapter that was kept for the fit `key`; None if there is none, or it is another fit's."""
    try:
        if to_object(Fit, json.loads((folder / STAMP).read_bytes())).key != key:
            return None
        return read_folder(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s cannot be used again (%s: %s); fitting anew", folder, type(error).__name__, error)
        return None


def load_fit(method: Any, folder: Path, files: Files) -> tuple[Any, Fit] | None:
    """The adapter in the files of a kept one, which are put into `folder`; None if it is damaged. Raises StoreError."""
    write_folder(folder, files)
    try:
        return method.load_adapter(folder), to_object(Fit, json.loads(files[STAMP]))
    except Exception as error:  # a plugin's loader may raise anything; the fit can always be repeated
        logger.warning("a kept adapter cannot be used again (%s: %s); fitting anew", type(error).__name__, error)
        return None


def save_fit(method: Any, adapter: Any, folder: Path, fit: Fit) -> tuple[Any, Files]:
    """Saves an adapter in a new folder, and returns it as loaded from there, with its files.

    Loaded, so that a resumed run, which has only the files, generates from the same numbers.
    Raises StoreError if the disk refuses; what a plugin's own fault raises passes through.
    """
    try:
        make_folder(folder.parent)
        adapter.save(folder)
        write_json(folder / STAMP, asdict(fit))
        return method.load_adapter(folder), read_folder(folder)
    except OSError as error:
        raise store_error("keep the adapter (or use --no-adapters) in", folder, error) from error
    except Exception as error:
        # safetensors has its own type for errors of the disk
        if type(error).__name__ == "SafetensorError" and "os error" in str(error).lower():
            raise StoreError(
                f"cannot keep the adapter in {folder}: {error}; free space or use --no-adapters"
            ) from error
        raise
