"""The catalog `splits.json` at the root of a repository: which splits it holds, and by which hashes they are known."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from motionbench.case import Case
from motionbench.errors import StoreError
from motionbench.schema import SCHEMA, to_current
from motionbench.typed_json import to_object

from .address import is_inside
from .errors import HubError

CATALOG = "splits.json"


@dataclass(frozen=True)
class CategoryEntry:
    """One category of a split: its content's fingerprint, its counts, and its parquet files with their SHA-256."""

    fingerprint: str
    references: int
    cases: int
    bytes: int
    tables: dict[str, str]


@dataclass(frozen=True)
class SplitEntry:
    """One split: its revision, its categories, and what the repository's card tells of it."""

    revision: str
    categories: dict[str, CategoryEntry]
    files: tuple[str, ...]  # manifest, card and lock: plain files of the repository
    levels: dict[str, int] = field(default_factory=dict)
    licenses: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    @property
    def tables(self) -> dict[str, str]:
        """Every parquet file of the split with its SHA-256."""
        return {path: sha for entry in self.categories.values() for path, sha in entry.tables.items()}


Catalog = dict[str, SplitEntry]


def count_words(cases: tuple[Case, ...]) -> dict[str, dict[str, int]]:
    """Cases by level, references by license and by source: the numbers in the card."""
    firsts = list({case.reference_id: case for case in cases}.values())
    return {
        "levels": dict(sorted(Counter(case.level.value for case in cases).items())),
        "licenses": dict(sorted(Counter(case.license for case in firsts).items())),
        "sources": dict(sorted(Counter(case.source for case in firsts).items())),
    }


def catalog_to_bytes(catalog: Catalog) -> bytes:
    """The file's bytes: equal catalogs give equal bytes."""
    value = {"schema": SCHEMA, "splits": {name: asdict(entry) for name, entry in catalog.items()}}
    return f"{json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)}\n".encode()


def bytes_to_catalog(data: bytes, where: str) -> Catalog:
    """The catalog in a file from elsewhere. Raises HubError if it is none, or names a path outside."""
    try:
        value = to_current("catalog", {**json.loads(data)}, f"{where}: {CATALOG}")
        catalog = {name: to_entry(entry) for name, entry in value["splits"].items()}
    except StoreError as error:
        raise HubError(f"{error}; update motionbench") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HubError(
            f"{where}: {CATALOG} is not a catalog of splits ({type(error).__name__}: {error}); push again"
        ) from error
    for name, entry in catalog.items():
        for path in (f"{name}/", *entry.tables, *entry.files):
            if not is_inside(path) or "/" in name:
                raise HubError(f"{where}: {CATALOG} names a path {path!r} outside of its folder; do not use it")
    return catalog


def to_entry(value: dict[str, Any]) -> SplitEntry:
    """A split's entry from JSON. Raises ValueError."""
    return to_object(SplitEntry, value)
