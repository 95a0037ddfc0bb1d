"""The exam's result as a Markdown page: marks, then per tracker the metrics' grades, controls and sensitivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from motionbench.marked_page import table
from motionbench.world import Corruption

from .plan import CONDITIONS, CONTROLS
from .report import Estimate, MetricReport
from .requirements import to_requirements

_INTRODUCTION = (
    "Perfect transfers are rendered from the ground truth and spoiled by degrees; a good metric falls in step. "
    "*rho*: Spearman's rank correlation between the strength of a corruption and the loss of score, mean over the "
    "corruptions that the metric is there to notice. *Pairs*: how often the less corrupted of two clips wins (0.5: by "
    "chance). Means over references, categories weighing the same, with 95% bootstrap intervals over them."
)
_SENSITIVITY = (
    "Mean change of the score of the perfect transfer / of its reversal when both clips are scored at 9 frames instead "
    "of 17, at 128 pixels instead of 64, with another grid of points than 20 x 20, or by this tracker instead of the "
    "truth."
)


def to_markdown(reports: Sequence[MetricReport], corruptions: Sequence[Corruption], facts: Mapping[str, Any]) -> str:
    """The page for docs/results. facts: command, split, references, machine and the like, printed as they are."""
    parts = ["# The metrics' exam", _INTRODUCTION, "\n".join(f"- {name}: {value}" for name, value in facts.items())]
    requirements = [
        (m.tracker, m.demand, m.value, {True: "yes", False: "**no**", None: "–"}[m.met])
        for m in to_requirements(reports)
    ]
    if requirements:
        parts += ["## Requirements", table(("tracks", "demand", "found", "met"), requirements)]
    trackers = sorted({report.tracker for report in reports})
    for tracker in trackers:
        of_tracker = [r for r in reports if r.tracker == tracker and r.judges_motion]
        if of_tracker:
            parts += [f"## Motion, tracks: {tracker}", *_section(of_tracker, corruptions)]
    seen = [r for r in reports if r.tracker == trackers[0] and not r.judges_motion] if trackers else []
    if seen:
        parts += ["## Text, time and appearance (no tracks)", *_section(seen, corruptions)]
    named = [(c.name, c.kind, " ".join(c.summary.split())) for c in corruptions]
    parts += ["## The corruptions", table(("corruption", "kind", "what it does"), named)]
    return "\n\n".join(parts) + "\n"


def _section(reports: Sequence[MetricReport], corruptions: Sequence[Corruption]) -> list[str]:
    ranked = sorted(reports, key=lambda r: (-(r.rho.mean or 0), r.metric))
    return [
        _grade_table(ranked),
        "### rho by corruption",
        _corruption_table(ranked, corruptions),
        "### Controls",
        _control_table(ranked),
        "### Sensitivity",
        _SENSITIVITY,
        _sensitivity_table(ranked),
    ]


def _grade_table(reports: Sequence[MetricReport]) -> str:
    rows = [
        (
            f"`{r.metric}` v{r.version}", str(r.rho.n), to_cell(r.rho, bold=True), to_cell(r.accuracy, bold=True),
            to_number(r.swap, 3), to_number(r.appearance_shift, 3), f"{r.missing[0]} of {r.missing[1]}",
        )
        for r in reports
    ]  # fmt: skip
    head = ("metric", "references", "rho", "pairs", "swap changes by", "appearance shifts by", "unmeasurable")
    return table(head, rows)


def _control_table(reports: Sequence[MetricReport]) -> str:
    names = ("perfect", *(name for name in CONTROLS if name != "swapped"))
    rows = [(f"`{r.metric}`", *(to_cell(r.controls[name]) for name in names)) for r in reports]
    titles = {"identity": "identity (ceiling)", "frozen": "frozen (floor)"}
    return table(("metric", *(titles.get(name, name) for name in names)), rows)


def _corruption_table(reports: Sequence[MetricReport], corruptions: Sequence[Corruption]) -> str:
    shown = [c.name for c in corruptions if any(c.name in r.by_corruption for r in reports)]
    rows = []
    for r in reports:
        grades = (r.by_corruption.get(name) for name in shown)
        rows.append((f"`{r.metric}`", *("–" if pair is None else to_number(pair[0]) for pair in grades)))
    return table(("metric", *shown), rows)


def _sensitivity_table(reports: Sequence[MetricReport]) -> str:
    conditions = [s for s in (*CONDITIONS, "tracker") if any(s in r.sensitivity for r in reports)]
    rows = []
    for r in reports:
        cells = (r.sensitivity.get(condition) for condition in conditions)
        rows.append((f"`{r.metric}`", *("–" if both is None else " / ".join(map(to_cell, both)) for both in cells)))
    return table(("metric", *conditions), rows)


def to_number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def to_cell(estimate: Estimate, *, bold: bool = False) -> str:
    if estimate.mean is None:
        return "–"
    mean = f"**{estimate.mean:.3f}**" if bold else f"{estimate.mean:.3f}"
    if estimate.low is None or estimate.high is None:
        return mean
    return f"{mean} [{estimate.low:.2f}, {estimate.high:.2f}]"
