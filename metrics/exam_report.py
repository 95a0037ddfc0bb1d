"""What the exam's answers say: rank agreement, pairwise accuracy, controls and sensitivity, with intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.metric import MetricInfo
from motionbench.world import Corruption

from .exam import CONTROLS, SETTINGS, Answer

# What a metric is there to notice, by the corruption's kind; where nothing is said: motion of things and of the camera.
TARGETS = {
    "camera_agreement": ("camera",),
    "text_alignment": ("appearance",),
    "temporal_consistency": ("appearance",),
    "temporal_gap": ("appearance",),
    "appearance_leak": ("appearance",),
    "background_lpips": ("appearance",),
}
_OWN = {  # the appearance corruptions that a metric of appearance is there to notice
    "text_alignment": ("wrong_appearance", "leak"),
    "temporal_consistency": ("flicker",),
    "temporal_gap": ("flicker",),
    "appearance_leak": ("leak",),
    "background_lpips": ("wrong_appearance", "flicker"),
}


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
    curves: corruption -> mean value per strength. controls: perfect, frozen, ... -> mean value.
    swap: largest change when the clips change places. appearance_shift: largest mean change by an appearance-only
    corruption at full strength, as a share of the range. sensitivity: setting -> (mean change of perfect, of reversed).
    missing: unmeasurable answers of all.
    """

    metric: str
    tracker: str
    version: int
    rho: Estimate
    accuracy: Estimate
    by_corruption: dict[str, tuple[float, float]]
    curves: dict[str, list[tuple[float, float]]]
    controls: dict[str, float | None]
    swap: float | None
    appearance_shift: float | None
    sensitivity: dict[str, tuple[float | None, float | None]]
    missing: tuple[int, int]


def goodness(value: float, info: MetricInfo) -> float:
    """The value such that more is better."""
    return {"higher": value, "lower": -value, "zero": -abs(value)}[info.better]


def rank_agreement(strengths: Sequence[float], goods: Sequence[float]) -> float:
    """Spearman's rho between strength of corruption and loss of goodness: 1 = ever worse, 0 also if it never
    changes."""
    from scipy.stats import spearmanr

    if np.ptp(goods) == 0:
        return 0.0
    return float(spearmanr(strengths, -np.asarray(goods)).statistic)


def pair_accuracy(strengths: Sequence[float], goods: Sequence[float]) -> float:
    """Share of pairs in which the less corrupted clip is the better one by the metric; a tie counts half."""
    won = [
        0.5 if goods[i] == goods[j] else float((goods[i] > goods[j]) == (strengths[i] < strengths[j]))
        for i, j in combinations(range(len(goods)), 2)
    ]
    return float(np.mean(won))


def targets(info: MetricInfo, corruptions: Iterable[Corruption]) -> list[str]:
    """The corruptions that a metric is there to notice."""
    base = info.name.removesuffix("_b32").removesuffix("_l14")
    kinds = TARGETS.get(base, ("motion", "camera"))
    own = _OWN.get(base)
    return [c.name for c in corruptions if c.kind in kinds and (own is None or c.name in own)]


def make_reports(
    answers: Sequence[Answer], infos: Mapping[str, MetricInfo], corruptions: Sequence[Corruption]
) -> list[MetricReport]:
    """One report per metric and tracker, in the order of their names."""
    held: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        info = infos.get(answer.metric)
        if info is not None and info.version == answer.version:
            held[answer.metric, answer.tracker].append(answer)
    return [_report(infos[metric], tracker, own, corruptions) for (metric, tracker), own in sorted(held.items())]


