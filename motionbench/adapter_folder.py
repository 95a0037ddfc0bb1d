"""A folder for an adapter that is there in full or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from motionbench.errors import StoreError
from motionbench.files import store_error

MARK = "adapter.json"
SCHEMA = 1


def write_facts(folder: Path, method: str, **facts: Any) -> None:
    """Write `adapter.json`: which method made the adapter, and what else it wants to know when it reads it."""
    values = {"schema": SCHEMA, "method": method, **facts}
    (folder / MARK).write_text(json.dumps(values, indent=1) + "\n", "utf-8")


def read_facts(folder: Path, method: str) -> dict[str, Any]:
    """What `write_facts` wrote. Raises StoreError if it is of another method or schema."""
    facts: dict[str, Any] = json.loads((folder / MARK).read_text("utf-8"))
    if facts["schema"] != SCHEMA or facts["method"] != method:
        raise StoreError(f"{folder}: not a {method} adapter of schema {SCHEMA}")
    return facts


@contextmanager
def reading_adapter(folder: Path) -> Iterator[None]:
    """Turns whatever a missing, cut-off or malformed adapter raises inside the block into a StoreError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise StoreError(f"cannot read an adapter from {folder}: {error!r}") from error


@contextmanager
def new_adapter_folder(folder: Path) -> Iterator[Path]:
    """A draft to write into, which takes the place of `folder` when the block ends; any error leaves `folder` alone.

    The draft must get a file `adapter.json`: only folders that have one, or are empty, are ever replaced.
    Raises StoreError if the disk refuses, or if `folder` holds something else.
    """
    from safetensors import SafetensorError

    draft = folder.with_name(f".{folder.name}.{os.getpid()}.draft.tmp")
    try:
        if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
            raise StoreError(f"{folder} is not empty and holds no adapter; give another folder")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if folder.exists():
            shutil.rmtree(folder)
        draft.replace(folder)
    except OSError as error:
        raise store_error("write the adapter to", folder, error) from error
    except SafetensorError as error:  # its own type for a full disk
        raise StoreError(f"cannot write the adapter to {folder}: {error}; free space and repeat") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
