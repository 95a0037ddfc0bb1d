"""Manifest: the cases of a split as JSON Lines, each line checked before anything uses it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path, PurePosixPath
from typing import Any

from motionbench.case import Case, Category, Level
from motionbench.errors import ManifestError
from motionbench.files import write_atomically
from motionbench.schema import case_to_current

MANIFEST = "manifest.jsonl"
CASE_ID = re.compile(r"([a-z_]+)/[0-9]{4,12}/[0-9]{1,12}")
SHOWN = 80  # characters of a value that a message shows
LONGEST_TEXT, LONGEST_PATH, LONGEST_NAME = 10_000, 1_000, 255  # characters; of a part of a path
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # that some editors put before a file in UTF-8
SHARED = ("reference", "sha256", "caption", "license", "source")  # what the cases of one reference have in common


def write_manifest(path: Path, cases: Iterable[Case]) -> None:
    """Writes cases as a manifest, one a line, atomically. Raises ManifestError for what could not be read again."""
    lines = [json.dumps(asdict(case), ensure_ascii=False) for case in cases]
    parse_lines(path, lines)
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def parse_manifest(path: Path) -> tuple[Case, ...]:
    """The cases of a manifest. Raises ManifestError naming file and line."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    lines = []
    for number, line in enumerate(data.removeprefix(BYTE_ORDER_MARK).splitlines(), 1):
        try:
            lines.append(decode_line(line))
        except ValueError as error:
            raise ManifestError(f"{path}:{number}: {error}") from error
    return parse_lines(path, lines)


def decode_line(line: bytes) -> str:
    """The text of a line. Raises ValueError."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got byte {line[error.start]:#04x}; save as UTF-8") from error


def parse_lines(path: Path, lines: Sequence[str]) -> tuple[Case, ...]:
    """The cases in a manifest's lines; blank lines are skipped. `path` is for messages. Raises ManifestError."""
    cases: dict[str, Case] = {}
    references: dict[str, Case] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            case = line_to_case(line)
            check_against(cases, references, case)
        except ValueError as error:
            raise ManifestError(f"{path}:{number}: {error}") from error
        cases[case.id] = case
        references.setdefault(case.reference_id, case)
    if not cases:
        raise ManifestError(f"{path}: expected at least one case, found none")
    return tuple(cases.values())


def check_against(cases: dict[str, Case], references: dict[str, Case], case: Case) -> None:
    """Raises ValueError if a case repeats an id, or differs from its reference's first case in what they share."""
    if case.id in cases:
        raise ValueError(f"id {case.id!r} stands in an earlier line; ids are never reused")
    first = references.get(case.reference_id, case)
    for name in SHARED:
        if getattr(case, name) != getattr(first, name):
            raise ValueError(
                f"{name} differs from that of {first.id!r}; the cases of one reference share {', '.join(SHARED)}"
            )


def line_to_case(line: str) -> Case:
    """The case in one manifest line. Raises ValueError."""
    value = parse_object(line)
    names = {field.name for field in fields(Case)}
    if extra := sorted(set(value) - names):
        raise ValueError(f"unknown key {shown(extra[0])}; keys are {', '.join(sorted(names))}")
    if missing := sorted(names - set(value) - {"tags"}):
        raise ValueError(f"key {missing[0]!r} is missing")
    case = Case(**{key: parser_of(key)(key, entry) for key, entry in value.items()})
    if not case.id.startswith(f"{case.category}/"):
        raise ValueError(f"id {case.id!r} and category {case.category.value!r} disagree")
    return case


def parse_object(line: str) -> dict[str, Any]:
    """The JSON object in a line. Raises ValueError, whatever the line holds."""
    try:
        value = json.loads(line, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"expected one JSON object, got {shown(line)} ({error.msg} at column {error.colno})"
        ) from error
    except RecursionError as error:
        raise ValueError(
            f"expected one JSON object, got brackets within brackets without end: {shown(line)}"
        ) from error
    if not isinstance(value, dict):
        raise ValueError(f"expected one JSON object, got {type(value).__name__}")
    return case_to_current(value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {shown(next(key for key in keys if keys.count(key) > 1))} stands twice")
    return entries


def shown(value: Any) -> str:
    """A value as a message shows it: in one line, its middle left out where it is long."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}…{text[-SHOWN // 4 :]}"


def parse_text(key: str, value: Any) -> str:
    """A string with something in it that can be written and shown: no control characters, no halves of surrogates."""
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, got {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{key} must not be empty")
    if len(value) > LONGEST_TEXT:
        raise ValueError(f"{key} must have at most {LONGEST_TEXT} characters, got {len(value)}")
    if bad := next((sign for sign in value if unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\n\t"), None):
        raise ValueError(f"{key} must be plain text, got {bad!a} in {shown(value)}")
    return value


def parse_id(key: str, value: Any) -> str:
    """`category/NNNN/n`, safe as a part of a path."""
    text = parse_text(key, value)
    match = CASE_ID.fullmatch(text)
    if not match or match[1] not in list(Category):
        raise ValueError(f"{key} must be category/NNNN/n such as camera/0001/0, got {shown(text)}")
    return text


def parse_reference(key: str, value: Any) -> str:
    """A relative path that stays below the split's folder, with `/` between its parts."""
    text = parse_text(key, value)
    path = PurePosixPath(text)
    leaves = path.is_absolute() or ".." in path.parts or "\\" in text or ":" in "".join(path.parts[:1])
    if leaves or not path.parts or text.endswith("/"):
        raise ValueError(f"{key} must be a path below the split's folder that names a file, got {shown(text)}")
    if len(text) > LONGEST_PATH or max(len(part.encode()) for part in path.parts) > LONGEST_NAME:
        raise ValueError(f"{key} must be a path that a disk can hold, got {shown(text)}")
    return text


def parse_sha256(key: str, value: Any) -> str:
    """64 lower-case hex digits."""
    text = parse_text(key, value)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(f"{key} must be 64 lower-case hex digits, got {shown(text)}")
    return text


def parse_category(key: str, value: Any) -> Category:
    """One of the four categories."""
    if value not in list(Category):
        raise ValueError(f"unknown {key} {shown(value)}; it is one of {', '.join(Category)}")
    return Category(value)


def parse_level(key: str, value: Any) -> Level:
    """One of the three prompt levels."""
    if value not in list(Level):
        raise ValueError(f"unknown {key} {shown(value)}; it is one of {', '.join(Level)}")
    return Level(value)


def parse_tags(key: str, value: Any) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise ValueError(f"{key} must be a list of strings, got {shown(value)}")
    return tuple(parse_text(key, tag) for tag in value)


def parser_of(key: str) -> Callable[[str, Any], Any]:
    """What checks and converts the value of a key."""
    return PARSERS.get(key, parse_text)


PARSERS: dict[str, Callable[[str, Any], Any]] = {
    "id": parse_id,
    "category": parse_category,
    "reference": parse_reference,
    "sha256": parse_sha256,
    "level": parse_level,
    "tags": parse_tags,
}
