"""What a score rests on besides its metric: the tracker and the model that its details name.

Values by two trackers, or by two models, are two numbers. They are never averaged, subtracted or put in one column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from motionbench.record import Score

KINDS = ("tracker", "model")  # keys of a score's details


@dataclass(frozen=True)
class Basis:
    """The trackers (`name vVERSION`) and models (`name HASH`) that values rest on; usually one or none of each."""

    trackers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    @classmethod
    def of(cls, scores: Iterable[Score]) -> Self:
        """Of scores of one metric; nulls rest on nothing."""
        details_of_values = [score.details for score in scores if score.value is not None]
        names = (frozenset(str(details[kind]) for details in details_of_values if kind in details) for kind in KINDS)
        return cls(*names)

    @property
    def mixed(self) -> bool:
        """True if the values are of several kinds, and so have no mean."""
        return len(self.trackers) > 1 or len(self.models) > 1

    def differs(self, other: Basis) -> bool:
        """True if values on the one and values on the other do not compare."""
        pairs = ((self.trackers, other.trackers), (self.models, other.models))
        return any(a and b and a != b for a, b in pairs)

    def __str__(self) -> str:
        """The names, trackers first."""
        return ", ".join([*sorted(self.trackers), *sorted(self.models)])
