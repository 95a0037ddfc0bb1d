"""Bradley-Terry scores of systems from pairwise votes, with intervals over references and raters.

P(i is preferred to j) = 1 / (1 + exp(s_j - s_i)) (Bradley and Terry, Biometrika 39, 1952). "Cannot tell" is half a vote
for each. Every system is also given one vote that is a tie with a system of mean strength, so that who wins always has
a finite score. Intervals resample references and raters, each on its own (Owen, Annals of Applied Statistics 1, 2007):
another set of clips or of people is another draw. That errs on the wide side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from motionbench.bootstrap import LEVEL, RESAMPLES, SEED

from .answers import Vote

PRIOR = 0.5  # votes for and against each system, beside those that were cast
STEPS = 40
LONGEST_STEP = 2.0  # of a score in one step: Newton's method from afar
CHUNK = 500


@dataclass(frozen=True)
class Strength:
    """One system. score: log-odds against a system of mean strength, with its 95% interval; None with fewer than two
    references or raters. preferred: share of its votes won, ties half. rank: 1 + the systems that are better for
    certain (the interval of the difference lies above 0)."""

    system: str
    score: float
    low: float | None
    high: float | None
    preferred: float
    votes: int
    rank: int


def bradley_terry(votes: Sequence[Vote], *, resamples: int = RESAMPLES) -> list[Strength]:
    """Strengths of all systems with a vote, best first. [] without votes."""
    systems = sorted({name for vote in votes for name in (vote.a, vote.b)})
    if not systems:
        return []
    table = VoteTable.of(votes, systems)
    scores = fit(table.wins(np.ones((1, len(votes)))))[0]
    samples = _resample(table, resamples)
    wins = table.wins(np.ones((1, len(votes))))[0]
    tail = 100 * (1 - LEVEL) / 2
    resampled = []
    for i, name in enumerate(systems):
        low = high = None
        rank = 1
        if samples is not None:
            low, high = (float(x) for x in np.percentile(samples[:, i], [tail, 100 - tail]))
            rank += sum(bool(np.percentile(samples[:, j] - samples[:, i], tail) > 0) for j in range(len(systems)))
        count = float(wins[i].sum() + wins[:, i].sum())
        resampled.append(Strength(name, float(scores[i]), low, high, float(wins[i].sum() / count), round(count), rank))
    return sorted(resampled, key=lambda one: (-one.score, one.system))


@dataclass(frozen=True, eq=False)
class VoteTable:
    """Votes as numbers: systems a and b (V,), a's share of the vote (V,), reference and rater (V,) by number."""

    count: int
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    share: NDArray[np.float64]
    reference: NDArray[np.int64]
    rater: NDArray[np.int64]

    @classmethod
    def of(cls, votes: Sequence[Vote], systems: Sequence[str]) -> VoteTable:
        """Votes in any order make the same table but for the order."""
        votes = sorted(votes, key=lambda vote: (vote.question, vote.rater))
        number = {name: i for i, name in enumerate(systems)}
        shares = {"a": 1.0, "b": 0.0, "same": 0.5}
        return cls(
            len(systems),
            np.array([number[vote.a] for vote in votes]),
            np.array([number[vote.b] for vote in votes]),
            np.array([shares[vote.choice] for vote in votes]),
            np.unique([vote.reference_id for vote in votes], return_inverse=True)[1],
            np.unique([vote.rater for vote in votes], return_inverse=True)[1],
        )

    def wins(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R, S, S): how often the row was preferred to the column, with weights (R, V) of the votes."""
        cells = self.count**2
        forth = np.zeros((len(self.a), cells))
        rows = np.arange(len(self.a))
        forth[rows, self.a * self.count + self.b] = self.share
        forth[rows, self.b * self.count + self.a] = 1 - self.share
        return (weights @ forth).reshape(-1, self.count, self.count)


def fit(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores (R, S) of mean 0 that make the wins (R, S, S) likeliest, by Newton's method."""
    count = wins.shape[1]
    scores = np.zeros(wins.shape[:2])
    games = wins + wins.transpose(0, 2, 1)
    diagonal = np.arange(count)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(scores[:, :, None] - scores[:, None, :], -500, 500)))
        alone = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        slope = (wins - games * chance).sum(2) + PRIOR - 2 * PRIOR * alone
        spread = games * chance * (1 - chance)
        bend = -spread  # minus the second derivatives
        bend[:, diagonal, diagonal] += spread.sum(2) + 2 * PRIOR * alone * (1 - alone)
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        scores += np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < 1e-9:
            break
    centered: NDArray[np.float64] = scores - scores.mean(1, keepdims=True)
    return centered


def _resample(table: VoteTable, resamples: int) -> NDArray[np.float64] | None:
    """Scores (R, S) of resamples of references and raters; None where there are fewer than two of either."""
    references, raters = int(table.reference.max()) + 1, int(table.rater.max()) + 1
    if min(references, raters) < 2:
        return None
    rng = np.random.default_rng(SEED)
    drawn = []
    for start in range(0, resamples, CHUNK):
        rows = min(CHUNK, resamples - start)
        by_reference = rng.multinomial(references, np.full(references, 1 / references), rows)
        by_rater = rng.multinomial(raters, np.full(raters, 1 / raters), rows)
        weights = by_reference[:, table.reference] * by_rater[:, table.rater]
        drawn.append(fit(table.wins(weights.astype(np.float64))))
    return np.concatenate(drawn)
