"""Rank agreement: what each metric is there to notice, and how well its values fall in step with the fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np

from motionbench.metric import MetricInfo
from motionbench.world import Corruption

Values = Mapping[tuple[str, str], Mapping[float, float]]  # (reference, question) -> strength -> value
Agreements = dict[tuple[str, str], tuple[float, float]]  # (reference, corruption) -> (rho, accuracy)

_MOTION = ("motion", "camera")  # the kinds of corruptions that a metric of motion is there to notice


def goodness(value: float, info: MetricInfo) -> float:
    """The value such that more is better; without a better end the value, which the faults asked of it lower."""
    return {"higher": value, "lower": -value, "zero": -abs(value), "none": value}[info.better]


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
    """The corruptions that a metric is there to notice, as it says itself; none for one that says nothing."""
    wanted = info.faults or (_MOTION if info.measures == "motion" else ())
    return [c.name for c in corruptions if c.name in wanted or c.kind in wanted]


def to_agreements(values: Values, info: MetricInfo, corruptions: Sequence[Corruption]) -> Agreements:
    """(reference, corruption) -> (rho, accuracy), where at least three strengths could be measured."""
    names = {c.name for c in corruptions}
    agreements = {}
    for (reference, question), by_strength in values.items():
        if question in names and len(by_strength) >= 3:
            strengths = sorted(by_strength)
            goods = [goodness(by_strength[s], info) for s in strengths]
            agreements[reference, question] = rank_agreement(strengths, goods), pair_accuracy(strengths, goods)
    return agreements
