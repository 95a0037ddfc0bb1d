"""Every fault of a manifest, with file and line: the reader of splits stops at the first one, this one does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from motionbench.case import Case
from motionbench.manifest import (
    BYTE_ORDER_MARK,
    PARSERS,
    SHARED,
    decode_line,
    line_to_case,
    parse_object,
    parse_text,
    shown,
)

from .finding import Finding

OPTIONAL = {"tags"}
KEYS = {field.name for field in fields(Case)}


@dataclass(frozen=True)
class Line:
    """A case and where it stands."""

    case: Case
    number: int


def read_lines(path: Path, findings: list[Finding]) -> list[Line]:
    """The sound cases of a manifest with their lines; what is wrong with the others goes to `findings`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        findings.append(Finding("manifest", path.name, f"cannot be read: {error.strerror}", str(path)))
        return []
    lines: list[Line] = []
    for number, raw in enumerate(data.removeprefix(BYTE_ORDER_MARK).splitlines(), 1):
        if not raw.strip():
            continue
        case = read_line(path, number, raw, findings)
        if case is not None:
            findings += check_against(path, number, case, lines)
            lines.append(Line(case, number))
    if not lines and not findings:
        findings.append(Finding("manifest", path.name, "expected at least one case, found none", str(path)))
    return lines


def read_line(path: Path, number: int, raw: bytes, findings: list[Finding]) -> Case | None:
    """The case in a line; None, and the reasons among `findings`, if it has none."""
    where = f"line {number}"
    try:
        text = decode_line(raw)
    except ValueError as error:
        findings.append(Finding("encoding", where, str(error), str(path), number))
        return None
    try:
        value = parse_object(text)
    except ValueError as error:
        findings.append(Finding("json", where, str(error), str(path), number))
        return None
    faults = list(find_faults(value))
    if not faults:
        try:
            return line_to_case(text)
        except ValueError as error:  # what only the whole line shows: id against category
            faults = [("id", str(error))]
    name = value["id"] if isinstance(value.get("id"), str) else where
    findings += [Finding(kind, name, message, str(path), number) for kind, message in faults]
    return None


def find_faults(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) for each fault of a line's JSON object."""
    for key in sorted(set(value) - KEYS):
        yield "key", f"unknown key {shown(key)}; keys are {', '.join(sorted(KEYS))}"
    for key in sorted(KEYS - OPTIONAL - set(value)):
        yield key, f"key {key!r} is missing"
    for key in sorted(KEYS & set(value)):
        parse: Callable[[str, Any], Any] = PARSERS.get(key, parse_text)
        try:
            parse(key, value[key])
        except ValueError as error:
            yield key, str(error)


def check_against(path: Path, number: int, case: Case, lines: list[Line]) -> Iterator[Finding]:
    """What is wrong with a case in the light of those before it: a repeated id, a reference with two truths."""
    for line in lines:
        if line.case.id == case.id:
            message = f"this id stands in line {line.number} already; ids are never reused"
            yield Finding("duplicate_id", case.id, message, str(path), number)
            return
    first = next((line for line in lines if line.case.reference_id == case.reference_id), None)
    for name in SHARED if first else ():
        if first and getattr(case, name) != getattr(first.case, name):
            message = f"{name} differs from that in line {first.number}, which is of the same reference"
            yield Finding("disagreement", case.id, message, str(path), number)
