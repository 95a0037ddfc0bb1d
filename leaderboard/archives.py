"""Results folders that are one compressed file: made by `motionbench results pack`, read where folders are expected."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from motionbench.errors import StoreError

SUFFIXES = (".tar.gz", ".tgz", ".tar.xz")
LARGEST = 8 * 2**30  # bytes unpacked: texts take a thousandth of it, and a file of zeros must not fill the disk


def is_archive(path: Path) -> bool:
    """Whether results of this name are one file."""
    return path.name.endswith(SUFFIXES)


def archive_stem(path: Path) -> str:
    """The name without its ending: `lite-det` of `lite-det.tar.xz`."""
    return next((path.name.removesuffix(end) for end in SUFFIXES if path.name.endswith(end)), path.name)


@contextmanager
def unpacked(results: Iterable[Path]) -> Iterator[list[Path]]:
    """The same results as folders: archives among them, or in a folder of results folders, lie unpacked until the end.

    Raises StoreError naming an archive that is damaged, too large, or would write outside its folder.
    """
    with TemporaryDirectory(prefix="motionbench-") as scratch:
        folders = []
        for number, place in enumerate(_with_inner(list(results))):
            folders.append(_unpack(place, Path(scratch, str(number))) if is_archive(place) else place)
        yield folders


def _with_inner(results: Sequence[Path]) -> Iterator[Path]:
    """The places, each folder of results folders followed by the archives in it, or replaced by them alone."""
    for place in results:
        inner = []
        if place.is_dir() and not (place / "run.json").is_file():
            inner = sorted(path for path in place.iterdir() if path.is_file() and is_archive(path))
        if not inner or any(place.glob("*/run.json")):
            yield place
        yield from inner


def _unpack(archive: Path, scratch: Path) -> Path:
    """The folder of an archive's results: its one folder at the top, or one that holds whatever is there."""
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            if sum(member.size for member in members) > LARGEST:
                raise StoreError(f"{archive}: it unpacks to more than {LARGEST / 2**30:.0f} GiB, which no results take")
            tar.extractall(scratch, members, filter="data")
            while tar.fileobj is not None and tar.fileobj.read(2**20):
                pass  # to the end of the stream: only there does a file that was cut off show
    except (OSError, EOFError, tarfile.TarError) as error:
        raise StoreError(f"{archive}: expected an archive that `motionbench results pack` made ({error})") from error
    below = list(scratch.iterdir())
    if len(below) == 1 and below[0].is_dir():
        return below[0]
    return scratch.rename(scratch.with_name(f"{scratch.name}-{archive_stem(archive)}"))


def to_archive(files: dict[str, bytes], target: Path) -> bytes:
    """The archive of these files below a folder named like it: the same bytes for the same files, undated, unowned."""
    buffer, top = BytesIO(), archive_stem(target)
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=9) if target.suffix == ".xz" else _zipped(buffer) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size = len(files[name])
            tar.addfile(entry, BytesIO(files[name]))
    return buffer.getvalue()


@contextmanager
def _zipped(buffer: BytesIO) -> Iterator[tarfile.TarFile]:
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w") as tar:
        yield tar
