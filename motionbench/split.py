"""Split: a named, hashed list of cases, read from a JSONL manifest."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from motionbench.case import Case, Category, Level
from motionbench.errors import ManifestError, VideoError
from motionbench.files import canonical_json, file_sha256, write_atomically
from motionbench.registry import unknown
from motionbench.schema import case_to_current, case_to_schema_1

if TYPE_CHECKING:
    import pandas as pd

    from motionbench.clip import Clip  # brings numpy, which `motionbench list splits` can do without

MANIFEST = "manifest.jsonl"
CASE_ID = re.compile(r"([a-z_]+)/[0-9]{4,12}/[0-9]{1,12}")
SHOWN = 80  # characters of a value that a message shows
LONGEST_TEXT, LONGEST_PATH, LONGEST_NAME = 10_000, 1_000, 255  # characters; of a part of a path
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # that some editors put before a file in UTF-8
SHARED = ("reference", "sha256", "caption", "license", "source")  # what the cases of one reference have in common


@dataclass(frozen=True)
class Split:
    """A list of cases in manifest order.

    revision: 16 hex digits, hash of all cases (not of the file's layout). root: the folder that references lie below.
    """

    name: str
    revision: str
    root: Path
    cases: tuple[Case, ...]

    def select(self, categories: Sequence[Category] = (), limit: int | None = None) -> tuple[Case, ...]:
        """The cases of these categories (empty = all), of the first `limit` references of each, by reference id.

        Raises ManifestError if a category has no case here: a table with a silent gap would mislead.
        """
        present = {case.category for case in self.cases}
        for category in categories:
            if category not in present:
                raise ManifestError(
                    f"split {self.name!r} has no {category} case; it has {', '.join(sorted(present)) or 'none'}"
                )
        kept: set[str] = set()
        for category in present & set(categories or present):
            kept.update(sorted({c.reference_id for c in self.cases if c.category == category})[:limit])
        return tuple(case for case in self.cases if case.reference_id in kept)

    def by_id(self) -> dict[str, Case]:
        """The cases by their id."""
        return {case.id: case for case in self.cases}

    def frame(self) -> pd.DataFrame:
        """The cases as a pandas table, a line each; `path` is where the reference lies."""
        import pandas as pd

        return pd.DataFrame([{**asdict(case), "path": str(self.reference_path(case))} for case in self.cases])

    def reference_path(self, case: Case) -> Path:
        """Where the reference clip of a case lies."""
        return self.root / case.reference

    def read_reference(self, case: Case) -> Clip:
        """The reference clip of a case, checked against its checksum; at least two frames, at a constant rate.

        Raises VideoError.
        """
        from motionbench.clip import Clip
        from motionbench.video_file import check_file

        path = self.reference_path(case)
        check_file(path)
        actual = file_sha256(path)
        if actual != case.sha256:
            raise VideoError(
                f"{path}: expected sha256 {case.sha256}, got {actual}; fetch it again, or mend the sum in {MANIFEST}"
            )
        return Clip.read(path, least_frames=2).steady()


def read_split(name_or_path: str | Path) -> Split:
    """The embedded split of that name, or the one whose manifest (or folder with one) is at that path.

    Raises UnknownNameError if it is neither, ManifestError naming file and line if the manifest is malformed.
    """
    path = Path(name_or_path)
    embedded = splits_folder() / str(name_or_path)
    if str(name_or_path) in split_names():
        path = embedded
    if path.is_dir():
        path = path / MANIFEST
    if not path.is_file():
        if path.name != str(name_or_path) or path.suffix == ".jsonl":  # it looks like a path
            raise ManifestError(
                f"{path}: expected a manifest or a folder with {MANIFEST}, found nothing; check the path"
            )
        raise unknown("split", str(name_or_path), split_names())
    cases = parse_manifest(path)
    name = path.parent.name if path.name == MANIFEST else path.stem
    return Split(name, cases_to_revision(cases), path.parent.resolve(), cases)


@cache
def splits_folder() -> Path:
    """The folder of the embedded splits, found without importing the room that holds it."""
    spec = find_spec("motionbench.data_cards")
    if spec is None or not spec.submodule_search_locations:
        raise ManifestError("motionbench.data_cards is not installed; pip install -e .")
    return Path(next(iter(spec.submodule_search_locations))) / "splits"


def split_names() -> list[str]:
    """Names of the embedded splits, sorted."""
    return sorted(path.parent.name for path in splits_folder().glob(f"*/{MANIFEST}"))


def cases_to_revision(cases: Iterable[Case]) -> str:
    """16 hex digits that change with any field or with the order of the cases."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(canonical_json(case_to_schema_1(asdict(case))).encode() + b"\n")
    return digest.hexdigest()[:16]


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
