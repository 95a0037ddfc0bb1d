"""What answers about real footage say: scores of perfect looks, the order of faults, clips not to be trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from motionbench.bootstrap import percentile_interval
from motionbench.marked_page import table
from motionbench.metric import MetricInfo

from .footage_run import CONTROL, LOOK
from .looks import CONTROLS as MADE_CONTROLS
from .looks import CORRUPTIONS, LOOKS
from .plan import Answer
from .rank_agreement import to_agreements
from .report import Estimate
from .tables import to_cell, to_number

LEAST_LOOK = 0.80  # of the ceiling: below this a perfect transfer would be taken for a faulty one
_INTRODUCTION = (
    "Every clip is shown again with another look and the same motion (the best that a transfer can do), and with "
    "faults by degrees. *Looks*: mean score of perfect looks; *worst*: of the clip and look that score least. *rho*, "
    "*pairs*: order of the faults kept. Means over clips with 95% bootstrap intervals over them. The ceiling of a real "
    "clip is its compressed copy, the floor its frozen first frame."
)


@dataclass(frozen=True)
class ClipReport:
    """One metric by one tracker on one clip. looks, controls: name -> value or None; notes: why there is none.

    faults: name -> strength -> value, strength 0 the compressed copy. rho, accuracy: means over the faults.
    """

    clip: str
    looks: dict[str, float | None]
    controls: dict[str, float | None]
    faults: dict[str, dict[float, float | None]]
    notes: list[str] = field(default_factory=list)
    rho: float | None = None
    accuracy: float | None = None

    @property
    def measured(self) -> list[float]:
        """The values of the perfect looks that there are."""
        return [value for value in self.looks.values() if value is not None]


@dataclass(frozen=True)
class FootageReport:
    """One metric by one tracker on all clips."""

    info: MetricInfo
    tracker: str
    clips: list[ClipReport]

    @property
    def looks(self) -> Estimate:
        """Mean over clips of each one's mean over looks."""
        return _mean({c.clip: float(np.mean(c.measured)) for c in self.clips if c.measured})

    def look(self, name: str) -> list[float]:
        """The clips' values of one look."""
        return [value for c in self.clips if (value := c.looks.get(name)) is not None]

    def grade(self, which: str) -> Estimate:
        """Mean `rho` or `accuracy` over clips."""
        return _mean({c.clip: grade for c in self.clips if (grade := getattr(c, which)) is not None})

    def control(self, name: str) -> Estimate:
        """Mean over clips of a control's value."""
        return _mean({c.clip: value for c in self.clips if (value := c.controls.get(name)) is not None})

    @property
    def missing(self) -> tuple[int, int]:
        """Perfect looks without a value, of all."""
        asked = [value for c in self.clips for value in c.looks.values()]
        return sum(value is None for value in asked), len(asked)

    def doubts(self, clip: ClipReport) -> str:
        """Why the metric is not to be trusted on a clip; empty: it is."""
        if not clip.measured:
            return "no value: " + "; ".join(sorted(set(clip.notes)))
        low, high = self.info.range
        least = min(clip.measured)
        spoiled = [v for fault in clip.faults.values() for s, v in fault.items() if s == 1 and v is not None]
        doubts = []
        if self.info.better == "higher" and high == 1.0 and low is not None and least < LEAST_LOOK:
            doubts.append(f"a perfect look scores {least:.2f}")
        if self.info.better == "higher" and spoiled and max(spoiled) >= least:
            doubts.append(f"a clip at full fault scores {max(spoiled):.2f}, a perfect look {least:.2f}")
        return "; ".join(doubts)


def to_footage_reports(answers: Sequence[Answer], infos: Mapping[str, MetricInfo]) -> list[FootageReport]:
    """One report per metric and tracker that answered, the headline first."""
    reports = []
    for tracker in sorted({a.tracker for a in answers}):
        for name in sorted(infos, key=lambda name: (not infos[name].headline, name)):
            info = infos[name]
            by_metric = [a for a in answers if (a.metric, a.version, a.tracker) == (name, info.version, tracker)]
            clips = sorted({a.reference for a in by_metric})
            if clips:
                clip_reports = [_to_clip_report([a for a in by_metric if a.reference == clip], info) for clip in clips]
                reports.append(FootageReport(info, tracker, clip_reports))
    return reports


