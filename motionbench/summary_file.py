"""Summary: the content of `summary.json`, the published rows with all that a reader must know of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Self

from motionbench.metric import MetricInfo
from motionbench.record import Reason, Record, Row
from motionbench.schema import SCHEMA


@dataclass(frozen=True)
class Cost:
    """Mean seconds and greatest memory of the attempts that succeeded; None where there is none."""

    fit_seconds: float | None = None
    generate_seconds: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Failure:
    """What is published of a failed attempt."""

    case_id: str
    seed: int
    reason: Reason | None
    error: str | None

    @classmethod
    def of(cls, record: Record) -> Self:
        """What is published of a record."""
        return cls(record.case_id, record.seed, record.reason, record.error)


@dataclass(frozen=True)
class Counts:
    """How many cases and references are on record."""

    cases: int
    references: int


@dataclass(frozen=True)
class Summary:
    """The content of `summary.json`.

    configuration: of the run. metrics: by name, as they were when they scored. rows: the method's; control_rows: the
    controls' on the same cases. trackers, models: what each metric's values rest on. on_record: all that is in the
    folder, whatever the last command asked for; None in a summary of an earlier version. gate: `Gate.to_json`.
    """

    configuration: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricInfo] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    control_rows: tuple[Row, ...] = ()
    trackers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    models: dict[str, tuple[str, ...]] = field(default_factory=dict)
    on_record: Counts | None = None
    gate: dict[str, Any] = field(default_factory=dict)
    cost: Cost = Cost()
    failures: tuple[Failure, ...] = ()
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """The summary as the file holds it."""
        return asdict(self)
