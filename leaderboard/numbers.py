"""The numbers of a board: for every prompt level and category what `summary` and `comparison` say, and the ranks.

Nothing is averaged here or on the page: each view that a reader can choose was computed by the core beforehand.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from motionbench.comparison import compare
from motionbench.metric import MetricInfo, headline_of
from motionbench.record import Row
from motionbench.summary import ALL, Attempts, category_of, cost, normalize, summarize

from .boards import Board
from .merging import Entry
from .ranks import rank_methods

BACKBONE = "backbone"  # the control that everything is shown relative to

View = dict[str, dict[str, Any]]  # entry id -> its cells


def board_views(board: Board) -> dict[str, View]:
    """`level|category` -> entry id -> rows, differences to the backbone, cost, and rank."""
    views: dict[str, View] = {}
    for level in board.levels:
        attempts = {entry.id: board.attempts(entry, level) for entry in board.entries}
        for category in board.categories:
            views[f"{level}|{category}"] = {entry.id: {"metrics": {}, "relative": {}} for entry in board.entries}
        _add_rows(views, board, attempts, level)
        _add_differences(views, board, attempts, level)
        _add_ranks(views, board, attempts, level)
    return views


def _add_rows(views: dict[str, View], board: Board, attempts: dict[str, Attempts], level: str) -> None:
    controls = {e.method: attempts[e.id] for e in reversed(board.entries) if e.facts.is_control}
    for entry in board.entries:
        own_attempts = attempts[entry.id]
        for row in summarize(own_attempts, controls, board.infos):
            view = views[f"{level}|{row.category}"][entry.id]
            view["metrics"][row.metric] = row_to_json(row, board.infos[row.metric])
        for category in board.categories:
            records = [r for r in own_attempts.records if category in (ALL, r.category)]
            views[f"{level}|{category}"][entry.id]["cost"] = asdict(cost(records))
            views[f"{level}|{category}"][entry.id]["attempts"] = _counts(entry, board, level, category)


def row_to_json(row: Row, info: MetricInfo) -> dict[str, Any]:
    """A published number as JSON, with the interval on the normalized scale too (floor and ceiling taken as fixed)."""
    low, high = _normalized_ends(row, info)
    return {
        "mean": row.mean,
        "low": row.low,
        "high": row.high,
        "floor": row.floor,
        "ceiling": row.ceiling,
        "normalized": row.normalized,
        "normalized_low": low,
        "normalized_high": high,
        "n": row.n,
        "n_failed": row.n_failed,
        "support": row.support,
        "signed": row.signed,
    }


def _normalized_ends(row: Row, info: MetricInfo) -> tuple[float | None, float | None]:
    """The interval on the normalized scale."""
    if row.low is None or row.high is None:
        return None, None
    ends = [end for value in (row.low, row.high) if (end := normalize(value, row.floor, row.ceiling, info)) is not None]
    return (min(ends), max(ends)) if ends else (None, None)


def _counts(entry: Entry, board: Board, level: str, category: str) -> dict[str, int | bool | None]:
    """Attempts done, failed and planned in one view, and whether none is missing."""
    statuses = [r.status for r in entry.records if board.holds(r.case_id, level, category)]
    planned = None if entry.planned is None else sum(board.holds(name, level, category) for name, _ in entry.planned)
    counts = {"done": statuses.count("ok"), "failed": statuses.count("failed"), "planned": planned}
    return {**counts, "complete": board.complete(entry, level, category)}


def _add_differences(views: dict[str, View], board: Board, attempts: dict[str, Attempts], level: str) -> None:
    backbones = [entry for entry in board.entries if entry.method == BACKBONE]
    if len(backbones) != 1:
        return
    for entry in board.entries:
        if entry is backbones[0]:
            continue
        for gap in compare(attempts[entry.id], attempts[backbones[0].id], list(board.infos)):
            if gap.difference is not None:
                cell = {"difference": gap.difference, "low": gap.low, "high": gap.high, "pairs": gap.n_pairs}
                views[f"{level}|{gap.category}"][entry.id]["relative"][gap.metric] = cell


def _add_ranks(views: dict[str, View], board: Board, attempts: dict[str, Attempts], level: str) -> None:
    """Ranks of the methods by their mean in the headline metric. Who is unfinished has none, and pushes nobody down."""
    headline = headline_of(board.infos)
    if headline is None:
        return
    methods = [entry.id for entry in board.entries if not entry.facts.is_control]
    for category in board.categories:
        view = views[f"{level}|{category}"]
        for name in methods:
            view[name].update(rank=None, rank_low=None, rank_high=None)
        ranked = {
            name: {
                case: value
                for case, value in attempts[name].case_values(headline).items()
                if category in (ALL, category_of(case))
            }
            for name in methods
            if view[name]["attempts"]["complete"] and view[name]["metrics"].get(headline, {}).get("mean") is not None
        }
        for name, rank in rank_methods(ranked, board.infos[headline]).items() if ranked else ():
            view[name].update(rank=rank.place, rank_low=rank.low, rank_high=rank.high)