def _report(
    info: MetricInfo, tracker: str, answers: Sequence[Answer], corruptions: Sequence[Corruption]
) -> MetricReport:
    by_question: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    category = {a.reference: a.category for a in answers}
    for a in answers:
        if a.value is not None:
            by_question[a.reference, a.question][a.strength] = a.value
    grades = _grades(by_question, info, corruptions)
    wanted = targets(info, corruptions)
    controls = {name: _mean(by_question, name) for name in CONTROLS}
    controls["perfect"] = _mean(by_question, corruptions[0].name)
    return MetricReport(
        metric=info.name,
        tracker=tracker,
        version=info.version,
        rho=_estimate(grades, wanted, category, 0),
        accuracy=_estimate(grades, wanted, category, 1),
        by_corruption={c.name: _pooled(grades, c.name) for c in corruptions if any(k[1] == c.name for k in grades)},
        curves={c.name: _curve(by_question, c) for c in corruptions},
        controls=controls,
        swap=_largest_change(by_question, "swapped", corruptions[0].name),
        appearance_shift=_appearance_shift(by_question, info, controls, corruptions),
        sensitivity={s: _sensitivity(by_question, s, corruptions[0].name) for s in SETTINGS},
        missing=(sum(a.value is None for a in answers), len(answers)),
    )


Values = Mapping[tuple[str, str], Mapping[float, float]]
Grades = dict[tuple[str, str], tuple[float, float]]


def _grades(values: Values, info: MetricInfo, corruptions: Sequence[Corruption]) -> Grades:
    """(reference, corruption) -> (rho, accuracy), where at least three strengths could be measured."""
    names = {c.name for c in corruptions}
    grades = {}
    for (reference, question), found in values.items():
        if question in names and len(found) >= 3:
            strengths = sorted(found)
            goods = [goodness(found[s], info) for s in strengths]
            grades[reference, question] = rank_agreement(strengths, goods), pair_accuracy(strengths, goods)
    return grades


def _estimate(grades: Grades, wanted: Sequence[str], category: Mapping[str, str], which: int) -> Estimate:
    """Over references, each with the mean of its corruptions; categories weigh the same."""
    own: dict[str, list[float]] = defaultdict(list)
    for (reference, question), grade in grades.items():
        if question in wanted:
            own[reference].append(grade[which])
    strata: dict[str, list[float]] = defaultdict(list)
    for reference, found in own.items():
        strata[category[reference]].append(float(np.mean(found)))
    if not strata:
        return Estimate(None, None, None, 0)
    low, high = percentile_interval(strata) or (None, None)
    return Estimate(macro_mean(strata), low, high, len(own))


def _pooled(grades: Grades, name: str) -> tuple[float, float]:
    found = [grade for (_, question), grade in grades.items() if question == name]
    return float(np.mean([g[0] for g in found])), float(np.mean([g[1] for g in found]))


def _curve(values: Values, corruption: Corruption) -> list[tuple[float, float]]:
    points = []
    for strength in (0.0, *corruption.strengths):
        found = [v[strength] for (_, q), v in values.items() if q == corruption.name and strength in v]
        if found:
            points.append((strength, float(np.mean(found))))
    return points


def _mean(values: Values, question: str) -> float | None:
    found = [v[0.0] for (_, q), v in values.items() if q == question and 0.0 in v]
    return float(np.mean(found)) if found else None


def _changes(values: Values, question: str, base: str) -> list[float]:
    found = []
    for (reference, q), v in values.items():
        other = values.get((reference, base), {})
        if q == question and 0.0 in v and 0.0 in other:
            found.append(abs(v[0.0] - other[0.0]))
    return found


def _largest_change(values: Values, question: str, base: str) -> float | None:
    return max(_changes(values, question, base), default=None)


def _appearance_shift(
    values: Values, info: MetricInfo, controls: Mapping[str, float | None], corruptions: Sequence[Corruption]
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


def _span(info: MetricInfo, controls: Mapping[str, float | None]) -> float | None:
    """The metric's range; where that is open, the distance from a frozen clip to a perfect transfer."""
    low, high = info.range
    if low is not None and high is not None:
        return high - low
    perfect, frozen = controls["perfect"], controls["frozen"]
    return abs(perfect - frozen) if perfect is not None and frozen is not None and perfect != frozen else None


def _sensitivity(values: Values, setting: str, perfect: str) -> tuple[float | None, float | None]:
    forth = _changes(values, f"perfect@{setting}", perfect)
    back = _changes(values, f"reversed@{setting}", "reversed")
    return (float(np.mean(forth)) if forth else None, float(np.mean(back)) if back else None)
