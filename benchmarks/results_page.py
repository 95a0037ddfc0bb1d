"""Write the tables of results folders as Markdown: no number in docs/results is typed by hand.

Example (the tables of docs/results/lite.md):
  python benchmarks/results_page.py results/lite-followyourmotion --against results/lite-backbone > table.md
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from motionbench.comparison import Difference, compare
from motionbench.scorer import metric_infos
from motionbench.store import ResultStore
from motionbench.summary import Attempts


def number(value: float | None) -> str:
    """A number with three places, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def interval(mean: float | None, low: float | None, high: float | None) -> str:
    """`mean [low, high]`."""
    return number(mean) if low is None or high is None else f"{number(mean)} [{number(low)}, {number(high)}]"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary_table(rows: list[dict[str, Any]]) -> str:
    """Every published number of a run, with floor, ceiling, normalized score and counts."""
    head = ["method", "metric", "category", "mean [95% interval]", "floor", "ceiling", "normalized", "n", "failed"]
    return table(
        head,
        (
            [
                row["method"],
                row["metric"],
                row["category"],
                interval(row["mean"], row["low"], row["high"]),
                number(row["floor"]),
                number(row["ceiling"]),
                number(row["normalised"]),
                str(row["n"]),
                str(row["n_failed"]),
            ]
            for row in rows
        ),
    )


def difference_table(differences: list[Difference]) -> str:
    """Paired differences with their intervals over references."""
    head = ["metric", "category", "a", "b", "a - b [95% interval]", "references", "pairs"]
    return table(
        head,
        (
            [
                d.metric,
                d.category,
                number(d.a),
                number(d.b),
                interval(d.difference, d.low, d.high),
                str(d.n_references),
                str(d.n_pairs),
            ]
            for d in differences
        ),
    )


def page(results: Path, against: list[Path]) -> str:
    """The tables of one run, and its paired differences to others."""
    store = ResultStore(results)
    summary = store.read_summary()
    if summary is None:
        raise SystemExit(f"{results} has no summary.json; run `motionbench score {results}`")
    infos = metric_infos(list(summary["metrics"]))
    parts = [
        summary_table(summary["rows"]),
        "Controls, on the same cases:\n\n" + summary_table(summary["control_rows"]),
    ]
    own = Attempts.read(store, infos)
    for other in against:
        theirs = Attempts.read(ResultStore(other), infos)
        title = f"Paired difference, a = `{own.method}`, b = `{theirs.method}`:"
        parts.append(f"{title}\n\n{difference_table(compare(own, theirs, list(infos)))}")
    cost = summary["cost"]
    parts.append("Cost: " + ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in cost.items()))
    trackers = {t for names in summary["trackers"].values() for t in names}
    versions = ", ".join(f"{name} v{info.version}" for name, info in infos.items())
    parts.append(f"Metrics: {versions}. Tracker: {', '.join(sorted(trackers))}.")
    return "\n\n".join(parts)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--against", type=Path, action="append", default=[])
    args = parser.parse_args()
    print(page(args.results, args.against))


if __name__ == "__main__":
    main()
