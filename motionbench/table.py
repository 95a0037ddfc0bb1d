"""Tables for people: whole in 80 columns, every mean with its interval, every count beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby

import typer

from motionbench import terminal
from motionbench.comparison import Difference
from motionbench.metric import MetricInfo
from motionbench.record import Row
from motionbench.summary_file import Summary

ABSENT = "–"
INDENT = 1  # of the rows below a section's name
UNVALIDATED = "†"  # behind the name of a method that has not passed the reversed-reference gate
BETTER = {
    "higher": ("↑", "higher is better"),
    "lower": ("↓", "lower is better"),
    "zero": ("→0", "closest to 0 is best"),
    "none": ("", "no sign: neither more nor less is better"),
}


@dataclass
class Table:
    """Rows of cells under named sections; the first column stands left, numbers stand right."""

    columns: tuple[str, ...]
    title: str = ""
    sections: list[tuple[str, list[tuple[str, ...]]]] = field(default_factory=list)

    def section(self, name: str) -> list[tuple[str, ...]]:
        """The rows, none yet, of a new section."""
        rows: list[tuple[str, ...]] = []
        self.sections.append((name, rows))
        return rows

    def render(self, width: int) -> str:
        """The text in at most `width` columns: no cell is cut; what does not fit side by side stands line by line."""
        rows = [self.columns, *(row for _, rows in self.sections for row in rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.columns))]
        for gap in (3, 2, 1):
            if INDENT + sum(widths) + gap * (len(widths) - 1) <= width:
                return self._side_by_side(widths, " " * gap, width)
        return self._line_by_line(width)

    def _side_by_side(self, widths: list[int], gap: str, width: int) -> str:
        def line(row: tuple[str, ...]) -> str:
            cells = (cell.rjust(wide) for cell, wide in zip(row[1:], widths[1:], strict=True))
            return " " * INDENT + gap.join((row[0].ljust(widths[0]), *cells))

        head = line(self.columns)
        lines = [*_fill(self.title, width), *[""] * bool(self.title), head, "─" * len(head)]
        for name, rows in self.sections:
            lines += ["", *_fill(name, width), *map(line, rows)]
        return "\n".join(lines)

    def _line_by_line(self, width: int) -> str:
        lines = _fill(self.title, width)
        for name, rows in self.sections:
            lines += ["", *_fill(name, width)]
            for row in rows:
                pairs = ", ".join(f"{column} {cell}" for column, cell in zip(self.columns[1:], row[1:], strict=True))
                lines += _fill(f"{row[0]}: {pairs}", width, INDENT)
        return "\n".join(lines)


def _fill(text: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * 2 * indent)


def print_summary(summary: Summary, asked: int | None = None) -> None:
    """Prints the content of a `summary.json` on stdout. asked: the number of cases that the command chose."""
    typer.echo(summary_table(summary).render(terminal.width()) + "\n")
    for line in [*scope(summary, asked), *notes(summary)]:
        typer.echo(terminal.fill(line))


def print_differences(differences: Sequence[Difference], a: str, b: str) -> None:
    """Prints paired differences on stdout."""
    typer.echo(f"A = {a}\nB = {b}\n")
    typer.echo(differences_table(differences).render(terminal.width()))


def summary_table(summary: Summary) -> Table:
    """A section per metric, a line per category, `all` (their macro mean) last."""
    run = summary.configuration
    mark = f" {UNVALIDATED}" if is_unvalidated(summary) else ""
    title = f"{run['method']}{mark} · {run['backbone']} · {run['split']} {run['split_revision']}"
    columns = ("category", "n", "failed", "mean [95%]", "floor", "ceiling", "normalized")
    supported = _says_support(summary)
    table = Table((*columns, "kept") if supported else columns, title)
    for metric, group in groupby(summary.rows, key=lambda row: row.metric):
        rows = list(group)
        models = summary.models.get(metric, ())
        section = table.section(metric_title(summary.metrics[metric], models) + _with_sign(rows))
        for row in rows:
            mean = interval(row.mean, row.low, row.high)
            counts = (str(row.n), str(row.n_failed), mean)
            ends = (number(row.floor), number(row.ceiling), number(row.normalized))
            kept = (share(row.support),) if supported else ()
            section.append((row.category, *counts, *ends, *kept))
    return table


def _with_sign(rows: Sequence[Row]) -> str:
    """The signed means of a metric of which closest to zero is best, whose rows are of distances; else nothing."""
    means = [f"{row.category} {number(row.signed, sign=True)}" for row in rows if row.signed is not None]
    return f"; with sign: {', '.join(means)}" if means else ""


def differences_table(differences: Iterable[Difference]) -> Table:
    """A section per metric, a line per category."""
    table = Table(("category", "pairs", "unpaired", "A", "B", "A − B [95%]"))
    for metric, rows in groupby(differences, key=lambda row: row.metric):
        section = table.section(metric)
        for row in rows:
            gap = interval(row.difference, row.low, row.high, sign=True)
            section.append((row.category, str(row.n_pairs), str(row.n_unpaired), number(row.a), number(row.b), gap))
    return table


def scope(summary: Summary, asked: int | None) -> list[str]:
    """Of which cases the table speaks: all on record, which may be more than were asked for this time."""
    counts = summary.on_record
    if counts is None:  # a summary of an earlier version
        return []
    line = f"Of all {counts.cases} cases of {counts.references} references on record in this folder"
    return [f"{line}; this command asked for {asked} of them." if asked not in (None, counts.cases) else f"{line}."]


def notes(summary: Summary) -> list[str]:
    """What a reader of the table must know: where an interval is missing and why, what is null, what the run cost."""
    rows = summary.rows
    directions = sorted({info.better for info in summary.metrics.values()})
    lines = [", ".join(" ".join(BETTER[better]).strip() for better in directions) + "."]
    if any(row.signed is not None for row in rows):
        lines.append(
            "Where closest to 0 is best, means are of distances from 0; those with sign stand beside the name."
        )
    if any(row.mean is not None and row.low is None for row in rows):
        lines.append("No interval where a category has fewer than two references: one clip says nothing of the spread.")
    if any(row.n_failed for row in rows):
        lines.append("`failed` counts failed cases and values that could not be measured; none of them is a zero.")
    if _says_support(summary):
        lines.append(
            "`kept`: share of the tracked points that stay in sight, in the clip of each pair that keeps fewer."
        )
    for kind, bases in {"trackers": summary.trackers, "models": summary.models}.items():
        for metric, names in bases.items():
            if len(names) > 1:
                lines.append(f"{metric} mixes {kind} ({', '.join(names)}), which do not compare: score again with one.")
    if is_unvalidated(summary):
        lines.append(f"{UNVALIDATED} unvalidated: {summary.gate['note']}.")
    cost = {key: value for key, value in asdict(summary.cost).items() if value is not None}
    words = {"fit_seconds": "{:.1f} s per fit", "generate_seconds": "{:.1f} s per clip"}
    paid = [words[key].format(value) for key, value in cost.items() if key in words]
    if "peak_memory_bytes" in cost:
        paid.append(f"{cost['peak_memory_bytes'] / 2**30:.1f} GiB at most")
    return [*lines, "Cost: " + ", ".join(paid) + "."] if paid else lines


def is_unvalidated(summary: Summary) -> bool:
    """True for a method that has not passed the gate; False where a summary of an earlier version does not say."""
    return bool(summary.gate.get("state") == "unvalidated")


def metric_title(info: MetricInfo, models: Sequence[str] = ()) -> str:
    """`text_alignment v1 ↑ (tiny-clip)`: name, version, the direction that is better, and the model, if it has one."""
    by = f" ({', '.join(model.rpartition(' ')[0] for model in models)})" if models else ""
    return f"{info.name} v{info.version} {BETTER[info.better][0]}".rstrip() + by


def share(value: float | None) -> str:
    """`92%`, or a dash for a missing value."""
    return ABSENT if value is None else f"{value:.0%}"


def _says_support(summary: Summary) -> bool:
    return any(row.support is not None for row in summary.rows)


def interval(mean: float | None, low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`0.81 [0.74, 0.87]`; the mean alone where there is no interval."""
    if mean is None or low is None or high is None:
        return number(mean, sign=sign)
    return f"{number(mean, sign=sign)} [{number(low, sign=sign)}, {number(high, sign=sign)}]"


def number(value: float | None, *, sign: bool = False) -> str:
    """Three digits behind the point, or a dash for a missing value."""
    if value is None:
        return ABSENT
    return f"{round(value, 3) + 0.0:{'+' if sign else ''}.3f}"  # + 0.0: no "-0.000"
