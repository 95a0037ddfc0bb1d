"""Finding: one thing wrong with a split, for people and for machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error makes the split unfit; a warning is for a person to judge; a note is good to know, and no fault."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing wrong. kind: one word for what; where: a case, a reference, a category, or the split.

    file: the file in which it shows; line: of a manifest, from 1; message: expected, actual, and the mend.
    """

    kind: str
    where: str
    message: str
    file: str = ""
    line: int | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        text = f"{self.severity}  {self.kind}  {self.where}  {self.message}" + (f"  [{place}]" if place else "")
        # A manifest is somebody's: neither a line end nor a terminal's control sequence in it gets through.
        return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def group_findings(findings: Iterable[Finding], shown: int = 6) -> list[str]:
    """A line a finding, errors first and each kind together; of more than `shown` of a kind the rest is counted."""
    order = list(Severity)
    kinds: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for one in sorted(findings, key=lambda one: order.index(one.severity)):
        kinds[one.severity, one.kind].append(one)
    lines: list[str] = []
    for (severity, kind), members in kinds.items():
        lines += map(str, members[:shown])
        if len(members) > shown:
            lines.append(f"{severity}  {kind}  and {len(members) - shown} more; --json lists them all")
    return lines
