"""What the reversed-reference gate concludes from its clips: averages, intervals, and who passes.

Clips of both directions and of all seeds of a reference are averaged first: what is resampled is references. A method
passes if the 95% interval of the mean difference lies above zero and no reference lacks a value in either direction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.summary import category_of

DIRECTIONS = ("forwards", "backwards")


@dataclass(frozen=True)
class Judged:
    """One attempt: motion fidelity against its own reference and against the other direction; None: no value."""

    case_id: str
    direction: str
    own: float | None
    other: float | None

    @property
    def reference_id(self) -> str:
        """`category/NNNN`."""
        return self.case_id.rpartition("/")[0]

    @property
    def difference(self) -> float | None:
        """How much better it fits its own reference, in [-2, 2]."""
        return None if self.own is None or self.other is None else self.own - self.other


def by_reference(judged: Iterable[Judged], what: str) -> dict[str, float]:
    """Reference id -> mean of both directions' means; only those with a value in both directions."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in judged:
        if one.difference is not None:
            values[one.reference_id, one.direction].append(getattr(one, what))
    names = sorted({name for name, _ in values})
    sides = {name: [values[name, d] for d in DIRECTIONS if (name, d) in values] for name in names}
    return {
        name: sum(sum(v) / len(v) for v in both) / len(DIRECTIONS)
        for name, both in sides.items()
        if len(both) == len(DIRECTIONS)
    }


def to_strata(differences: Mapping[str, float]) -> dict[str, list[float]]:
    """What is resampled: references within their categories; all together where a category has only one.

    A stratum of one reference would stand still in every resample and pretend that references do not differ.
    """
    strata: dict[str, list[float]] = defaultdict(list)
    for name in sorted(differences):
        strata[category_of(name)].append(differences[name])
    if strata and min(map(len, strata.values())) < 2:
        return {"all": [differences[name] for name in sorted(differences)]}
    return dict(strata)


def verdict(judged: Sequence[Judged]) -> dict[str, Any]:
    """The numbers of one method. passed: the interval lies above zero, and no reference is without a value."""
    differences = by_reference(judged, "difference")
    strata = to_strata(differences)
    low, high = percentile_interval(strata) or (None, None)
    complete = len(differences) == len({one.reference_id for one in judged})
    return {
        "passed": complete and low is not None and low > 0,
        "difference": macro_mean(strata) if strata else None,
        "low": low,
        "high": high,
        **{what: _mean(by_reference(judged, what)) for what in ("own", "other")},
        "references": {name: round(value, 4) for name, value in differences.items()},
        "n_references": len(differences),
        "n_clips": sum(one.difference is not None for one in judged),
        "n_failed": sum(one.difference is None for one in judged),
    }


def _mean(values: Mapping[str, float]) -> float | None:
    return macro_mean(to_strata(values)) if values else None
