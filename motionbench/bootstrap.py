"""Bootstrap intervals over references, stratified by category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
SEED = 20250605  # fixed for ever: the same values give the same interval
CHUNK = 500  # resamples drawn at a time, which bounds memory without changing the stream of draws


def macro_mean(strata: Mapping[str, Sequence[float]]) -> float:
    """Mean over strata of each stratum's mean: every category weighs the same, however many references it has.

    strata: category -> one value per reference, none empty.
    """
    return float(np.mean([np.mean(strata[name]) for name in sorted(strata)]))


def percentile_interval(strata: Mapping[str, Sequence[float]]) -> tuple[float, float] | None:
    """95% percentile bootstrap interval of `macro_mean`, resampling references within each stratum.

    None where a stratum has fewer than two references: one clip says nothing about how clips differ,
    and a resample of it would print an interval of width zero. Strata are resampled in the order of their names
    and values in sorted order, so neither the order of the records nor of the shards can move a digit.
    """
    if not strata or min(len(values) for values in strata.values()) < 2:
        return None
    rng = np.random.default_rng(SEED)
    means = np.zeros(RESAMPLES)
    for name in sorted(strata):
        means += _resampled_means(np.sort(np.asarray(strata[name], dtype=np.float64)), rng)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means / len(strata), [tail, 100 - tail])
    return float(low), float(high)


def _resampled_means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(RESAMPLES,) means of samples drawn from values (N,) with replacement."""
    chunks = []
    for _ in range(RESAMPLES // CHUNK):
        picks = rng.integers(0, len(values), size=(CHUNK, len(values)))
        chunks.append(values[picks].mean(axis=1))
    return np.concatenate(chunks)
