"""Paired comparison of two runs on the cases that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from motionbench.bootstrap import percentile_interval
from motionbench.summary import ALL, Attempts, category_of, complete_mean, values_to_strata


@dataclass(frozen=True)
class Difference:
    """One paired difference: mean of (a - b), with its 95% percentile bootstrap interval over references.

    a, b: the means over the pairs. n_references, n_pairs: what the difference rests on; n_unpaired: cases that only one
    of the runs attempted, or that one of them failed or could not be measured on. None where a category has no pair.
    """

    category: str
    metric: str
    a: float | None
    b: float | None
    difference: float | None
    low: float | None
    high: float | None
    n_references: int
    n_pairs: int
    n_unpaired: int


def compare(a: Attempts, b: Attempts, metrics: Sequence[str]) -> list[Difference]:
    """Differences a - b per metric and category, and their macro mean `all`.

    A pair is a case: values of its seeds are averaged within each run first, so runs with other seeds can be compared.
    Values by different trackers or models make no pair (`Attempts.basis`). Where closest to zero is best, distances
    from zero are compared: a negative difference says that a is the closer one.
    """
    attempted = {r.case_id for r in [*a.records, *b.records]}
    categories = [*sorted({category_of(case) for case in attempted}), ALL]
    return [_difference(a, b, attempted, metric, category) for metric in metrics for category in categories]


def _difference(a: Attempts, b: Attempts, attempted: set[str], metric: str, category: str) -> Difference:
    differ = a.basis(metric).differs(b.basis(metric))
    left, right = ({}, {}) if differ else (a.case_values(metric), b.case_values(metric))
    cases = {case for case in attempted if category in (ALL, category_of(case))}
    pairs = sorted(cases & left.keys() & right.keys())
    gaps = values_to_strata({case: left[case] - right[case] for case in pairs})
    mean = complete_mean(gaps, cases)
    low, high = (percentile_interval(gaps) if mean is not None else None) or (None, None)
    return Difference(
        category,
        metric,
        a=complete_mean(values_to_strata({case: left[case] for case in pairs}), cases),
        b=complete_mean(values_to_strata({case: right[case] for case in pairs}), cases),
        difference=mean,
        low=low,
        high=high,
        n_references=sum(len(values) for values in gaps.values()),
        n_pairs=len(pairs),
        n_unpaired=len(cases) - len(pairs),
    )
