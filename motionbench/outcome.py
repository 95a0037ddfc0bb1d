"""What goes to a worker and what comes back: one type each, for this process, worker processes and a cluster alike.

Data flows one way. A worker reads nothing of a results folder and writes nothing into it: what a fit or an attempt left
comes back whole, and the process that the user started puts it in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from motionbench.record import Record

if TYPE_CHECKING:
    from motionbench.case import Unit

Files = Mapping[str, bytes]  # by path below a folder, with `/` between its parts


@dataclass(frozen=True)
class Order:
    """A unit to work on.

    adapter: the files of the fit that was kept for it, None if there is none. restarts: how often the unit was begun
    before, by workers that were lost.
    """

    unit: Unit
    adapter: Files | None = None
    restarts: int = 0

    @property
    def name(self) -> str:
        """The unit's name in lines for people."""
        return f"{self.unit.reference_id} seed {self.unit.seed}"

    def from_case(self, case_id: str) -> Order:
        """The order begun once more, without the cases before this one."""
        ids = [case.id for case in self.unit.cases]
        left = self.unit.cases[ids.index(case_id) :]
        return replace(self, unit=replace(self.unit, cases=left), restarts=self.restarts + 1)


@dataclass(frozen=True)
class Outcome:
    """What became of a fit or of an attempt at one case.

    adapter: the files of a fit that is to be kept. video: the bytes of the record's clip. record: the attempt; None
    for a fit, whose attempts are still to come. execution: by which of several equal paths the worker computed.
    """

    reference_id: str
    seed: int
    adapter: Files | None = None
    video: bytes | None = None
    record: Record | None = None
    execution: dict[str, dict[str, str]] = field(default_factory=dict)
