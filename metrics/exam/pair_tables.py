"""The exam on pairs as a Markdown page and as JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from motionbench.marked_page import table
from motionbench.metric import MetricInfo

from .pair_list import Survey
from .plan import Answer
from .recognition import MEASURES, Outcome, Recognition, differences, recognize, to_outcomes
from .report import Estimate
from .tables import to_cell, to_number

_SUPPORT = (0, 40, 100, 200)  # where bands of tracks that survive, in the clip that has fewer, begin
_TITLES = {"beats": "beats others", "auc": "AUC", "top1": "top-1", "backwards": "beats reversed"}
_INTRODUCTION = (
    "Every output is scored against its own reference, against that played backwards, and against up to four other "
    "references of the same project, length and aspect; all at its own reference's shape. *Beats*: how often the own "
    "reference wins. *AUC*: that of all own scores over all other ones. *Top-1*: the own one wins against all. A tie "
    "counts half; pairs without a value are left out and counted. 95% intervals are bootstraps over footage."
)
_LOST = (
    "A metric or its tracks may have failed here, or the transfer itself: look at the clips. "
    "*Kept*: tracks that survive in the clip that has fewer."
)


@dataclass(frozen=True)
class PairReport:
    """One metric by one tracker: all outcomes, and the recognition of each kind of pair."""

    info: MetricInfo
    tracker: str
    outcomes: list[Outcome]

    @property
    def kinds(self) -> list[str]:
        """`transfer`, `edit`, ..., most pairs first."""
        kinds = [o.pair.kind for o in self.outcomes]
        return sorted(set(kinds), key=lambda kind: (-kinds.count(kind), kind))

    def of_kind(self, kind: str) -> list[Outcome]:
        """The outcomes of one kind of pair."""
        return [o for o in self.outcomes if o.pair.kind == kind]

    def recognition(self, outcomes: Sequence[Outcome]) -> Recognition:
        """What some of the outcomes say."""
        return recognize(outcomes, self.info, self.tracker)


def to_pair_reports(answers: Sequence[Answer], survey: Survey, infos: Mapping[str, MetricInfo]) -> list[PairReport]:
    """One report per metric and tracker that answered, the headline first."""
    reports = []
    for tracker in sorted({a.tracker for a in answers}):
        for name in sorted(infos, key=lambda name: (not infos[name].headline, name)):
            outcomes = to_outcomes(answers, survey.pairs, infos[name], tracker)
            if outcomes:
                reports.append(PairReport(infos[name], tracker, outcomes))
    return reports


def pairs_to_markdown(reports: Sequence[PairReport], survey: Survey, facts: Mapping[str, Any]) -> str:
    """The page. facts: command, list, machine and the like, printed as they are."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- outputs of another {name} than their reference: {n}" for name, n in survey.unequal.items()]
    lines += [f"- left out: {reason}" for reason in survey.left_out]
    parts = ["# Does an output recognize its own reference?", _INTRODUCTION, "\n".join(lines)]
    for tracker in sorted({r.tracker for r in reports}):
        of_tracker = [r for r in reports if r.tracker == tracker]
        parts += [f"## Tracks: {tracker}", *_kind_tables(of_tracker), *_headline_tables(of_tracker)]
    return "\n\n".join(parts) + "\n"


def pairs_to_json(reports: Sequence[PairReport], survey: Survey, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Everything on the page, and each pair's own numbers."""
    return {
        "facts": dict(facts),
        "unequal": dict(survey.unequal),
        "left_out": list(survey.left_out),
        "metrics": [
            {
                **asdict(r.recognition(r.of_kind(kind))),
                "kind": kind,
                "outcomes": [_outcome_to_json(o) for o in r.of_kind(kind)],
            }
            for r in reports
            for kind in r.kinds
        ],
    }


def _outcome_to_json(o: Outcome) -> dict[str, Any]:
    return {
        "id": o.pair.id, "own": o.own, "note": o.note, "kept": o.kept, "backwards": o.backwards, "others": o.others,
        "lost": o.lost,
    }  # fmt: skip


def _kind_tables(reports: Sequence[PairReport]) -> list[str]:
    parts = []
    for kind in reports[0].kinds:
        rows = [_row(f"`{r.info.name}` v{r.info.version}", r.recognition(r.of_kind(kind))) for r in reports]
        parts += [f"### Kind: {kind}", _recognition_table("metric", rows)]
    return parts


def _headline_tables(reports: Sequence[PairReport]) -> list[str]:
    """What the headline's kinds, categories, projects and support say, against whom it wins, and where it loses."""
    head = next((r for r in reports if r.info.headline), None)
    if head is None:
        return []
    kind = head.kinds[0]
    outcomes = head.of_kind(kind)
    parts = [f"### `{head.info.name}` minus each other metric, same pairs ({kind})"]
    rows = [_difference_row(head, other, kind) for other in reports if other is not head]
    parts.append(table(("minus", *_TITLES.values()), rows))
    titles = {"category": "category", "project": "project", "tracks of 400 kept": "tracks that survive"}
    for (column, title), key in zip(titles.items(), (_category, _project, _band), strict=True):
        split: dict[str, list[Outcome]] = defaultdict(list)
        for outcome in outcomes:
            split[key(outcome)].append(outcome)
        rows = [_row(name, head.recognition(split[name])) for name in sorted(split)]
        parts += [f"### `{head.info.name}` by {title} ({kind})", _recognition_table(column, rows)]
    return [*parts, "### Where it does not know its own reference", _LOST, _lost_table(head)]


def _difference_row(head: PairReport, other: PairReport, kind: str) -> tuple[str, ...]:
    estimate = differences(head.of_kind(kind), other.of_kind(kind))
    return (f"`{other.info.name}`", *(to_cell(estimate[name]) for name in MEASURES))


def _lost_table(head: PairReport) -> str:
    rows = [
        (
            o.pair.id, to_number(o.own), o.note or ", ".join(o.lost), to_number(max(o.rivals, default=None)),
            to_number(o.backwards), "–" if o.kept is None else str(o.kept),
        )
        for o in head.outcomes
        if o.own is None or o.lost
    ]  # fmt: skip
    return table(("pair", "own", "lost to, or why there is no value", "best other", "reversed", "kept"), rows)


def _category(o: Outcome) -> str:
    return o.pair.category or "–"


def _project(o: Outcome) -> str:
    return o.pair.project or "–"


def _band(o: Outcome) -> str:
    """Which of the bands of support a pair is in, such that the names sort."""
    if o.kept is None:
        return "–"
    low = max(low for low in _SUPPORT if low <= o.kept)
    above = [high for high in _SUPPORT if high > low]
    return f"{low:3d} to {above[0] - 1}" if above else f"{low:3d} and more"


def _row(name: str, r: Recognition) -> tuple[str, ...]:
    shares: list[Estimate] = [getattr(r, measure) for measure in MEASURES]
    return (name, f"{r.pairs - r.missing} of {r.pairs}", to_number(r.own), to_number(r.other), *map(to_cell, shares))


def _recognition_table(first: str, rows: Sequence[tuple[str, ...]]) -> str:
    return table((first, "measured", "own", "other", *_TITLES.values()), rows)
