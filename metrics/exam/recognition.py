"""What answers about pairs say: how often an output knows its own reference, with intervals over footage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from motionbench.bootstrap import LEVEL, RESAMPLES, SEED
from motionbench.metric import MetricInfo

from .pair_list import Pair
from .pair_run import OTHER, OWN, REVERSED
from .plan import Answer
from .rank_agreement import goodness
from .report import Estimate

Array = NDArray[np.float64]
MEASURES = ("beats", "auc", "top1", "backwards")


@dataclass(frozen=True)
class Outcome:
    """How good one output is by one metric against its own reference, that backwards, and each other one.

    None: unmeasurable; note says why. kept: tracks that survive in the clip that has fewer.
    """

    pair: Pair
    own: float | None = None
    note: str = ""
    kept: int | None = None
    backwards: float | None = None
    others: dict[str, float | None] = field(default_factory=dict)

    @property
    def rivals(self) -> list[float]:
        """The values against other references that there are."""
        return [value for value in self.others.values() if value is not None]

    @property
    def lost(self) -> list[str]:
        """What is as good as the own reference or better: `backwards` and names of references."""
        if self.own is None:
            return []
        against = {"backwards": self.backwards, **self.others}
        return [name for name, value in against.items() if value is not None and value >= self.own]


@dataclass(frozen=True)
class Recognition:
    """One metric by one tracker on some pairs. missing: pairs without a value. own, other: mean goodness.

    beats: share of other references that the own one is better than; auc: of all own values over all others; top1:
    share of pairs in which it is better than all; backwards: than itself reversed. A tie counts half.
    """

    metric: str
    version: int
    tracker: str
    pairs: int
    missing: int
    own: float | None
    other: float | None
    beats: Estimate
    auc: Estimate
    top1: Estimate
    backwards: Estimate


def to_outcomes(answers: Iterable[Answer], pairs: Sequence[Pair], info: MetricInfo, tracker: str) -> list[Outcome]:
    """One outcome per pair that was asked about, in the order of the pairs."""
    by_pair: dict[str, dict[str, Answer]] = defaultdict(dict)
    for a in answers:
        if (a.metric, a.version, a.tracker) == (info.name, info.version, tracker):
            by_pair[a.reference][a.question] = a
    outcomes = []
    for pair in pairs:
        of_pair = by_pair[pair.id]
        if OWN not in of_pair:
            continue
        good = {name: None if a.value is None else goodness(a.value, info) for name, a in of_pair.items()}
        others = {name.removeprefix(OTHER).strip(): value for name, value in good.items() if name.startswith(OTHER)}
        outcomes.append(Outcome(pair, good[OWN], of_pair[OWN].note, of_pair[OWN].kept, good.get(REVERSED), others))
    return outcomes


def recognize(outcomes: Sequence[Outcome], info: MetricInfo, tracker: str) -> Recognition:
    """The shares with their intervals, over the pairs that could be measured."""
    there = [outcome for outcome in outcomes if outcome.own is not None]
    rivals = [value for outcome in there for value in outcome.rivals]
    estimates = {name: _estimate(there, _TABLES[name]) for name in MEASURES}
    return Recognition(
        metric=info.name, version=info.version, tracker=tracker,
        pairs=len(outcomes), missing=len(outcomes) - len(there),
        own=float(np.mean([o.own for o in there])) if there else None,
        other=float(np.mean(rivals)) if rivals else None,
        **estimates,
    )  # fmt: skip


def differences(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> dict[str, Estimate]:
    """By how much one metric recognizes more than another, on the pairs that both could measure; same resamples."""
    measured = {o.pair.id for o in theirs if o.own is not None}
    first = [o for o in ours if o.own is not None and o.pair.id in measured]
    ids = {o.pair.id for o in first}
    second = [o for o in theirs if o.pair.id in ids]
    by_name = {}
    for name in MEASURES:
        a, b = (_shares(_TABLES[name](side), len(_footage(first))) for side in (first, second))
        by_name[name] = _to_estimate(a - b, len(_footage(first)))
    return by_name


# A table: two (G, G) arrays over footage, won and asked. A share under weights w of the footage is w W w / w A w. Where
# each pair is asked by itself all lies on the diagonal, and weights count once: its root is taken for both sides.
Table = tuple[Array, Array, bool]


def _footage(outcomes: Sequence[Outcome]) -> dict[str, int]:
    return {group: i for i, group in enumerate(sorted({o.pair.group for o in outcomes}))}


def _diagonal(outcomes: Sequence[Outcome], won: Callable[[Outcome], list[float]]) -> Table:
    footage = _footage(outcomes)
    table = np.zeros((2, len(footage), len(footage)))
    for outcome in outcomes:
        wins, at = won(outcome), footage[outcome.pair.group]
        table[0, at, at] += sum(wins)
        table[1, at, at] += len(wins)
    return table[0], table[1], True


def _win(a: float | None, b: float | None) -> list[float]:
    return [] if a is None or b is None else [0.5 if a == b else float(a > b)]


def _beats(outcomes: Sequence[Outcome]) -> Table:
    return _diagonal(outcomes, lambda o: [won for value in o.rivals for won in _win(o.own, value)])


def _top1(outcomes: Sequence[Outcome]) -> Table:
    return _diagonal(outcomes, lambda o: _win(o.own, max(o.rivals, default=None)))


def _backwards(outcomes: Sequence[Outcome]) -> Table:
    return _diagonal(outcomes, lambda o: _win(o.own, o.backwards))


def _auc(outcomes: Sequence[Outcome]) -> Table:
    footage = _footage(outcomes)
    table = np.zeros((2, len(footage), len(footage)))
    for mine in outcomes:
        for yours in outcomes:
            for value in yours.rivals:
                at = footage[mine.pair.group], footage[yours.pair.group]
                table[0][at] += sum(_win(mine.own, value))
                table[1][at] += 1
    return table[0], table[1], False


_TABLES: Mapping[str, Callable[[Sequence[Outcome]], Table]] = {
    "beats": _beats, "auc": _auc, "top1": _top1, "backwards": _backwards
}  # fmt: skip


def _estimate(outcomes: Sequence[Outcome], make: Callable[[Sequence[Outcome]], Table]) -> Estimate:
    n = len(_footage(outcomes))
    return _to_estimate(_shares(make(outcomes), n), n)


def _shares(table: Table, n: int) -> Array:
    """(1 + RESAMPLES,) the share itself, then under each resample of the footage."""
    won, asked, once = table
    if not n or not asked.any():
        return np.full(1, np.nan)
    draws = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    weights = np.concatenate([np.ones((1, n)), draws])
    if once:
        top, bottom = weights @ np.diag(won), weights @ np.diag(asked)
    else:
        top, bottom = (np.einsum("bi,ij,bj->b", weights, x, weights, optimize=True) for x in (won, asked))
    shares: Array = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return shares


def _to_estimate(shares: Array, n: int) -> Estimate:
    if np.isnan(shares[0]):
        return Estimate(None, None, None, 0)
    again = shares[1:][~np.isnan(shares[1:])]
    if n < 2 or not len(again):
        return Estimate(float(shares[0]), None, None, n)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(again, [tail, 100 - tail])
    return Estimate(float(shares[0]), float(low), float(high), n)
