"""Answer files read, checked against the key, and made votes: who fails the catch trials does not count."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from motionbench.errors import StoreError
from motionbench.typed_json import to_object

from .kit import KEY_SCHEMA

LARGEST = 4_000_000  # bytes of an answer file: 20,000 answers
LONGEST_RATER = 64  # characters of a name
VOTES_SCHEMA = 1


@dataclass(frozen=True)
class Vote:
    """One answer to one question. choice: `a`, `b` or `same`; systems a and b by label."""

    rater: str
    question: str
    case_id: str
    a: str
    b: str
    choice: str

    @property
    def reference_id(self) -> str:
        """The reference that was looked at."""
        return self.case_id.rpartition("/")[0]


@dataclass(frozen=True)
class Sheet:
    """One rater's answers, checked: question -> `a`, `b`, `same` or `broken`; caught: right and asked catch trials."""

    rater: str
    source: str
    choices: dict[str, str]
    caught: tuple[int, int]

    def passes(self, share: float, catches: int) -> bool:
        """True if enough of the catch trials were right; one who stopped before any of them cannot be judged."""
        right, asked = self.caught
        return catches == 0 or (asked > 0 and right >= share * asked)


@dataclass(frozen=True)
class Collection:
    """All that came back. faults: file -> why it is not counted; dropped: rater -> right and asked catch trials."""

    votes: tuple[Vote, ...]
    raters: tuple[str, ...]
    dropped: dict[str, tuple[int, int]]
    faults: dict[str, str]
    repeated: tuple[str, ...]

    def to_json(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """The content of votes.json."""
        return {
            "schema": VOTES_SCHEMA,
            "study": key["study"],
            "systems": key["systems"],
            "results": [name for name in key["results"] if not Path(name).is_absolute()],  # may be published
            "raters": list(self.raters),
            "dropped": {rater: list(caught) for rater, caught in self.dropped.items()},
            "faults": self.faults,
            "records": {name: one["records"] for name, one in key["questions"].items() if "records" in one},
            "votes": [asdict(vote) for vote in self.votes],
        }


def read_key(path: Path) -> dict[str, Any]:
    """The key of a kit. Raises StoreError."""
    return _json_of_schema(path, KEY_SCHEMA, ("study", "systems", "results", "questions", "plan"), "raters make")


def read_votes(path: Path) -> tuple[dict[str, Any], tuple[Vote, ...]]:
    """votes.json and the votes in it. Raises StoreError."""
    value = _json_of_schema(path, VOTES_SCHEMA, ("study", "records", "results", "votes"), "raters collect")
    try:
        return value, tuple(to_object(Vote, vote) for vote in value["votes"])
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path}: malformed vote ({error}); collect the answers again") from error


def _json_of_schema(path: Path, schema: int, fields: Sequence[str], maker: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: expected a file of `motionbench {maker}`: {error}") from error
    if not isinstance(value, dict) or value.get("schema") != schema or any(name not in value for name in fields):
        raise StoreError(f"{path}: expected a file of `motionbench {maker}`, schema {schema}; check the path")
    return value


def collect(files: Iterable[Path], key: Mapping[str, Any]) -> Collection:
    """The votes in answer files. What cannot be read, or belongs to another kit, is named and the rest is done.

    Of several files of one rater (the page lets one stop and go on) the one with most answers counts.
    """
    sheets: dict[str, Sheet] = {}
    faults: dict[str, str] = {}
    repeated: list[str] = []
    for file in files:
        try:
            sheet = read_sheet(file, key)
        except (OSError, ValueError, RecursionError) as error:
            faults[str(file)] = str(error)
            continue
        earlier = sheets.get(sheet.rater)
        if earlier is not None:
            repeated.append(f"{file} and {earlier.source} are of one rater; the one with more answers counts")
        if earlier is None or len(sheet.choices) > len(earlier.choices):
            sheets[sheet.rater] = sheet
    catches = sum("catch" in one for one in key["questions"].values())
    share = float(key["plan"]["pass_share"])
    kept = {rater: sheets[rater] for rater in sorted(sheets) if sheets[rater].passes(share, catches)}
    dropped = {rater: sheets[rater].caught for rater in sorted(sheets.keys() - kept.keys())}
    votes = tuple(vote for sheet in kept.values() for vote in _votes(sheet, key))
    return Collection(votes, tuple(kept), dropped, faults, tuple(repeated))


def read_sheet(file: Path, key: Mapping[str, Any]) -> Sheet:
    """One answer file, checked. Raises ValueError, OSError or RecursionError saying what is wrong."""
    if file.stat().st_size > LARGEST:
        raise ValueError(f"expected an answer file, got {file.stat().st_size / 1e6:.0f} MB")
    value = json.loads(file.read_bytes())
    if not isinstance(value, dict) or value.get("schema") != KEY_SCHEMA:
        raise ValueError("expected the file that the raters' page downloads")
    made = to_object(_AnswerFile, value, refuse_unknown=False)
    if made.study != key["study"]:
        raise ValueError(f"it answers study {made.study!r}, and this is {key['study']!r}")
    if not 1 <= len(made.rater) <= LONGEST_RATER:
        raise ValueError(f"rater must have 1 to {LONGEST_RATER} characters, got {len(made.rater)}")
    questions = key["questions"]
    if unknown := [answer.question for answer in made.answers if answer.question not in questions]:
        raise ValueError(f"unknown question {unknown[0]!r}")
    choices = {answer.question: answer.by_side for answer in made.answers}
    if len(choices) < len(made.answers):
        raise ValueError("a question is answered twice")
    asked = [name for name in choices if "catch" in questions[name] and choices[name] != "broken"]
    right = sum(choices[name] == questions[name]["right"] for name in asked)
    return Sheet(made.rater, str(file), choices, (right, len(asked)))


@dataclass(frozen=True)
class _Answer:
    """One answer as the page writes it. left: which side, `a` or `b`, was shown on the left."""

    question: str
    left: Literal["a", "b"]
    choice: Literal["left", "right", "same", "broken"]

    @property
    def by_side(self) -> str:
        """The choice as `a` or `b`, whichever place that was shown in; `same` and `broken` as they are."""
        if self.choice in ("left", "right"):
            return self.left if self.choice == "left" else "ba"["ab".index(self.left)]
        return self.choice


@dataclass(frozen=True)
class _AnswerFile:
    study: str
    rater: str
    answers: tuple[_Answer, ...]


def _votes(sheet: Sheet, key: Mapping[str, Any]) -> Iterable[Vote]:
    for name, choice in sorted(sheet.choices.items()):
        question = key["questions"][name]
        if "catch" not in question and choice != "broken":
            yield Vote(sheet.rater, name, question["case_id"], question["a"], question["b"], choice)
