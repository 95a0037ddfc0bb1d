"""JSON into dataclasses, checked by pydantic; and in which keys two JSON values differ."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

Noun = TypeVar("Noun")
LONGEST = 60  # characters of a value that a message shows


def to_object(kind: type[Noun], value: Any, *, refuse_unknown: bool = True) -> Noun:
    """A value as `json.loads` gives it, as an object of a dataclass: lists become tuples, words members of an enum.

    Nothing is coerced: "1" is no number and 1.5 no integer. refuse_unknown: a key that is no field is an error; else it
    is passed over, as of a newer version. Raises ValueError naming the first wrong key, what it must be and what came.
    """
    from pydantic import ValidationError  # not needed by commands that read no file

    if refuse_unknown and isinstance(value, dict) and is_dataclass(kind):
        known = [field.name for field in fields(kind)]
        if unknown := sorted(set(value) - set(known)):
            raise ValueError(f"unknown key {unknown[0]!r}; keys are {', '.join(known)}")
    try:
        # By way of text: strict Python values would have to be tuples and members of enums already.
        made: Noun = _adapter(cast(Hashable, kind)).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise ValueError(_first_problem(error)) from None
    return made


def differences(there: Any, asked: Any, path: str = "") -> list[str]:
    """One phrase for each key in which two JSON values differ."""
    if isinstance(there, dict) and isinstance(asked, dict):
        keys = sorted(set(there) | set(asked))
        return [
            text for key in keys for text in differences(there.get(key), asked.get(key), f"{path}.{key}".lstrip("."))
        ]
    return [] if there == asked else [f"{path}: {there!r} there, {asked!r} asked"]


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _first_problem(error: Any) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] in ("missing", "missing_argument"):
        return f"key {place!r} is missing"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    text = repr(first["input"])
    got = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{place or 'the value'} must be {expected}, got {got}"
