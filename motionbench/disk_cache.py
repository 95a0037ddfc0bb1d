"""The bounded cache on disk for all that can be computed again: tracks, embeddings, latents."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from motionbench.errors import StoreError
from motionbench.files import write_atomically
from motionbench.home import home

logger = logging.getLogger(__name__)

Value = TypeVar("Value")
LIMIT_BYTES = 4 << 30  # of each kind: tracks of a clip take 0.1 MB, embeddings 0.1, latents of 81 frames 8
ROOM = 0.9  # of the limit is kept when room is made, so that not every file makes some
DIGEST = 32  # bytes of SHA-256 before each file's content


def cache_folder() -> Path:
    """Where derived data is kept, to be deleted at will: $MOTIONBENCH_CACHE, else `motionbench` in the user's cache.

    That of a user without a home ends with the process.
    """
    chosen = os.environ.get("MOTIONBENCH_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen))  # unlike Path.expanduser it does not raise where there is no home
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(os.path.expanduser(base)) if base else home() / ".cache") / "motionbench"


class DiskCache:
    """Files under keys in one folder, least recently used ones dropped past `limit_bytes`; safe for several processes.

    A damaged file counts as absent; a folder that cannot be written costs speed only. kind: names the folder below the
    user's cache, and the data in messages.
    """

    def __init__(self, kind: str, folder: Path | None = None, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self.kind, self.limit_bytes = kind, limit_bytes
        self.folder = cache_folder() / kind if folder is None else folder
        self._bytes: int | None = None  # in the folder, as far as this process knows; None before its first look

    def get(self, key: str, decode: Callable[[bytes], Value]) -> Value | None:
        """What is kept under a key, decoded; None if it is not there or damaged, whatever `decode` says of it."""
        path = self._path(key)
        try:
            data = path.read_bytes()
            if hashlib.sha256(data[DIGEST:]).digest() != data[:DIGEST]:
                raise ValueError("checksum")
            value = decode(data[DIGEST:])
            path.touch()  # its turn to be dropped is the last again
        except FileNotFoundError:
            return None
        except Exception as error:  # of another version's format, too: it is computed again
            logger.warning("cached %s %s are damaged and will be computed again: %s", self.kind, path, error)
            return None
        return value

    def put(self, key: str, data: bytes) -> None:
        """Keeps bytes under a key, and makes room if the folder has grown past its limit."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, hashlib.sha256(data).digest() + data)
        except (OSError, StoreError) as error:
            logger.warning("%s are not cached: %s", self.kind, error)
            return
        self._bytes = self._measure() if self._bytes is None else self._bytes + len(data) + DIGEST
        if self._bytes > self.limit_bytes:
            self._bytes = self._make_room()

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / digest[:2] / digest

    def _measure(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _files(self) -> list[tuple[int, int, Path]]:
        """(time of last use, size, path) of each file. Another process may drop one meanwhile."""
        files = []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                facts = path.stat()
                files.append((facts.st_mtime_ns, facts.st_size, path))
        return files

    def _make_room(self) -> int:
        """Drops what was used longest ago; returns how many bytes remain."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= ROOM * self.limit_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
        return total
