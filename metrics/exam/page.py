"""The exam's result as one self-contained plotly page, under 2 MB, and as JSON."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from typing import Any

from motionbench.world import Corruption

from .report import MetricReport
from .requirements import to_requirements

_STYLE = """
body{font-family:sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222}
table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}.no{color:#b00020}
"""
# The script and the figures travel compressed: plotly alone is 4.8 MB. Its letters are base 85, `<` written as `.`.
_UNPACK = """
const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;.=>?@^_`{|}~";
async function unpack(id) {
  const text = document.getElementById(id).textContent.trim(), bytes = new Uint8Array(text.length / 5 * 4);
  const value = Object.fromEntries([...letters].map((letter, i) => [letter, i]));
  for (let i = 0, at = 0; i < text.length; i += 5, at += 4) {
    let word = 0;
    for (let j = 0; j < 5; j++) word = word * 85 + value[text[i + j]];
    for (let j = 3; j >= 0; j--) { bytes[at + j] = word % 256; word = Math.floor(word / 256); }
  }
  const length = Number(document.getElementById(id).dataset.bytes);
  const stream = new Blob([bytes.slice(0, length)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}
(async () => {
  const script = document.createElement("script");
  script.textContent = await unpack("plotly");
  document.head.append(script);
  for (const figure of JSON.parse(await unpack("figures"))) {
    const place = document.createElement("div");
    document.getElementById("drawn").append(place);
    await Plotly.newPlot(place, figure.data, figure.layout, {responsive: true});
  }
  document.body.dataset.ready = "yes";
})().catch((error) => {
  document.getElementById("drawn").textContent = "This browser cannot draw the page: " + error;
});
"""


def to_page(reports: Sequence[MetricReport], corruptions: Sequence[Corruption], title: str) -> str:
    """One HTML file that opens from disk: the marks, a heat map of rho per tracker, each metric's curves."""
    import plotly.graph_objects as go
    from plotly.offline import get_plotlyjs

    figures: list[Any] = []
    for tracker in sorted({r.tracker for r in reports}):
        of_tracker = [r for r in reports if r.tracker == tracker]
        figures.append(_heat_map(go, of_tracker, corruptions, tracker))
        figures += [_curves(go, r) for r in of_tracker]
    drawn = "[" + ",".join(figure.to_json() for figure in figures) + "]"
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    body = f'<h1>{html.escape(title)}</h1>{_marks(reports)}<div id="drawn"></div>'
    packed = _packed("plotly", get_plotlyjs()) + _packed("figures", drawn)
    body += f"{packed}<script>{_UNPACK}</script>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def _packed(name: str, text: str) -> str:
    data = gzip.compress(text.encode(), 9, mtime=0)  # no time: the same report is the same file
    letters = base64.b85encode(data, pad=True).decode().replace("<", ".")
    return f'<script type="text/plain" id="{name}" data-bytes="{len(data)}">{letters}</script>\n'


def _marks(reports: Sequence[MetricReport]) -> str:
    rows = []
    for requirement in to_requirements(reports):
        met = {True: "<td>yes", False: '<td class="no">no', None: "<td>–"}[requirement.met]
        cells = (
            html.escape(text.replace("`", "")) for text in (requirement.tracker, requirement.demand, requirement.value)
        )
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + met + "</td></tr>")
    head = "<tr><th>tracks</th><th>demand</th><th>found</th><th>met</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>" if rows else ""


def _heat_map(go: Any, reports: Sequence[MetricReport], corruptions: Sequence[Corruption], tracker: str) -> Any:
    names = [c.name for c in corruptions]
    values = [[r.by_corruption[n][0] if n in r.by_corruption else None for n in names] for r in reports]
    text = [["" if v is None else f"{v:.2f}" for v in row] for row in values]
    figure = go.Figure(go.Heatmap(
        z=values, x=names, y=[r.metric for r in reports], zmin=-1, zmax=1, colorscale="RdBu", text=text,
        texttemplate="%{text}", hovertemplate="%{y}, %{x}: rho %{z:.3f}<extra></extra>",
    ))  # fmt: skip
    figure.update_layout(
        title=f"rho with the strength of corruption, tracks: {tracker}", height=160 + 40 * len(reports),
        template="none", margin={"l": 190, "b": 110},
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    return figure


def _curves(go: Any, report: MetricReport) -> Any:
    figure = go.Figure()
    for name, points in report.curves.items():
        if points:
            figure.add_scatter(x=[s for s, _ in points], y=[v for _, v in points], name=name, mode="lines+markers")
    title = f"{report.metric}, tracks: {report.tracker}"
    figure.update_layout(title=title, xaxis_title="strength", yaxis_title="mean score", height=380, template="none")
    return figure


def to_json(reports: Sequence[MetricReport]) -> list[dict[str, Any]]:
    """Everything the pages show, as JSON values."""
    from dataclasses import asdict

    values: list[dict[str, Any]] = json.loads(json.dumps([asdict(report) for report in reports]))
    return values
