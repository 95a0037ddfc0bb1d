"""Ranks by the mean, and how far they hold: the range of ranks over resamples of the references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motionbench.bootstrap import LEVEL, RESAMPLES, draws
from motionbench.metric import MetricInfo
from motionbench.summary import category_of

Floats = NDArray[np.float64]
SAME = 1e-12  # means that differ by rounding alone share a rank


@dataclass(frozen=True)
class Rank:
    """place: 1 + the number of methods with a better mean. low, high: the 95% range of that number over resamples.

    None where a category has fewer than two references, since one says nothing of how they differ.
    """

    place: int
    low: int | None
    high: int | None


def rank_methods(values: Mapping[str, Mapping[str, float]], info: MetricInfo) -> dict[str, Rank]:
    """The rank of each method by the macro mean of a metric over categories.

    values: method -> case id -> value; each method has a value in every category that any has. In each of the RESAMPLES
    all methods get the same references, drawn within each category, so that what is hard for all moves no rank. One
    that has no value on any reference drawn from a category ranks last there. Ranks follow the means; a range that
    reaches over another method's rank says that the two cannot be told apart.
    """
    methods = sorted(values)
    strata = _strata(values, methods)
    means = np.mean([np.nanmean(table, axis=1) for table in strata], axis=0)
    places = _places(_goodness(means[:, None], info))[:, 0]
    if min(table.shape[1] for table in strata) < 2:
        return {name: Rank(int(place), None, None) for name, place in zip(methods, places, strict=True)}
    drawn = _places(_goodness(_resampled(strata), info))
    tail = 100 * (1 - LEVEL) / 2
    # Whole ranks that at least the share LEVEL of all resamples lies between.
    low = np.percentile(drawn, tail, axis=1, method="lower").astype(int)
    high = np.percentile(drawn, 100 - tail, axis=1, method="higher").astype(int)
    return {name: Rank(int(places[i]), int(low[i]), int(high[i])) for i, name in enumerate(methods)}


def _strata(values: Mapping[str, Mapping[str, float]], methods: list[str]) -> list[Floats]:
    """A table (methods, references) for each category, NaN where a method has no value on a reference."""
    strata: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in methods:
        for case, value in sorted(values[name].items()):
            reference = case.rpartition("/")[0]
            strata.setdefault(category_of(case), {}).setdefault(reference, {}).setdefault(name, []).append(value)
    return [
        np.array(
            [
                [np.mean(strata[category][ref].get(name, [np.nan])) for ref in sorted(strata[category])]
                for name in methods
            ]
        )
        for category in sorted(strata)
    ]


def _resampled(strata: list[Floats]) -> Floats:
    """(methods, RESAMPLES) macro means, NaN where a method has no value on what was drawn of a category."""
    total = np.zeros((len(strata[0]), RESAMPLES))
    for stratum, at, picks in draws(tuple(table.shape[1] for table in strata)):
        table = strata[stratum]
        known, counts = ~np.isnan(table), _counts(picks).astype(np.float64)
        with np.errstate(invalid="ignore"):
            total[:, at] += (np.where(known, table, 0) @ counts.T) / (known @ counts.T)
    return total / len(strata)


def _counts(picks: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N, size) how often each of so many references was picked in each row of picks (N, size)."""
    rows, size = picks.shape
    return np.bincount((picks + size * np.arange(rows)[:, None]).ravel(), minlength=rows * size).reshape(rows, size)


def _goodness(means: Floats, info: MetricInfo) -> Floats:
    """The means such that more is better, and -inf for a missing one."""
    good = {"higher": means, "lower": -means, "zero": -np.abs(means), "none": np.zeros_like(means)}[info.better]
    return np.where(np.isnan(good), -np.inf, good)


def _places(good: Floats) -> NDArray[np.int64]:
    """(methods, N) 1 + the number of methods that are better in each column."""
    with np.errstate(invalid="ignore"):  # -inf - -inf: neither is better
        return np.stack([1 + (good - mine > SAME).sum(axis=0) for mine in good])
