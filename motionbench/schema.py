"""The schema of all files of a run and of manifests, and the one converter for files that older versions wrote.

Schema 2 spells its keys as Americans do: `license` of a case, `normalized` of a row. What a key holds never changed, so
a file of schema 1 is read as if it had been written in schema 2, and nobody has to convert anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from motionbench.errors import StoreError

SCHEMA = 2
Kind = Literal["run", "record", "score", "summary", "gate", "catalog"]
FORMER_HEADLINE = "motion_fidelity"  # by its name, before a metric's facts said so
FORMER_LICENSE, FORMER_LICENSES, FORMER_NORMALIZED = "licence", "licences", "normalised"  # the keys of schema 1


def to_current(kind: Kind, value: Any, where: object) -> dict[str, Any]:
    """A file's or a line's JSON object in the current schema. where: of the object, for messages.

    Raises StoreError for a schema that this version does not know, and for what is no JSON object.
    """
    schema = value.get("schema") if isinstance(value, dict) else None
    if type(schema) is not int or not 1 <= schema <= SCHEMA:
        raise StoreError(
            f"{where}: expected schema {SCHEMA} or older, got {schema}; read it with the version that wrote it"
        )
    older = _FROM_1.get(kind) if schema == 1 else None
    return {**(older(value) if older else value), "schema": SCHEMA}


def case_to_current(value: dict[str, Any]) -> dict[str, Any]:
    """The JSON object of a manifest's line by the current keys; a line has no number, its keys tell its schema."""
    return value if "license" in value else _renamed(value, {FORMER_LICENSE: "license"})


def case_to_schema_1(value: Mapping[str, Any]) -> dict[str, Any]:
    """A case by the keys of schema 1, over which a split's revision is taken: it must not change with the spelling."""
    return _renamed(value, {"license": FORMER_LICENSE})


def _renamed(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): entry for key, entry in value.items()}


def _summary_from_1(value: dict[str, Any]) -> dict[str, Any]:
    names = {FORMER_NORMALIZED: "normalized"}
    rows_by_key = {key: value[key] for key in ("rows", "control_rows") if isinstance(value.get(key), list)}
    tables: dict[str, Any] = {
        key: [_renamed(row, names) if isinstance(row, dict) else row for row in rows]
        for key, rows in rows_by_key.items()
    }
    facts = value.get("metrics")
    if isinstance(facts, dict) and isinstance(facts.get(FORMER_HEADLINE), dict):
        tables["metrics"] = {**facts, FORMER_HEADLINE: {**facts[FORMER_HEADLINE], "headline": True}}
    return {**value, **tables}


def _catalog_from_1(value: dict[str, Any]) -> dict[str, Any]:
    names = {FORMER_LICENSES: "licenses"}
    return {**value, "splits": {name: _renamed(entry, names) for name, entry in value["splits"].items()}}


_FROM_1: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "summary": _summary_from_1,
    "catalog": _catalog_from_1,
}
