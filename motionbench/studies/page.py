"""A study as one HTML page that opens from disk: its tables, and plots drawn by plotly."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from motionbench.errors import MissingExtra
from motionbench.metric import MetricInfo
from motionbench.summary import ALL

from .declaration import Sweep
from .report import StudyReport
from .tables import ReportTable, facts_line, headline, name_of, report_tables

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --ground: #fff; --line: #d5dae0; --quiet: #5b6570; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf0; --ground: #12161b; --line: #323a44; --quiet: #9ba6b3; } }
body { margin: 0 auto; max-width: 1200px; padding: 16px; color: var(--ink); background: var(--ground);
  font: 15px/1.5 system-ui, sans-serif; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: 5px 10px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.quiet { color: var(--quiet); }
.plot { background: #fff; border-radius: 8px; margin: 12px 0; }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; padding: 10px; font-size: 12px; }
"""
MARGIN = {"l": 60, "r": 20, "t": 50, "b": 50}
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def to_page(report: StudyReport, command: str) -> str:
    """The whole page. Names, titles and errors are text: none of them can become markup."""
    study = report.study
    body = [f"<h1>{html.escape(study.title)}</h1>"]
    body += [f"<p>{html.escape(part)}</p>" for part in study.about.split("\n\n") if part]
    body += [f'<p class="quiet">{html.escape(facts_line(report))}</p>']
    body += [f"<p>{html.escape(note)}</p>" for note in report.notes]
    figures = report_figures(report)
    tables = report_tables(report)
    body += [_section(table) for table in tables[:1]]
    body += [f'<div class="plot">{_drawn(figure, first=not number)}</div>' for number, figure in enumerate(figures)]
    body += [_section(table) for table in tables[1:]]
    body += [f"<h2>Made by</h2><pre>{html.escape(command)}</pre><pre>{html.escape(study.text.strip())}</pre>"]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">'
        f"<title>{html.escape(study.title)}</title><style>{STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _section(table: ReportTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.head)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="quiet">{html.escape(table.note)}</p>' if table.note else ""
    title = html.escape(table.title)
    grid = f'<table aria-label="{title}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<h2>{title}</h2>{note}<div class="wide">{grid}</div>'


def _drawn(figure: Any, *, first: bool) -> str:
    """A figure as HTML; the first brings plotly's own script along."""
    from plotly.io import to_html

    drawn: str = to_html(figure, full_html=False, include_plotlyjs=first, config={"responsive": True})
    return drawn


def report_figures(report: StudyReport) -> list[Any]:
    """plotly figures: variants and contrasts with their intervals, and a curve for each sweep."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise MissingExtra("the page of a study needs plotly; pip install plotly") from error
    main = headline(report)
    figures = [_variants(go, report, main), _contrasts(go, report, main)]
    figures += [_curve(go, report, sweep, info) for sweep in report.study.sweeps for info in report.infos.values()]
    return [figure for figure in figures if figure is not None]


def _bars(lows: Sequence[float | None], means: Sequence[float], highs: Sequence[float | None]) -> dict[str, Any]:
    """Interval ends as plotly wants them: distances from the mean."""
    up = [0.0 if high is None else high - mean for mean, high in zip(means, highs, strict=True)]
    down = [0.0 if low is None else mean - low for mean, low in zip(means, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down}


def _points(go: Any, title: str, names: Sequence[str], ends: Sequence[tuple[Any, Any, Any]]) -> Any:
    """One point with its interval for each name, the first on top."""
    means = [float(mean) for mean, _, _ in ends]
    bars = _bars([low for _, low, _ in ends], means, [high for _, _, high in ends])
    labels = [html.escape(name) for name in names]
    figure = go.Figure(go.Scatter(x=means, y=labels, error_x=bars, mode="markers", marker={"size": 9}))
    figure.update_layout(title=html.escape(title), template="none", height=110 + 26 * len(names), margin=MARGIN)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def _variants(go: Any, report: StudyReport, metric: str) -> Any:
    rows = [(r.title, row) for r in report.distinct if (row := r.rows.get((metric, ALL))) is not None]
    kept = [(title, (row.mean, row.low, row.high)) for title, row in rows if row.mean is not None]
    title = f"{metric}, all categories"
    return _points(go, title, [name for name, _ in kept], [ends for _, ends in kept]) if kept else None


def _contrasts(go: Any, report: StudyReport, metric: str) -> Any:
    differences = [(name_of(report, one), one.differences[metric, ALL]) for one in report.new_contrasts]
    kept = [(name, (one.difference, one.low, one.high)) for name, one in differences if one.difference is not None]
    if not kept:
        return None
    figure = _points(go, f"{metric}: paired differences", [name for name, _ in kept], [ends for _, ends in kept])
    figure.add_vline(x=0, line={"dash": "dot", "color": "#888"})
    return figure


def _curve(go: Any, report: StudyReport, sweep: Sweep, info: MetricInfo) -> Any:
    """A metric over the values of a setting: all categories with intervals, and each category alone."""
    figure = go.Figure()
    for category in (ALL, *report.categories):
        points = [
            (value, row)
            for value, name in zip(sweep.values, sweep.variants, strict=True)
            if (row := report.variants[name].rows.get((info.name, category))) is not None and row.mean is not None
        ]
        if not points:
            continue
        means = [float(row.mean) for _, row in points if row.mean is not None]
        bars = (
            _bars([row.low for _, row in points], means, [row.high for _, row in points]) if category == ALL else None
        )
        figure.add_scatter(
            x=[value for value, _ in points], y=means, error_y=bars, name=category, mode="lines+markers",
            line={"width": 3 if category == ALL else 1},
        )  # fmt: skip
    if not figure.data:
        return None
    title = f"{sweep.title}: {info.name}"
    figure.update_layout(
        title=html.escape(title), xaxis_title=html.escape(sweep.key), template="none", height=360, margin=MARGIN
    )
    if any(not _is_number(value) for value in sweep.values):
        figure.update_xaxes(type="category")
    return figure


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
