"""The same tables for notebooks: HTML in which every word from outside is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from motionbench.comparison import Difference
from motionbench.summary_file import Summary
from motionbench.table import interval, metric_title, notes, number

_CELL = 'style="padding:.15em .7em;text-align:left"'


def summary_to_html(summary: Summary) -> str:
    """The content of a `summary.json`: a line per metric and category, and what a reader must know."""
    run = summary.configuration
    title = f"{run['method']} · {run['backbone']} · {run['split']} {run['split_revision']}"
    rows = [
        (
            metric_title(summary.metrics[row.metric]),
            row.category,
            str(row.n),
            str(row.n_failed),
            interval(row.mean, row.low, row.high),
            number(row.floor),
            number(row.ceiling),
        )
        for row in summary.rows
    ]
    return to_html(title, ("metric", "category", "n", "failed", "mean [95%]", "floor", "ceiling"), rows, notes(summary))


def differences_to_html(differences: Iterable[Difference], a: str, b: str, lines: Iterable[str] = ()) -> str:
    """Paired differences a - b: a line per metric and category, and what a reader must know."""
    rows = [
        (
            *(d.metric, d.category, str(d.n_pairs), str(d.n_unpaired), number(d.a), number(d.b)),
            interval(d.difference, d.low, d.high, sign=True),
        )
        for d in differences
    ]
    return to_html(
        f"A = {a}, B = {b}", ("metric", "category", "pairs", "unpaired", "A", "B", "A − B [95%]"), rows, lines
    )


def to_html(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], lines: Iterable[str] = ()) -> str:
    """A table with a caption above and lines below it; everything is escaped."""
    head = "".join(f"<th {_CELL}>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td {_CELL}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    below = "".join(f"<p>{escape(line)}</p>" for line in lines)
    caption = f'<caption style="caption-side:top">{escape(title)}</caption>'
    # A class of its own: themes of sites dress up tables without one, too wide for a column.
    return f'<table class="motionbench">{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}'
