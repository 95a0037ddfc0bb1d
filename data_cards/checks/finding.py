"""Finding: one thing wrong with a split, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """An error makes the split unfit; a warning is for a person to judge."""

    ERROR = "error"
    WARNING = "warning"


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
        return f"{self.severity}  {self.kind}  {self.where}  {self.message}" + (f"  [{place}]" if place else "")
