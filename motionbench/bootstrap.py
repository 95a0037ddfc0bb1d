"""Bootstrap intervals over references, stratified by category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 20250605  # fixed for ever: the same values give the same interval
CHUNK = 500  # resamples drawn at a time, which bounds memory without changing the stream of draws
KEPT = 100  # references up to which draws are kept for the next interval: 8 MB, and three times as quick

Draw = tuple[int, slice, NDArray[np.int64]]


def macro_mean(strata: Mapping[str, Sequence[float]]) -> float:
    """Mean over strata of each stratum's mean: every category weighs the same, however many references it has.

    strata: category -> one value per reference, none empty.
    """
    return mean_of([mean_of(strata[name]) for name in sorted(strata)])


def mean_of(values: Sequence[float]) -> float:
    """`np.mean` of a few numbers to the last bit, without its preparations: a page takes 100,000 of them."""
    return float(np.add.reduce(values)) / len(values)


def percentile_interval(strata: Mapping[str, Sequence[float]]) -> tuple[float, float] | None:
    """95% percentile bootstrap interval of `macro_mean`, resampling references within each stratum.

    None where a stratum has fewer than two references: one clip says nothing about how clips differ,
    and a resample of it would print an interval of width zero. Strata are resampled in the order of their names
    and values in sorted order, so neither the order of the records nor of the shards can move a digit.
    """
    if not strata or min(len(values) for values in strata.values()) < 2:
        return None
    values = [np.sort(np.asarray(strata[name], dtype=np.float64)) for name in sorted(strata)]
    means = np.zeros(RESAMPLES)
    for stratum, at, picks in draws(tuple(map(len, values))):
        means[at] += values[stratum][picks].mean(axis=1)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means / len(strata), [tail, 100 - tail])
    return float(low), float(high)


def draws(sizes: tuple[int, ...]) -> Iterable[Draw]:
    """The draws with replacement from strata of these sizes: (stratum, which of the RESAMPLES, their picks (n, size)).

    They depend on the sizes alone, so that whatever is resampled alike is drawn alike, and drawn once.
    """
    return _kept_draws(sizes) if sum(sizes) <= KEPT else _draw(sizes)


@lru_cache(maxsize=4)
def _kept_draws(sizes: tuple[int, ...]) -> tuple[Draw, ...]:
    return tuple(
        (stratum, slice(0, RESAMPLES), np.concatenate([picks for _, _, picks in own]))
        for stratum, own in groupby(_draw(sizes), key=itemgetter(0))
    )


def _draw(sizes: tuple[int, ...]) -> Iterator[Draw]:
    rng = np.random.default_rng(SEED)
    for stratum, size in enumerate(sizes):
        for start in range(0, RESAMPLES, CHUNK):
            yield stratum, slice(start, start + CHUNK), rng.integers(0, size, size=(CHUNK, size))
