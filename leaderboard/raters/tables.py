"""What the commands print, 80 columns wide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from motionbench.errors import StoreError
from motionbench.summary import ALL
from motionbench.table import ABSENT

from ..boards import Board
from .agreement import Consistency, Decided
from .strengths import Strength

NAME = 34  # characters of a name


def strength_lines(strengths: Sequence[Strength]) -> list[str]:
    """One line a system, best first."""
    lines = [f"{'system':{NAME}s} rank  score [95%]           preferred  votes"]
    lines += [
        f"{_cut(one.system):{NAME}s} {one.rank:4d}  {_interval(one.score, one.low, one.high, '+.2f'):20s}  "
        f"{one.preferred:9.1%}  {one.votes:5d}"
        for one in strengths
    ]
    return lines


def consistency_lines(consistency: Consistency) -> list[str]:
    """Two lines on the raters among themselves."""
    alpha = ABSENT if consistency.alpha is None else f"{consistency.alpha:.2f}"
    same = ABSENT if consistency.same_answer is None else f"{consistency.same_answer:.0%}"
    return [
        f"raters among themselves: Krippendorff's alpha {alpha}, same answer {same}",
        f"({consistency.questions} questions with two answers or more, {consistency.answers} answers)",
    ]


def decided_lines(decided: Sequence[Decided]) -> list[str]:
    """One line a judge and category; `all` alone where there is but one category."""
    lines = [f"{'decides as the raters did':{NAME}s}  share [95%]        refs  questions  missing"]
    for one in decided:
        name = _cut(one.judge) if one.category == ALL else f"  {one.category}"
        lines.append(
            f"{name:{NAME}s}  {_interval(one.share, one.low, one.high, '.2f'):18s} {one.n_references:4d}  "
            f"{one.n_questions:9d}  {one.n_missing:7d}"
        )
    split = max((one.n_split for one in decided), default=0)
    return [*lines, f"left out: {split} questions on which the raters are split evenly"] if split else lines


def board_of(boards: Sequence[Board], records: Mapping[str, Mapping[str, str]]) -> Board:
    """The board that holds every record the raters saw. Raises StoreError if there is none."""
    wanted = {key for sides in records.values() for key in sides.values()}
    for board in boards:
        keys = {record.key for entry in board.entries for record in entry.records}
        if wanted <= keys:
            return board
    raise StoreError("these results do not hold the clips that the raters saw; give the folders the kit was made of")


def _cut(text: str) -> str:
    return text if len(text) <= NAME else f"{text[: NAME - 1]}…"


def _interval(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None:
        return ABSENT
    return f"{value:{form}}" if low is None or high is None else f"{value:{form}} [{low:{form}}, {high:{form}}]"
