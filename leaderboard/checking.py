"""Checks on the lines of a results folder that a page, a verification and a submission all rest on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from motionbench.errors import StoreError
from motionbench.manifest import CASE_ID
from motionbench.record import Record, Score

SHA256 = re.compile(r"[0-9a-f]{64}")
Rule = tuple[str, Callable[[Any], bool], str]


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive_or_none(value: Any) -> bool:
    return value is None or (_finite(value) and value >= 0)


def _finite_or_none(value: Any) -> bool:
    return value is None or _finite(value)


RECORD_RULES: tuple[Rule, ...] = (
    *((name, _text, "a word") for name in ("key", "run_id", "method", "backbone", "config_hash", "split", "created")),
    ("split_revision", _text, "a word"),
    ("case_id", lambda v: _text(v) and CASE_ID.fullmatch(v) is not None, "category/NNNN/n"),
    ("seed", _whole, "a whole number"),
    ("status", lambda v: v in ("ok", "failed"), "`ok` or `failed`"),
    ("error", lambda v: v is None or isinstance(v, str), "a text or null"),
    ("video_sha256", lambda v: v is None or (_text(v) and SHA256.fullmatch(v) is not None), "64 hex digits or null"),
    *((name, _positive_or_none, "a number or null") for name in ("fit_seconds", "generate_seconds")),
    ("peak_memory_bytes", _positive_or_none, "a number or null"),
)
SCORE_RULES: tuple[Rule, ...] = (
    *((name, _text, "a word") for name in ("record_key", "metric")),
    ("metric_version", _whole, "a whole number"),
    ("value", _finite_or_none, "a finite number or null"),
    ("note", lambda v: isinstance(v, str), "a text"),
    ("details", lambda v: isinstance(v, dict), "an object"),
    ("seconds", _positive_or_none, "a number"),
)


def check_records(records: Iterable[Record], configuration: dict[str, Any], where: str) -> None:
    """Raises StoreError at the first record that is malformed, contradicts itself, or contradicts run.json."""
    for record in records:
        label = f"{where}: record {record.case_id!r} seed {record.seed!r}"
        _check(record, RECORD_RULES, label)
        for problem in (*_record_contradictions(record), *_contradictions(record, configuration)):
            raise StoreError(f"{label}: {problem}; the folder contradicts itself, so run the case again elsewhere")


def check_scores(scores: Iterable[Score], where: str) -> None:
    """Raises StoreError at the first score that is malformed; NaN and infinity are no values."""
    for score in scores:
        _check(score, SCORE_RULES, f"{where}: score {score.metric!r} of record {score.record_key!r}")


def _check(noun: Any, rules: Iterable[Rule], label: str) -> None:
    for name, holds, expected in rules:
        value = getattr(noun, name)
        if not holds(value):
            raise StoreError(f"{label}: {name} must be {expected}, got {value!r}; mend or remove the line")


def _record_contradictions(record: Record) -> Iterable[str]:
    if record.status == "ok" and record.reason is not None:
        yield f"status is ok, and yet it has the reason {record.reason}"
    if record.status == "ok" and (record.video is None or record.video_sha256 is None):
        yield "status is ok, and yet it names no video with a checksum"
    if record.status == "failed" and record.reason is None:
        yield "status is failed, and yet it gives no reason"
    if record.category != record.case_id.partition("/")[0]:
        yield f"category {record.category!r} is not that of its case"


def _contradictions(record: Record, configuration: dict[str, Any]) -> Iterable[str]:
    for name in ("method", "backbone", "config_hash", "split", "split_revision"):
        if name in configuration and getattr(record, name) != configuration[name]:
            yield f"{name} is {getattr(record, name)!r}, and run.json says {configuration[name]!r}"
