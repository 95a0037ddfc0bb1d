"""Tables for people: at most 100 columns wide, every mean with its interval, every count beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from motionbench.comparison import Difference

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDTH = 100
ABSENT = "–"
UNVALIDATED = "†"  # behind the name of a method that has not passed the reversed-reference gate
BETTER = {
    "higher": ("↑", "higher is better"),
    "lower": ("↓", "lower is better"),
    "zero": ("→0", "closest to 0 is best"),
}


def print_summary(summary: Mapping[str, Any]) -> None:
    """Prints the content of a `summary.json` on stdout."""
    console = _stdout()
    console.print(summary_table(summary), soft_wrap=False)
    for line in notes(summary):
        console.print(line, markup=False)


def print_differences(differences: Sequence[Difference], a: str, b: str) -> None:
    """Prints paired differences on stdout."""
    console = _stdout()
    console.print(f"A = {a}\nB = {b}", markup=False)
    console.print(differences_table(differences))


def summary_table(summary: Mapping[str, Any]) -> Table:
    """A section per metric, a line per category, `all` (their macro mean) last."""
    run = summary["configuration"]
    mark = f" {UNVALIDATED}" if is_unvalidated(summary) else ""
    title = f"{run['method']}{mark} · {run['backbone']} · {run['split']} {run['split_revision']}"
    table = _table(title, ("category", "n", "failed", "mean [95%]", "floor", "ceiling", "normalized"))
    for metric, rows in groupby(summary["rows"], key=lambda row: row["metric"]):
        models = summary.get("models", {}).get(metric, [])
        table.add_row(metric_title(summary["metrics"][metric], models), style="bold")
        for row in rows:
            cells = (str(row["n"]), str(row["n_failed"]), interval(row["mean"], row["low"], row["high"]))
            ends = (number(row["floor"]), number(row["ceiling"]), number(row["normalised"]))
            table.add_row(f"  {row['category']}", *cells, *ends)
        table.add_section()
    return table


def differences_table(differences: Iterable[Difference]) -> Table:
    """A section per metric, a line per category."""
    table = _table("", ("category", "pairs", "unpaired", "A", "B", "A − B [95%]"))
    for metric, rows in groupby(differences, key=lambda row: row.metric):
        table.add_row(metric, style="bold")
        for row in rows:
            gap = interval(row.difference, row.low, row.high, sign=True)
            pairs = (str(row.n_pairs), str(row.n_unpaired))
            table.add_row(f"  {row.category}", *pairs, number(row.a), number(row.b), gap)
        table.add_section()
    return table


def notes(summary: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know: where an interval is missing and why, what is null, what the run cost."""
    rows = summary["rows"]
    directions = sorted({info["better"] for info in summary["metrics"].values()})
    lines = [", ".join(" ".join(BETTER[better]) for better in directions) + "."]
    if any(row["mean"] is not None and row["low"] is None for row in rows):
        lines.append("No interval where a category has fewer than two references: one clip says nothing of the spread.")
    if any(row["n_failed"] for row in rows):
        lines.append("`failed` counts failed cases and values that could not be measured; none of them is a zero.")
    for kind in ("trackers", "models"):
        for metric, names in summary.get(kind, {}).items():
            if len(names) > 1:
                lines.append(f"{metric} mixes {kind} ({', '.join(names)}), which do not compare: score again with one.")
    if is_unvalidated(summary):
        lines.append(f"{UNVALIDATED} unvalidated: {summary['gate']['note']}.")
    cost = {key: value for key, value in summary["cost"].items() if value is not None}
    words = {"fit_seconds": "{:.1f} s per fit", "generate_seconds": "{:.1f} s per clip"}
    paid = [words[key].format(value) for key, value in cost.items() if key in words]
    if "peak_memory_bytes" in cost:
        paid.append(f"{cost['peak_memory_bytes'] / 2**30:.1f} GiB at most")
    return [*lines, "Cost: " + ", ".join(paid) + "."] if paid else lines


def is_unvalidated(summary: Mapping[str, Any]) -> bool:
    """True for a method that has not passed the gate; False where a summary of an earlier version does not say."""
    return bool(summary.get("gate", {}).get("state") == "unvalidated")


def metric_title(info: Mapping[str, Any], models: Sequence[str] = ()) -> str:
    """`text_alignment v1 ↑ (tiny-clip)`: name, version, the direction that is better, and the model, if it has one."""
    by = f" ({', '.join(model.rpartition(' ')[0] for model in models)})" if models else ""
    return f"{info['name']} v{info['version']} {BETTER[info['better']][0]}{by}"


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


def _table(title: str, columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=title or None, box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    return table


def _stdout() -> Console:
    from rich.console import Console

    # A pipe has no width of its own: without one, rich would take 80 and cut numbers short.
    console = Console(highlight=False)
    return console if console.is_terminal and console.width <= WIDTH else Console(highlight=False, width=WIDTH)
