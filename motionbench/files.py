"""Files that are whole or absent: atomic writes, appended lines, hashes, and a lock between processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import Any

from motionbench.errors import StoreError

logger = logging.getLogger(__name__)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. NaN and infinity are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_json(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store_error(action: str, path: Path, error: OSError) -> StoreError:
    """The StoreError for an operating-system error: what was tried, where, and how to mend it."""
    mends: dict[int | None, str] = {
        errno.ENOSPC: "the disk is full: free space or choose another folder, then repeat the command",
        errno.EDQUOT: "the quota is used up: free space or choose another folder, then repeat the command",
        errno.EFBIG: "the file-size limit is reached: raise it (ulimit -f), then repeat the command",
        errno.EROFS: "the file system is read-only: choose a folder that can be written",
        errno.EACCES: "permission is missing: choose a folder that can be written",
        errno.EPERM: "permission is missing: choose a folder that can be written",
        errno.ENOTDIR: "a file stands where a folder is needed: choose another folder",
        errno.EEXIST: "a file stands where a folder is needed: choose another folder",
    }
    mend = mends.get(error.errno, "check the folder, then repeat the command")
    return StoreError(f"cannot {action} {path}: {error.strerror or error}; {mend}")


def make_folder(path: Path) -> None:
    """Makes a folder and its parents. Raises StoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error("create the folder", path, error) from error


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a whole file or leaves the old one: temporary name, flush to disk, rename. Raises StoreError."""
    make_folder(path.parent)
    # The process id keeps two shards from sharing a temporary file; `.tmp` keeps a left-over one out of git and globs.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise store_error("write", path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically, indented and with a final newline. Raises StoreError."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Writes a whole folder, or leaves the old one: a draft beside it, renamed into place. Raises StoreError.

    files: contents by path below the folder.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        write_files(draft, files)
        if path.exists():
            shutil.rmtree(path)
        draft.rename(path)
    except OSError as error:
        raise store_error("write the folder", path, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files into a folder of one's own, by their paths below it. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    except OSError as error:
        raise store_error("write the files of", folder, error) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files, gone afterwards. Raises StoreError if there can be none."""
    try:
        folder = Path(mkdtemp(prefix="motionbench-")).resolve()
    except OSError as error:
        raise store_error("create a folder in", Path(gettempdir()), error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_folder(path: Path) -> dict[str, bytes]:
    """The contents of all files below a folder, by path below it. Raises OSError."""
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@contextmanager
def file_lock(path: Path, *, wait: bool, shared: bool = False) -> Iterator[None]:
    """Holds a lock on the file `path` (made if absent); the system frees it however the process ends.

    wait: queue for it; otherwise StoreError naming the process that has it.
    shared: many may hold it at once, but none together with an exclusive holder.
    """
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise store_error("lock", path, error) from error
    try:
        _take(handle, path, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        if not shared and not wait:
            _sign(handle)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, mode: int) -> None:
    try:
        fcntl.flock(handle, mode)
    except BlockingIOError as error:
        holder = os.pread(handle, 100, 0).decode(errors="replace").strip() or "another process"
        raise StoreError(
            f"{path.parent} is being written by {holder}; wait for it, stop it, or choose another --out"
        ) from error
    except OSError as error:
        raise store_error("lock", path, error) from error


def _sign(handle: int) -> None:
    with suppress(OSError):  # the name only serves the message of the next one; a full disk must not forbid the lock
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)


def append_line(path: Path, line: str) -> None:
    """Appends one line under a lock and flushes it to disk; on any error nothing of it stays. Raises StoreError.

    A half-written last line (a killed process) is cut off first, with a warning.
    """
    make_folder(path.parent)
    with file_lock(path.with_name(f".{path.name}.lock"), wait=True):
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise store_error("append to", path, error) from error
        try:
            _append(handle, path, f"{line}\n".encode())
        finally:
            os.close(handle)


def _append(handle: int, path: Path, data: bytes) -> None:
    end = _cut_half_line(handle, path)
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(handle, data[written:], end + written)
        os.fsync(handle)
    except BaseException as error:
        with suppress(OSError):  # also on Ctrl-C: never leave half a line
            os.ftruncate(handle, end)
        if isinstance(error, OSError):
            raise store_error("append to", path, error) from error
        raise


def _cut_half_line(handle: int, path: Path) -> int:
    """Cuts off an unfinished last line; returns the length that stays, in bytes."""
    size = os.fstat(handle).st_size
    if size == 0 or os.pread(handle, 1, size - 1) == b"\n":
        return size
    whole = os.pread(handle, size, 0)
    keep = whole.rfind(b"\n") + 1
    logger.warning("%s ends in a half-written line of %d bytes; it is cut off", path, size - keep)
    os.ftruncate(handle, keep)
    return keep


def read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """(line number, object) for each line of a JSONL file; [] if there is no file.

    An unfinished last line is skipped with a warning. Any other malformed line raises StoreError naming file and line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise store_error("read", path, error) from error
    *lines, rest = data.split(b"\n")
    if rest:
        logger.warning("%s ends in a half-written line of %d bytes; it is skipped", path, len(rest))
    return [(number, _parse(path, number, line)) for number, line in enumerate(lines, 1) if line.strip()]


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:  # bad JSON or bad UTF-8
        raise StoreError(
            f"{path}:{number}: not a JSON line ({error}); remove the line, then repeat the command"
        ) from error
    if not isinstance(value, dict):
        raise StoreError(f"{path}:{number}: expected a JSON object, got {type(value).__name__}; remove the line")
    return value
