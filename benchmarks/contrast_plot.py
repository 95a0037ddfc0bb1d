"""A study's paired contrasts as a small SVG: the mean difference and those of each category, with their intervals.

Example (docs/results/ablation.svg is made by `study_records.py page --picture`, which calls this):
  python benchmarks/contrast_plot.py results/studies/ablation/study.json --leave-out backbone --out ablation.svg
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from motionbench.files import write_atomically
from motionbench.summary import ALL

WIDTH, LEFT, RIGHT, TOP = 760, 300, 590, 44  # of the drawing; where differences lie; above the first row
LINE, GAP = 14, 12  # of a category, and between contrasts
INK, BLUE, QUIET = "#1b1f24", "#1f5fbf", "#7a8794"
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" font-family="sans-serif" font-size="11">'


def draw(study: Mapping[str, Any], metric: str, left_out: Sequence[str]) -> str:
    """The drawing of a study.json. Raises ValueError if no contrast has a value of the metric."""
    shown = contrasts_of(study, metric, left_out)
    step, span = scale(d for found, _ in shown.values() for d in found)

    def at(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value + span) / (2 * span)

    height = TOP + sum(LINE * len(found) + GAP for found, _ in shown.values()) + 10
    parts = [HEAD.format(w=WIDTH, h=height), f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    parts += _axis([step * n for n in range(-round(span / step), round(span / step) + 1)], at, height)
    parts.append(f'<text x="8" y="{TOP - 14}" fill="{QUIET}">{escape(metric)}, paired difference [95%]</text>')
    y = TOP
    for name, (found, published) in shown.items():
        for place, one in enumerate(found):
            parts.append(_row(one["category"] if place else name, one, y, at, main=not place))
            if not place and published is not None:
                told = f"the paper: {signed(published)}"
                parts.append(f'<text x="{WIDTH - 8}" y="{y + 4}" text-anchor="end" fill="{QUIET}">{told}</text>')
            y += LINE
        y += GAP
    return "".join(parts) + "</svg>\n"


def contrasts_of(
    study: Mapping[str, Any], metric: str, left_out: Sequence[str]
) -> dict[str, tuple[list[Mapping[str, Any]], float | None]]:
    """By title, the differences of each contrast in a metric and the published one. Raises ValueError without any."""
    titles = {name: variant["title"] for name, variant in study["variants"].items()}
    shown = {
        f"{titles[one['a']]} − {titles[one['b']]}": (found, one.get("published", {}).get(metric))
        for one in study["contrasts"]
        if one["a"] not in left_out and (found := of_metric(one, metric))
    }
    if not shown:
        raise ValueError(f"expected contrasts of {metric}, found none; score the study and make its page")
    return shown


def scale(differences: Iterable[Mapping[str, Any]]) -> tuple[float, float]:
    """Between two ticks, and from 0 to either end, for differences with or without an interval."""
    ends = [d[key] for d in differences for key in ("difference", "low", "high")]
    widest = max(abs(value) for value in ends if value is not None) or 1.0
    step = nice(widest / 3)
    return step, step * math.ceil(widest / step)


def of_metric(contrast: Mapping[str, Any], metric: str) -> list[Mapping[str, Any]]:
    """The differences of one metric: over all, then by category."""
    found = [d for d in contrast["differences"] if d["metric"] == metric and d["difference"] is not None]
    return sorted(found, key=lambda d: (d["category"] != ALL, d["category"]))


def nice(value: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def signed(value: float) -> str:
    """A number with its sign, none for 0."""
    return f"{value:+.3g}".replace("-", "−") if value else "0"


def _axis(ticks: Sequence[float], at: Any, height: int) -> Iterator[str]:
    for tick in ticks:
        x, color = f"{at(tick):.1f}", "#e3e7eb" if tick else "#888"
        yield f'<path d="M{x} {TOP - 8}V{height - 8}" stroke="{color}"/>'
        yield f'<text x="{x}" y="{TOP - 14}" text-anchor="middle" fill="{QUIET}">{signed(tick)}</text>'


def _row(label: str, one: Mapping[str, Any], y: int, at: Any, *, main: bool) -> str:
    color, size = (BLUE, 4) if main else (QUIET, 2.5)
    parts = [f'<text x="{8 if main else 24}" y="{y + 4}" fill="{INK if main else QUIET}">{escape(label)}</text>']
    if one["low"] is not None and one["high"] is not None:
        line = f"M{at(one['low']):.1f} {y}H{at(one['high']):.1f}"
        parts.append(f'<path d="{line}" stroke="{color}" stroke-width="{2 if main else 1}"/>')
    parts.append(f'<circle cx="{at(one["difference"]):.1f}" cy="{y}" r="{size}" fill="{color}"/>')
    if main:
        told = f"{one['difference']:+.3f}".replace("-", "−")
        parts.append(f'<text x="{RIGHT + 8}" y="{y + 4}" fill="{INK}">{told}</text>')
    return "".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study.json that a study's page leaves")
    parser.add_argument("--metric", default="motion_fidelity")
    parser.add_argument("--leave-out", action="append", default=[], metavar="VARIANT", help="off the scale of the rest")
    parser.add_argument("--out", type=Path, required=True, help="the SVG to write")
    args = parser.parse_args(argv)
    study = json.loads(args.study.read_text(encoding="utf-8"))
    write_atomically(args.out, draw(study, args.metric, args.leave_out).encode())


if __name__ == "__main__":
    main()
