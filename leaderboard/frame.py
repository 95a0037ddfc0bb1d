"""The numbers of all boards as one pandas table, a line for each entry, view and metric: for notebooks and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .boards import Board
from .numbers import board_views
from .payload import role
from .privacy import without_paths

if TYPE_CHECKING:
    import pandas as pd

KEY = ["board", "entry"]


def boards_to_frame(boards: Iterable[Board]) -> pd.DataFrame:
    """What the page's tables hold, in full precision: mean with its interval, ends of the scale, counts, rank, cost.

    difference, difference_low, difference_high: paired with the backbone alone, where both have a value.
    """
    import pandas as pd

    boards = list(boards)
    about = pd.DataFrame([_about(board, entry) for board in boards for entry in board.entries])
    numbers = pd.DataFrame([line for board in boards for line in _lines(board)])
    return numbers if numbers.empty else about.merge(numbers, on=KEY, validate="one_to_many").drop(columns=KEY)


def _about(board: Board, entry: Any) -> dict[str, Any]:
    return {
        "board": board.id, "entry": entry.id, "backbone": board.key.backbone, "split": without_paths(board.key.split),
        "split_revision": board.key.revision, "version": board.key.version, "tracker": board.tracker,
        "method": entry.method, "label": board.labels[entry.id], "role": role(board, entry),
        "license": entry.facts.license, "gate": entry.facts.gate,
    }  # fmt: skip


def _lines(board: Board) -> Iterable[dict[str, Any]]:
    for name, view in board_views(board).items():
        level, _, category = name.partition("|")
        for entry, cells in view.items():
            rank = {key: cells.get(key) for key in ("rank", "rank_low", "rank_high")}
            for metric, row in cells["metrics"].items():
                gap = cells["relative"].get(metric, {})
                differences = {
                    "difference": gap.get("difference"), "difference_low": gap.get("low"),
                    "difference_high": gap.get("high"),
                }  # fmt: skip
                place = {"board": board.id, "entry": entry, "level": level, "category": category, "metric": metric}
                yield place | row | differences | rank | cells["cost"]
