"""The exam's result as a Markdown page and as one self-contained plotly page."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from motionbench.world import Corruption

from .exam import CONTROLS, SETTINGS
from .exam_report import Estimate, MetricReport


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.mean:.3f}"
    return f"**{estimate.mean:.3f}** [{estimate.low:.3f}, {estimate.high:.3f}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def to_markdown(reports: Sequence[MetricReport], corruptions: Sequence[Corruption], facts: Mapping[str, Any]) -> str:
    """The page for docs/results. facts: command, split, references, machine and the like, printed as they are."""
    trackers = sorted({report.tracker for report in reports})
    parts = [
        "# The metrics' exam",
        "Perfect transfers are rendered from the ground truth and spoiled by degrees; a good metric falls in step. "
        "*rho*: Spearman's rank correlation between the strength of a corruption and the loss of score, mean over the "
        "corruptions that the metric is there to notice. *Pairs*: how often the less corrupted of two clips wins (0.5: "
        "by chance). Means over references, categories weighing the same, with 95% bootstrap intervals over them.",
        "\n".join(f"- {name}: {value}" for name, value in facts.items()),
    ]
    for tracker in trackers:
        own = [report for report in reports if report.tracker == tracker]
        parts += [f"## Tracks: {tracker}", _summary_table(own)]
        parts += ["### rho by corruption", _corruption_table(own, corruptions)]
        parts += ["### Sensitivity to settings", _SENSITIVITY, _sensitivity_table(own)]
    told = [(c.name, c.kind, " ".join(c.summary.split())) for c in corruptions]
    parts += ["## The corruptions", _table(("corruption", "kind", "what it does"), told)]
    return "\n\n".join(parts) + "\n"


_SENSITIVITY = (
    "Mean change of the score of the perfect transfer / of its reversal when both clips are scored at 9 frames instead "
    "of 17, at 128 pixels instead of 64, or with another grid of points than 20 x 20."
)


def _summary_table(reports: Sequence[MetricReport]) -> str:
    names = ("perfect", *CONTROLS)
    rows = [
        (
            f"`{r.metric}` v{r.version}", _interval(r.rho), _interval(r.accuracy),
            *(_number(r.controls.get(name), 3) for name in names if name != "swapped"),
            _number(r.swap, 3), _number(r.appearance_shift, 3), f"{r.missing[0]} of {r.missing[1]}",
        )
        for r in sorted(reports, key=lambda r: (-(r.rho.mean or 0), r.metric))
    ]  # fmt: skip
    controls = [name for name in names if name != "swapped"]
    return _table(
        ("metric", "rho", "pairs", *controls, "swap changes by", "appearance shifts by", "unmeasurable"), rows
    )


def _corruption_table(reports: Sequence[MetricReport], corruptions: Sequence[Corruption]) -> str:
    shown = [c.name for c in corruptions if any(c.name in r.by_corruption for r in reports)]
    rows = []
    for r in reports:
        found = (r.by_corruption.get(name) for name in shown)
        rows.append((f"`{r.metric}`", *("–" if pair is None else _number(pair[0]) for pair in found)))
    return _table(("metric", *shown), rows)


def _sensitivity_table(reports: Sequence[MetricReport]) -> str:
    rows = [
        (f"`{r.metric}`", *(" / ".join(_number(x, 3) for x in r.sensitivity[setting]) for setting in SETTINGS))
        for r in reports
    ]
    return _table(("metric", *SETTINGS), rows)


def to_page(reports: Sequence[MetricReport], corruptions: Sequence[Corruption], title: str) -> str:
    """One HTML file that opens from disk: a heat map of rho per tracker, and each metric's curves over strength."""
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs

    figures: list[Any] = []
    for tracker in sorted({r.tracker for r in reports}):
        own = [r for r in reports if r.tracker == tracker]
        figures.append(_heat_map(go, own, corruptions, tracker))
        figures += [_curves(go, r) for r in own]
    drawn = [figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><script>{get_plotlyjs()}</script>'
    style = "<style>body{font-family:sans-serif;margin:2em;max-width:70em}</style>"
    body = f"<h1>{html.escape(title)}</h1>" + "\n".join(drawn)
    return f'<!doctype html><html lang="en"><head>{head}{style}</head><body>{body}</body></html>\n'


def _heat_map(go: Any, reports: Sequence[MetricReport], corruptions: Sequence[Corruption], tracker: str) -> Any:
    names = [c.name for c in corruptions]
    values = [[r.by_corruption[n][0] if n in r.by_corruption else None for n in names] for r in reports]
    text = [["" if v is None else f"{v:.2f}" for v in row] for row in values]
    figure = go.Figure(go.Heatmap(
        z=values, x=names, y=[r.metric for r in reports], zmin=-1, zmax=1, colorscale="RdBu", text=text,
        texttemplate="%{text}", hovertemplate="%{y}, %{x}: rho %{z:.3f}<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        title=f"rho with the strength of corruption, tracks: {tracker}", height=120 + 40 * len(reports)
    )
    return figure


def _curves(go: Any, report: MetricReport) -> Any:
    figure = go.Figure()
    for name, points in report.curves.items():
        if points:
            figure.add_scatter(x=[s for s, _ in points], y=[v for _, v in points], name=name, mode="lines+markers")
    title = f"{report.metric}, tracks: {report.tracker}"
    figure.update_layout(title=title, xaxis_title="strength", yaxis_title="mean score", height=380)
    return figure


def to_json(reports: Sequence[MetricReport]) -> list[dict[str, Any]]:
    """Everything the pages show, as JSON values."""
    from dataclasses import asdict

    found: list[dict[str, Any]] = json.loads(json.dumps([asdict(report) for report in reports]))
    return found
