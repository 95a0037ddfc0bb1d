"""The reversed-reference gate's verdicts, as the package of a method states them; reading them imports nothing heavy.

A verdict says whether the method's output follows the direction of its reference. It stands in a file `gate.json` in
the folder of the method's module, or in that of a package around it, as `motionbench gate score --write` writes
it: ours in `methods/gate.json`, another package's by the same rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from motionbench import registry
from motionbench.errors import StoreError
from motionbench.schema import to_current

GATE_FILE = "gate.json"
SHOWN = (
    "difference", "low", "high", "n_references", "n_failed", "metric", "metric_version", "tracker",
    "backbone", "preset", "config_hash", "date",
)  # fmt: skip
NOT_RUN = "the reversed-reference gate was not run"

State = Literal["passed", "unvalidated", "exempt"]


@dataclass(frozen=True)
class Gate:
    """Where a method stands. note: why, with numbers; verdict: all that the file says, {} where there is none."""

    state: State
    note: str
    verdict: Mapping[str, Any]

    @property
    def mark(self) -> str:
        """What is put behind a method's line: "" for what is exempt."""
        if self.state == "exempt":
            return ""
        return "gate passed" if self.state == "passed" else f"unvalidated: {self.note}"

    def to_json(self) -> dict[str, Any]:
        """The state, the note, and the numbers behind it."""
        shown = {key: self.verdict[key] for key in SHOWN if key in self.verdict}
        return {"state": self.state, "note": self.note, **shown}


@dataclass(frozen=True)
class GateFile:
    """What a package says of its methods: verdicts by name, and those that are nothing to put to the gate."""

    methods: Mapping[str, Mapping[str, Any]]
    exempt: tuple[str, ...] = ()  # yardsticks, and clips made elsewhere


def gate_of(method: str, configuration: Mapping[str, Any] | None = None) -> Gate:
    """The verdict on a method; unvalidated where no file has one, or where the file is malformed.

    configuration: that of a run; the note then says if the verdict is on other settings or another backbone.
    """
    try:
        files = [read_gate_file(path) for path in _files(method)]
        if any(method in file.exempt for file in files):
            return Gate("exempt", "", {})
        verdicts = [file.methods[method] for file in files if method in file.methods]
    except StoreError as error:  # a plugin's broken file costs its method the mark, not everybody the list
        return Gate("unvalidated", str(error), {})
    return verdict_to_gate(verdicts[0], configuration) if verdicts else Gate("unvalidated", NOT_RUN, {})


def verdict_to_gate(verdict: Mapping[str, Any], configuration: Mapping[str, Any] | None = None) -> Gate:
    """A verdict from the file as the state that is shown."""
    differs = configuration is not None and any(
        configuration.get(key) != verdict.get(key) for key in ("config_hash", "backbone", "backbone_revision")
    )
    note = _note(verdict) + (", with other settings than here" if differs else "")
    return Gate("passed" if verdict["passed"] else "unvalidated", note, verdict)


def _note(verdict: Mapping[str, Any]) -> str:
    difference, low, high = (verdict.get(key) for key in ("difference", "low", "high"))
    around = "" if low is None or high is None else f" [{low:+.2f}, {high:+.2f}]"
    value = "could not be measured" if difference is None else f"follows the direction by {difference:+.2f}{around}"
    failed = f", {verdict['n_failed']} clips failed" if verdict.get("n_failed") else ""
    few = " from one reference, and an interval takes two" if verdict.get("n_references") == 1 else ""
    return f"{value}{few}{failed} on {verdict.get('backbone', '?')}"


def _files(method: str) -> list[Path]:
    """The gate files in the folder of a method's module and in those of the packages around it, nearest first."""
    places = [folder / GATE_FILE for folder in registry.folders("methods", method)]
    return [place for place in places if place.is_file()]


def read_gate_file(path: Path) -> GateFile:
    """A package's gate file. Raises StoreError if it is not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        file = GateFile(dict(value["methods"]), tuple(map(str, value.get("exempt", ()))))
        for name, verdict in file.methods.items():
            if not isinstance(verdict["passed"], bool):
                raise ValueError(f"`passed` of {name} is {verdict['passed']!r}, not true or false")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{path}: expected the file that `motionbench gate score --write` makes ({error!r})"
        ) from error
    to_current("gate", value, path)
    return file
