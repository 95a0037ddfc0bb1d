"""Two small drawings as SVG: bars, and a curve on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" font-family="sans-serif" font-size="12">'
BLUE = "#1f5fbf"


def draw_bars(shares: Mapping[str, float], title: str) -> str:
    """Horizontal bars of shares in [0, 1], in the order given."""
    height = 30 + 22 * len(shares)
    parts = [HEAD.format(w=640, h=height), f'<text x="10" y="18">{escape(title)}</text>']
    for i, (name, share) in enumerate(shares.items()):
        top = 28 + 22 * i
        length = 340 * min(1.0, share)
        parts.append(f'<text x="10" y="{top + 13}">{escape(name)}</text>')
        parts.append(f'<rect x="230" y="{top}" width="{length:.1f}" height="16" fill="{BLUE}"/>')
        parts.append(f'<text x="{236 + length:.1f}" y="{top + 13}">{share:.0%}</text>')
    return "".join(parts) + "</svg>\n"


def draw_curve(points: Sequence[tuple[float, float]], x_title: str, y_title: str) -> str:
    """Points (x, y) > 0 joined by a line, both axes logarithmic; each point carries its values."""
    spans = [(math.log(min(v)), math.log(max(v))) for v in zip(*points, strict=True)]

    def at(value: float, axis: int, low: float, high: float) -> float:
        start, end = spans[axis]
        share = (math.log(value) - start) / ((end - start) or 1)
        return low + share * (high - low)

    places = [(at(x, 0, 60, 560), at(y, 1, 300, 40)) for x, y in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [HEAD.format(w=640, h=350), f'<polyline points="{line}" fill="none" stroke="{BLUE}" stroke-width="2"/>']
    for (x, y), (left, top) in zip(points, places, strict=True):
        parts.append(f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3" fill="{BLUE}"/>')
        parts.append(f'<text x="{left + 6:.1f}" y="{top + 14:.1f}">{x:g}: {y:.3g} s</text>')
    parts.append(f'<text x="300" y="340">{escape(x_title)} (log)</text>')
    parts.append(f'<text x="10" y="24">{escape(y_title)} (log)</text>')
    return "".join(parts) + "</svg>\n"
