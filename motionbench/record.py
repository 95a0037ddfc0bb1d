"""The nouns of a results folder: Record (one attempt), Score (one metric on one record), Row (one published number)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from motionbench.schema import SCHEMA

# Differ between two runs of one command; everything else is under the promise "same records, same scores".
RECORD_MEASUREMENTS = ("fit_seconds", "generate_seconds", "peak_memory_bytes", "created", "restarts")
SCORE_MEASUREMENTS = ("seconds",)


class Reason(StrEnum):
    """Why an attempt failed."""

    OOM = "oom"
    NAN = "nan"
    BAD_VIDEO = "bad_video"
    MISSING_WEIGHTS = "missing_weights"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"
    ERROR = "error"


@dataclass(frozen=True)
class Record:
    """One attempt at one case. key: hash of what determines the result (method, config, backbone, case, seed, ...).

    video: path below the results folder; video_sha256: of that file. Times in seconds, memory in bytes.
    created: ISO 8601, UTC. status `ok` has no reason; `failed` has one, and the error's text. restarts: how often its
    reference was begun again, since a worker was lost or memory ran out; like times, no part of what runs share.
    """

    key: str
    run_id: str
    method: str
    backbone: str
    config_hash: str
    split: str
    split_revision: str
    case_id: str
    category: str
    seed: int
    status: Literal["ok", "failed"]
    reason: Reason | None
    error: str | None
    video: str | None
    video_sha256: str | None
    fit_seconds: float | None
    generate_seconds: float | None
    peak_memory_bytes: int | None
    created: str
    restarts: int = 0
    schema: int = SCHEMA


@dataclass(frozen=True)
class Score:
    """One metric on one record; value None means not measurable, and note says why."""

    record_key: str
    metric: str
    metric_version: int
    value: float | None
    note: str
    details: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    schema: int = SCHEMA

    @property
    def support(self) -> float | None:
        """Share of the tracked points that stay in sight, in the clip that keeps fewer; None if it does not say."""
        tracks, points = self.details.get("tracks"), self.details.get("points")
        if not (isinstance(tracks, list) and isinstance(points, list) and len(tracks) == len(points) and points):
            return None
        return min(float(kept) / max(float(asked), 1.0) for kept, asked in zip(tracks, points, strict=True))


@dataclass(frozen=True)
class Row:
    """One published number: mean with its 95% percentile bootstrap interval over references.

    category is one of the four, or `all` (macro mean over categories).
    floor, ceiling: means of the control methods on the same cases.
    normalized = (mean - floor) / (ceiling - floor); None where a control is missing or both ends coincide.
    Where closest to zero is best, all of these are of the distances from zero, and signed is the mean of the values.
    n counts measured values, n_failed failed attempts and unmeasurable ones.
    support: mean share of the tracked points that stay in sight, in the clip of each pair that keeps fewer; None where
    a metric uses no tracks or does not say. A mean that rests on little support is a guess.
    """

    method: str
    category: str
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    floor: float | None
    ceiling: float | None
    normalized: float | None
    n: int
    n_failed: int
    support: float | None = None
    signed: float | None = None


def comparable(record: Record) -> dict[str, Any]:
    """The fields of a record that two runs of one command share: all but times, memory, date and restarts."""
    return {key: value for key, value in asdict(record).items() if key not in RECORD_MEASUREMENTS}


def comparable_score(score: Score) -> dict[str, Any]:
    """The fields of a score that two runs of one command share: all but its time."""
    return {key: value for key, value in asdict(score).items() if key not in SCORE_MEASUREMENTS}


def now() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def video_path(case_id: str, seed: int) -> str:
    """Where the video of a case lies below its results folder."""
    return f"videos/{case_id}--s{seed}.mp4"