def _to_clip_report(answers: Sequence[Answer], info: MetricInfo) -> ClipReport:
    at = {(a.question, a.strength): a.value for a in answers}
    copy = at.get((f"{LOOK} copy", 0.0))
    faults: dict[str, dict[float, float | None]] = defaultdict(dict)
    for c in CORRUPTIONS:
        asked = {s: at[c.name, s] for s in c.strengths if (c.name, s) in at}
        if asked:
            faults[c.name] = {0.0: copy, **asked}
    clip = answers[0].reference
    values = {
        (clip, name): {s: v for s, v in curve.items() if v is not None} for name, curve in faults.items()
    }  # fmt: skip
    agreements = to_agreements(values, info, CORRUPTIONS)
    return ClipReport(
        clip=clip,
        looks={name: at[f"{LOOK} {name}", 0.0] for name in LOOKS if (f"{LOOK} {name}", 0.0) in at},
        controls={name: at[f"{CONTROL} {name}", 0.0] for name in MADE_CONTROLS if (f"{CONTROL} {name}", 0.0) in at},
        faults=dict(faults),
        notes=[a.note for a in answers if a.value is None and a.note],
        rho=float(np.mean([g[0] for g in agreements.values()])) if agreements else None,
        accuracy=float(np.mean([g[1] for g in agreements.values()])) if agreements else None,
    )


def _mean(values: Mapping[str, float]) -> Estimate:
    numbers = list(values.values())
    if not numbers:
        return Estimate(None, None, None, 0)
    low, high = percentile_interval({"": numbers}) or (None, None)
    return Estimate(float(np.mean(numbers)), low, high, len(numbers))


def footage_to_markdown(reports: Sequence[FootageReport], left_out: Sequence[str], facts: Mapping[str, Any]) -> str:
    """The page. facts: command, folder, machine and the like, printed as they are."""
    lines = [f"- {name}: {value}" for name, value in facts.items()] + [f"- left out: {reason}" for reason in left_out]
    parts = ["# Perfect looks and graded faults of real footage", _INTRODUCTION, "\n".join(lines)]
    for tracker in sorted({r.tracker for r in reports}):
        of_tracker = [r for r in reports if r.tracker == tracker]
        parts += [
            f"## Tracks: {tracker}",
            _grade_table(of_tracker),
            "### Mean and worst by look",
            _look_table(of_tracker),
        ]
        parts += ["### Mean by fault, from none to full", _fault_table(of_tracker)]
        head = next((r for r in of_tracker if r.info.headline), None)
        if head is not None:
            parts += [f"### `{head.info.name}` clip by clip, and where not to trust it", _clip_table(head)]
    return "\n\n".join(parts) + "\n"


def footage_to_json(
    reports: Sequence[FootageReport], left_out: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything on the page, and each clip's own numbers."""
    return {
        "facts": dict(facts),
        "left_out": list(left_out),
        "metrics": [
            {
                "metric": r.info.name, "version": r.info.version, "tracker": r.tracker, "missing": r.missing,
                "looks": asdict(r.looks), "rho": asdict(r.grade("rho")), "pairs": asdict(r.grade("accuracy")),
                "clips": [{**asdict(c), "doubts": r.doubts(c)} for c in r.clips],
            }
            for r in reports
        ],
    }  # fmt: skip


def _name(report: FootageReport) -> str:
    return f"`{report.info.name}` v{report.info.version}"


def _worst(values: Sequence[float]) -> str:
    return to_number(min(values, default=None))


def _grade_table(reports: Sequence[FootageReport]) -> str:
    rows = [
        (
            _name(r), "{} of {}".format(*r.missing), to_cell(r.looks), _worst([v for c in r.clips for v in c.measured]),
            to_cell(r.grade("rho")), to_cell(r.grade("accuracy")),
            *(to_cell(r.control(name)) for name in MADE_CONTROLS),
        )
        for r in reports
    ]  # fmt: skip
    return table(("metric", "looks without value", "looks", "worst", "rho", "pairs", *MADE_CONTROLS), rows)


def _look_table(reports: Sequence[FootageReport]) -> str:
    rows = []
    for r in reports:
        looks = [r.look(name) for name in LOOKS]
        rows.append((_name(r), *(f"{np.mean(v):.2f}, {min(v):.2f}" if v else "–" for v in looks)))
    return table(("metric", *LOOKS), rows)


def _fault_table(reports: Sequence[FootageReport]) -> str:
    rows = []
    for r in reports:
        cells = []
        for c in CORRUPTIONS:
            curves = [
                [v for clip in r.clips if (v := clip.faults.get(c.name, {}).get(s)) is not None]
                for s in (0.0, *c.strengths)
            ]
            cells.append(" ".join(f"{np.mean(v):.2f}" if v else "–" for v in curves))
        rows.append((_name(r), *cells))
    return table(("metric", *(c.name for c in CORRUPTIONS)), rows)


def _clip_table(head: FootageReport) -> str:
    rows = [
        (
            c.clip, to_number(c.looks.get("copy")), to_number(float(np.mean(c.measured)) if c.measured else None),
            _worst(c.measured), to_number(c.controls.get("frozen")), to_number(c.controls.get("reversed")),
            to_number(c.rho), head.doubts(c) or "–",
        )
        for c in head.clips
    ]  # fmt: skip
    return table(("clip", "copy", "looks", "worst", "frozen", "reversed", "rho", "not to be trusted, because"), rows)
