"""The bootstrap against a plain loop, known distributions, and its promise that order changes nothing."""

from __future__ import annotations

import random
from statistics import fmean

import numpy as np
import pytest

from motionbench.bootstrap import KEPT, RESAMPLES, draws, macro_mean, mean_of, percentile_interval


def reference_interval(strata: dict[str, list[float]], resamples: int) -> tuple[float, float]:
    """Stratified percentile bootstrap in plain loops, with another random source."""
    source = random.Random(1)
    means = sorted(
        fmean(fmean(source.choices(values, k=len(values))) for values in strata.values()) for _ in range(resamples)
    )
    return means[int(0.025 * resamples)], means[int(0.975 * resamples)]


def test_interval_agrees_with_plain_loops() -> None:
    source = np.random.default_rng(0)
    strata = {"camera": list(source.normal(0.8, 0.1, 12)), "human": list(source.normal(0.5, 0.2, 7))}
    low, high = percentile_interval(strata) or pytest.fail("no interval")
    expected = reference_interval(strata, 4000)
    # two Monte Carlo estimates of a 2.5% quantile, standard error below 0.002 at these sizes
    assert (low, high) == pytest.approx(expected, abs=0.008)


def test_interval_of_a_normal_sample_is_two_standard_errors_wide() -> None:
    values = np.random.default_rng(3).normal(0, 1, 400)
    low, high = percentile_interval({"camera": values.tolist()}) or pytest.fail("no interval")
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.01)
    assert high == pytest.approx(values.mean() + half, abs=0.01)


def test_order_of_references_and_categories_changes_no_digit() -> None:
    values = [0.1, 0.9, 0.4, 0.6]
    first = percentile_interval({"a": values, "b": [0.0, 1.0]})
    assert percentile_interval({"b": [1.0, 0.0], "a": values[::-1]}) == first


def test_macro_mean_weighs_categories_alike() -> None:
    assert macro_mean({"a": [1.0] * 99, "b": [0.0]}) == 0.5


def test_single_reference_has_no_interval() -> None:
    assert percentile_interval({"a": [0.3]}) is None
    assert percentile_interval({"a": [0.3, 0.4], "b": [0.5]}) is None
    assert percentile_interval({}) is None


def test_equal_values_have_an_interval_of_width_zero() -> None:
    assert percentile_interval({"a": [0.25, 0.25, 0.25]}) == (0.25, 0.25)


def test_resamples_are_the_declared_number() -> None:
    assert RESAMPLES == 10_000


def test_draws_that_are_kept_are_those_that_are_drawn_anew() -> None:
    few, many = (2, 5), (2, 5, KEPT)  # the first are kept, the second are not: the same stream begins both
    drawn = {stratum: np.zeros((RESAMPLES, size), int) for stratum, size in enumerate(many)}
    for stratum, at, picks in draws(many):
        drawn[stratum][at] = picks
    for _ in range(2):
        assert [at for _, at, _ in draws(few)] == [slice(0, RESAMPLES)] * 2
        for stratum, _, picks in draws(few):
            assert (picks == drawn[stratum]).all()


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 129])
def test_a_mean_of_a_few_numbers_is_numpys_to_the_last_bit(count: int) -> None:
    rng = np.random.default_rng(count)
    values = list(rng.normal(size=count) * 10.0 ** rng.integers(-5, 6, count))
    assert mean_of(values) == float(np.mean(values))
