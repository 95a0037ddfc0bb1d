"""Draws docs/architecture.svg: doors above, the core with the way of a number, packages below, files beside.

python docs/draw_architecture.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 1080, 560
INK, PAPER = "#1f2937", "#ffffff"
COLORS = {
    "door": "#fde68a",
    "core": "#bfdbfe",
    "package": "#bbf7d0",
    "file": "#e5e7eb",
    "line": "#dbeafe",
    "plugin": "#fecaca",
}


@dataclass
class Sheet:
    """Collects the shapes of a picture."""

    shapes: list[str] = field(default_factory=list)

    def box(self, x: int, y: int, w: int, h: int, kind: str, *lines: str, bold: bool = True) -> None:
        """A rounded box with centered lines, the first one bold."""
        self.shapes.append(
            f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="8" fill="{COLORS[kind]}" stroke="{INK}"/>'
        )
        top = y + h / 2 - 8 * (len(lines) - 1) + 5
        for number, line in enumerate(lines):
            self.text(x + w / 2, top + 16 * number, line, weight="600" if bold and not number else "400")

    def text(
        self, x: float, y: float, words: str, *, weight: str = "400", anchor: str = "middle", size: int = 13
    ) -> None:
        """One line of text."""
        self.shapes.append(
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}" font-size="{size}">'
            f"{escape(words)}</text>"
        )

    def arrow(self, x1: int, y1: int, x2: int, y2: int) -> None:
        """An arrow from one point to another: who calls, or what becomes of what."""
        self.shapes.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{INK}" stroke-width="1.4" marker-end="url(#head)"/>'
        )

    def svg(self) -> str:
        """The whole picture, on paper of its own so that it can be read on any page."""
        head = (
            '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0L10 5L0 10z" fill="{INK}"/></marker>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
            f' fill="{INK}">\n<title>Architecture of MotionBench</title>\n<defs>{head}</defs>\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{PAPER}"/>\n' + "\n".join(self.shapes) + "\n</svg>\n"
        )


def draw() -> str:
    """The picture as SVG."""
    sheet = Sheet()
    _doors(sheet)
    _hub(sheet)
    _rooms(sheet)
    return sheet.svg()


def _doors(sheet: Sheet) -> None:
    doors = [
        ("motionbench …", "the command line"),
        ("import motionbench as mb", "Python and notebooks"),
        ("metrics.functional", "arrays in, floats out"),
        ("metrics.torchmetrics", "in a training loop"),
    ]
    for number, lines in enumerate(doors):
        sheet.box(20 + 265 * number, 16, 245, 52, "door", *lines)
    sheet.arrow(142, 68, 142, 116)
    sheet.arrow(407, 68, 407, 116)
    # The metrics' own doors lead to their package, without a run.
    dashes = f'fill="none" stroke="{INK}" stroke-width="1.4" stroke-dasharray="5 4"'
    sheet.shapes.append(f'<path d="M672 68V92H937" {dashes}/>')
    sheet.shapes.append(f'<path d="M937 68V500H283V474" {dashes} marker-end="url(#head)"/>')


def _hub(sheet: Sheet) -> None:
    sheet.shapes.append(
        f'<rect x="20" y="116" width="690" height="224" rx="10" fill="{COLORS["line"]}" stroke="{INK}"'
        ' stroke-dasharray="2 3"/>'
    )
    sheet.text(34, 138, "motionbench: the core, which imports none of the packages", weight="600", anchor="start")
    way = [
        ("plan", "names, cases"),
        ("runner", "attempts"),
        ("scorer", "pairs, values"),
        ("summary", "averages"),
        ("table", "page"),
    ]
    for number, lines in enumerate(way):
        x = 36 + 134 * number
        sheet.box(x, 152, 118, 50, "core", *lines)
        if number:
            sheet.arrow(x - 16, 177, x - 1, 177)
    files = ["run.json", "records.jsonl", "scores.jsonl", "summary.json"]
    for number, name in enumerate(files):
        x = 36 + 134 * number
        sheet.box(x, 228, 118, 28, "file", name, bold=False)
        sheet.arrow(x + 59, 202, x + 59, 227)
    sheet.box(572, 228, 118, 28, "file", "page.html", bold=False)
    sheet.arrow(631, 202, 631, 227)
    sheet.box(36, 282, 654, 42, "core", "registry: plugins by entry point, nothing imported to list them")


def _rooms(sheet: Sheet) -> None:
    packages = [
        ("methods", "tuning, guidance", "taps", "backbones"),
        ("metrics", "how they are judged", "trackers, the exam"),
        ("data_cards", "splits, the world,", "the Hub"),
        ("leaderboard", "one page,", "submissions"),
    ]
    for number, lines in enumerate(packages):
        x = 36 + 172 * number
        sheet.box(x, 400, 150, 72, "package", *lines)
        sheet.arrow(x + 75, 325, x + 75, 399)
    sheet.text(634, 366, "found by name, never imported", anchor="start", size=12)
    sheet.box(738, 400, 170, 72, "plugin", "your package", "a method, a metric, …", "by the same door")
    sheet.shapes.append(
        f'<path d="M690 303H823V399" fill="none" stroke="{INK}" stroke-width="1.4" marker-end="url(#head)"/>'
    )
    sheet.text(300, 518, "clips or arrays, without a run", anchor="start", size=12)
    sheet.text(
        20,
        544,
        "Packages import the core and themselves, never each other. Arrows: who calls, or what becomes of what.",
        anchor="start",
        size=12,
    )


if __name__ == "__main__":
    (Path(__file__).parent / "architecture.svg").write_text(draw(), encoding="utf-8")
