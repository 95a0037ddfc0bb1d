"""Pull: the splits of one commit, as files with their manifest, whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from motionbench.errors import MotionBenchError, StoreError
from motionbench.files import make_folder, write_atomically, write_json
from motionbench.manifest import MANIFEST
from motionbench.split import read_split

from .address import Address
from .catalog import CATALOG, SplitEntry, bytes_to_catalog
from .client import HubClient, sha256_of
from .errors import HubError, hub_errors
from .tables import unpack_table

ORIGIN = "origin.json"
ORIGIN_SCHEMA = 1


@dataclass(frozen=True)
class Pulled:
    """A split on disk: its folder, the commit it is from, and whether it was there already."""

    name: str
    folder: Path
    commit: str
    revision: str
    was_there: bool


def pull_splits(address: Address, names: list[str], out: Path) -> list[Pulled]:
    """The named splits (all if none is named) of one commit, each in `out/NAME`. Raises HubError, StoreError.

    The revision is resolved to a commit once, and `origin.json` in each folder says which. A split appears whole or not
    at all; interrupted, the same call goes on with what the cache holds.
    """
    client = HubClient()
    commit = client.resolve(address)
    catalog = bytes_to_catalog(client.read(address, commit, CATALOG), str(address))
    if missing := sorted(set(names) - set(catalog)):
        raise HubError(f"{address} has no split {missing[0]!r}; it has {', '.join(sorted(catalog))}")
    return [pull_split(client, address, commit, name, catalog[name], out / name) for name in names or sorted(catalog)]


def pull_split(client: HubClient, address: Address, commit: str, name: str, entry: SplitEntry, folder: Path) -> Pulled:
    """One split in its folder. Raises HubError, StoreError."""
    if folder.exists():
        check_existing(folder, name, entry)
        return Pulled(name, folder, commit, entry.revision, True)
    cache = client.download(address, commit, [*entry.tables, *entry.files])
    make_folder(folder.parent)
    partial = folder.with_name(f".{name}.{os.getpid()}.partial")
    try:
        with hub_errors("unpack", address.repo):
            unpack(cache, name, entry, partial)
        check_whole(partial, name, entry)
        origin = {"schema": ORIGIN_SCHEMA, "repo": address.repo, "asked": address.revision, "commit": commit}
        write_json(partial / ORIGIN, origin | {"split": name, "revision": entry.revision, "tables": entry.tables})
        partial.rename(folder)
    finally:
        with suppress(OSError):
            shutil.rmtree(partial)
    return Pulled(name, folder, commit, entry.revision, False)


def check_existing(folder: Path, name: str, entry: SplitEntry) -> None:
    """Raises StoreError unless the folder holds this very split already: nobody's files are overwritten."""
    try:
        revision = read_split(folder).revision
    except MotionBenchError:
        revision = "something else"
    if revision != entry.revision:
        raise StoreError(
            f"{folder} holds {revision}, not revision {entry.revision} of {name!r}; choose another --out, or move it"
        )


def unpack(cache: Path, name: str, entry: SplitEntry, folder: Path) -> None:
    """Writes everything of a split below a folder. Raises HubError if a table is not the one its hash names."""
    for path, sha in entry.tables.items():
        if sha256_of(cache / path) != sha:
            raise HubError(f"{path}: the bytes are not those that {CATALOG} names; delete the cache and pull again")
        unpack_table(cache / path, folder)
    for path in entry.files:
        inside = path.removeprefix(f"splits/{name}/")
        write_atomically(folder / inside, (cache / path).read_bytes())


def check_whole(folder: Path, name: str, entry: SplitEntry) -> None:
    """Raises HubError unless manifest and files are the split that the catalog describes."""
    split = read_split(folder / MANIFEST)
    if split.revision != entry.revision:
        raise HubError(f"split {name!r} should be revision {entry.revision}, but its manifest is {split.revision}")
    for case in split.cases:
        path = split.reference_path(case)
        if not path.is_file() or sha256_of(path) != case.sha256:
            raise HubError(f"split {name!r} lacks the video of {case.id}; push it again, or pull another revision")
