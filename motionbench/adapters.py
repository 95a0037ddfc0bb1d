"""Adapters on disk: whole or absent, and used again only for the very fit that they came from."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from motionbench.errors import StoreError
from motionbench.files import make_folder, store_error, write_json
from motionbench.typed_json import to_object

logger = logging.getLogger(__name__)

STAMP = "fit.json"


@dataclass(frozen=True)
class Fit:
    """What a fit was and cost. key: hash of all that determines it; seconds, peak_memory_bytes: of the fit alone."""

    key: str
    seconds: float
    peak_memory_bytes: int


def load_fit(method: Any, folder: Path, key: str) -> tuple[Any, Fit] | None:
    """The adapter that was kept for the fit `key`, or None if there is none, it is damaged, or it is another fit's."""
    try:
        fit = to_object(Fit, json.loads((folder / STAMP).read_bytes()))
        if fit.key != key:
            return None
        return method.load_adapter(folder), fit
    except FileNotFoundError:
        return None
    except Exception as error:  # a plugin's loader may raise anything; the fit can always be repeated
        logger.warning("%s cannot be used again (%s: %s); fitting anew", folder, type(error).__name__, error)
        return None


def keep_fit(method: Any, adapter: Any, folder: Path, fit: Fit) -> Any:
    """Saves an adapter, renames it into place, and returns it as loaded from there.

    Loaded, so that a resumed run, which has only the file, generates from the same numbers.
    Raises StoreError if the folder cannot be written; what a plugin's own fault raises passes through.
    """
    make_folder(folder.parent)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        adapter.save(draft)
        write_json(draft / STAMP, asdict(fit))
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    except OSError as error:
        raise store_error("keep the adapter (or use --no-adapters) in", folder, error) from error
    except Exception as error:
        if (
            type(error).__name__ == "SafetensorError" and "os error" in str(error).lower()
        ):  # its own type for disk errors
            raise StoreError(
                f"cannot keep the adapter in {folder}: {error}; free space or use --no-adapters"
            ) from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return method.load_adapter(folder)
