"""What the exam's answers say: rank agreement, pairwise accuracy, controls and sensitivity, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.metric import MetricInfo
from motionbench.world import Corruption

from .plan import CONDITIONS, CONTROLS, TRUTH, Answer
from .rank_agreement import Agreements, Values, targets, to_agreements


@dataclass(frozen=True)
class Estimate:
    """A macro mean over categories with its 95% bootstrap interval over references; n references."""

    mean: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class MetricReport:
    """How one metric did with one tracker.

    rho, accuracy: over the corruptions it is there to notice. by_corruption: name -> (rho, accuracy).
    curves: corruption -> mean value per strength. controls: perfect, identity (the ceiling), frozen (the floor), ... ->
    value. swap: largest change when the clips change places. appearance_shift: largest mean change by an
    appearance-only corruption at full strength, as a share of the range. sensitivity: condition, or `tracker` for this
    tracker instead of the truth -> (change of perfect, of reversed). missing: unmeasurable answers of all. measures: as
    `MetricInfo` says it.
    """

    metric: str
    tracker: str
    version: int
    rho: Estimate
    accuracy: Estimate
    by_corruption: dict[str, tuple[float, float]]
    curves: dict[str, list[tuple[float, float]]]
    controls: dict[str, Estimate]
    swap: float | None
    appearance_shift: float | None
    sensitivity: dict[str, tuple[Estimate, Estimate]]
    missing: tuple[int, int]
    measures: str

    @property
    def judges_motion(self) -> bool:
        """Whether this is a metric of motion, by tracks; else it is one of what is seen."""
        return self.measures == "motion"


def make_reports(
    answers: Sequence[Answer], infos: Mapping[str, MetricInfo], corruptions: Sequence[Corruption]
) -> list[MetricReport]:
    """One report per metric and tracker, in the order of their names."""
    by_metric: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        info = infos.get(answer.metric)
        if info is not None and info.version == answer.version:
            by_metric[answer.metric, answer.tracker].append(answer)
    values = {key: _by_question(own) for key, own in by_metric.items()}
    reports = []
    for (metric, tracker), own in sorted(by_metric.items()):
        truth = values.get((metric, tracker.replace(tracker.partition(",")[0], TRUTH)), {})
        about = _About(infos[metric], {a.reference: a.category for a in own}, corruptions)
        reports.append(_report(about, tracker, own, values[metric, tracker], truth))
    return reports


@dataclass(frozen=True)
class _About:
    """What the answers are about: a metric, and each reference's category."""

    info: MetricInfo
    category: Mapping[str, str]
    corruptions: Sequence[Corruption]

    @property
    def perfect(self) -> str:
        """The question whose strength 0 is the perfect transfer."""
        return self.corruptions[0].name

    def estimate(self, values: Mapping[str, float]) -> Estimate:
        """Over references -> value; categories weigh the same."""
        strata: dict[str, list[float]] = defaultdict(list)
        for reference, value in values.items():
            strata[self.category[reference]].append(value)
        if not strata:
            return Estimate(None, None, None, 0)
        low, high = percentile_interval(strata) or (None, None)
        return Estimate(macro_mean(strata), low, high, len(values))


def _by_question(answers: Iterable[Answer]) -> Values:
    by_question: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for a in answers:
        if a.value is not None:
            by_question[a.reference, a.question][a.strength] = a.value
    return dict(by_question)


def _report(about: _About, tracker: str, answers: Sequence[Answer], values: Values, truth: Values) -> MetricReport:
    info, corruptions = about.info, about.corruptions
    agreements = to_agreements(values, info, corruptions)
    wanted = targets(info, corruptions)
    controls = {name: about.estimate(_at_zero(values, name)) for name in CONTROLS}
    controls["perfect"] = about.estimate(_at_zero(values, about.perfect))
    sensitivity = {s: _sensitivity(about, values, values, s) for s in CONDITIONS}
    if truth is not values and truth:
        sensitivity["tracker"] = _sensitivity(about, values, truth, "")
    return MetricReport(
        metric=info.name,
        tracker=tracker,
        version=info.version,
        rho=_agreement(about, agreements, wanted, 0),
        accuracy=_agreement(about, agreements, wanted, 1),
        by_corruption={
            c.name: _pooled(agreements, c.name) for c in corruptions if any(k[1] == c.name for k in agreements)
        },
        curves={c.name: _curve(values, c) for c in corruptions},
        controls=controls,
        swap=max(_changes(_at_zero(values, "swapped"), _at_zero(values, about.perfect)).values(), default=None),
        appearance_shift=_appearance_shift(values, info, controls, corruptions),
        sensitivity=sensitivity,
        missing=(sum(a.value is None for a in answers), len(answers)),
        measures=info.measures,
    )


def _agreement(about: _About, agreements: Agreements, wanted: Sequence[str], which: int) -> Estimate:
    """Over references, each with the mean of its corruptions."""
    by_reference: dict[str, list[float]] = defaultdict(list)
    for (reference, question), grade in agreements.items():
        if question in wanted:
            by_reference[reference].append(grade[which])
    return about.estimate({reference: float(np.mean(shares)) for reference, shares in by_reference.items()})


def _pooled(agreements: Agreements, name: str) -> tuple[float, float]:
    grades = [grade for (_, question), grade in agreements.items() if question == name]
    return float(np.mean([g[0] for g in grades])), float(np.mean([g[1] for g in grades]))


def _curve(values: Values, corruption: Corruption) -> list[tuple[float, float]]:
    points = []
    for strength in (0.0, *corruption.strengths):
        heights = [v[strength] for (_, q), v in values.items() if q == corruption.name and strength in v]
        if heights:
            points.append((strength, float(np.mean(heights))))
    return points


def _at_zero(values: Values, question: str) -> dict[str, float]:
    """Reference -> value at strength 0."""
    return {reference: v[0.0] for (reference, q), v in values.items() if q == question and 0.0 in v}


def _changes(a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, float]:
    """Reference -> how far apart two values are, where both were measured."""
    return {reference: abs(a[reference] - b[reference]) for reference in a.keys() & b.keys()}


def _appearance_shift(
    values: Values, info: MetricInfo, controls: Mapping[str, Estimate], corruptions: Sequence[Corruption]
) -> float | None:
    span = _span(info, controls)
    worst = []
    for corruption in (c for c in corruptions if c.kind == "appearance"):
        last = corruption.strengths[-1]
        moved = [
            abs(v[last] - v[0.0]) for (_, q), v in values.items() if q == corruption.name and {0.0, last} <= v.keys()
        ]
        if moved:
            worst.append(float(np.mean(moved)))
    return max(worst) / span if worst and span else None


def _span(info: MetricInfo, controls: Mapping[str, Estimate]) -> float | None:
    """The metric's range; where that is open, the distance from a frozen clip to a perfect transfer."""
    low, high = info.range
    if low is not None and high is not None:
        return high - low
    perfect, frozen = controls["perfect"].mean, controls["frozen"].mean
    return abs(perfect - frozen) if perfect is not None and frozen is not None and perfect != frozen else None


def _sensitivity(about: _About, values: Values, base: Values, condition: str) -> tuple[Estimate, Estimate]:
    """Changes of the perfect transfer and of its reversal by a condition, or (none) against other values."""
    rows = []
    for name, own in (("perfect", about.perfect), ("reversed", "reversed")):
        changed = _at_zero(values, f"{name}@{condition}" if condition else own)
        rows.append(about.estimate(_changes(changed, _at_zero(base, own))))
    return rows[0], rows[1]
