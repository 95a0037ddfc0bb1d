"""How far raters agree with each other, and how often a metric decides as they did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from motionbench.bootstrap import percentile_interval
from motionbench.metric import MetricInfo
from motionbench.record import Score
from motionbench.summary import ALL, category_of, complete_mean, latest_scores, values_to_strata

from ..boards import Board
from .answers import Vote


@dataclass(frozen=True)
class Consistency:
    """Raters among themselves. alpha: Krippendorff's, nominal, 1 = one voice, 0 = chance; None without a question that
    two answered alike or differently. same_answer: share of pairs of raters that gave one answer to one question."""

    alpha: float | None
    same_answer: float | None
    questions: int
    answers: int


@dataclass(frozen=True)
class Decided:
    """How often one judge decides as the raters did: share in [0, 1] with its 95% interval over references.

    judge: metric with version and tracker, or `another rater`. category: one, or `all` (macro mean). n_questions: what
    it rests on; n_missing: questions on which the judge has no value; n_split: those on which raters are split evenly.
    """

    judge: str
    category: str
    share: float | None
    low: float | None
    high: float | None
    n_references: int
    n_questions: int
    n_missing: int
    n_split: int


def krippendorff_alpha(units: Iterable[Sequence[str]]) -> float | None:
    """Krippendorff's alpha for nominal answers; None where fewer than two answers of a unit, or one kind, are given.

    units: the answers to each question. Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011, part D:
    1 - (n - 1) * observed / expected, where disagreements of a unit of m answers weigh 1 / (m - 1).
    """
    values: Counter[str] = Counter()
    apart = 0.0
    for unit in units:
        if len(unit) < 2:
            continue
        counts = Counter(unit)
        values.update(counts)
        apart += sum(c * (len(unit) - c) for c in counts.values()) / (len(unit) - 1)
    total = values.total()
    expected = sum(c * (total - c) for c in values.values())
    return 1 - (total - 1) * apart / expected if expected else None


def consistency(votes: Sequence[Vote]) -> Consistency:
    """Agreement of the raters with each other on the questions that two or more answered."""
    units = [
        tuple(vote.choice for vote in votes_on_one)
        for votes_on_one in by_question(votes).values()
        if len(votes_on_one) > 1
    ]
    pairs = sum(len(unit) * (len(unit) - 1) for unit in units)
    same = sum(c * (c - 1) for unit in units for c in Counter(unit).values())
    return Consistency(krippendorff_alpha(units), same / pairs if pairs else None, len(units), sum(map(len, units)))


def by_question(votes: Iterable[Vote]) -> dict[str, list[Vote]]:
    """Votes by question, both sorted."""
    by_name: dict[str, list[Vote]] = defaultdict(list)
    for vote in sorted(votes, key=lambda vote: (vote.question, vote.rater)):
        by_name[vote.question].append(vote)
    return dict(by_name)


def majority(votes: Iterable[Vote]) -> str | None:
    """`a` or `b`, whichever more raters chose; None where as many chose the one as the other."""
    counts = Counter(vote.choice for vote in votes)
    return None if counts["a"] == counts["b"] else "a" if counts["a"] > counts["b"] else "b"


def raters_agreement(votes: Sequence[Vote]) -> list[Decided]:
    """How often one rater decides as the majority of the others did: about the most that a metric can reach."""
    values: dict[str, float] = {}
    asked: dict[str, str] = {}
    split: list[str] = []
    for name, choices in by_question(votes).items():
        if len(choices) < 2:
            continue
        asked[name] = choices[0].case_id
        shares = []
        for vote in choices:
            others = majority(other for other in choices if other is not vote)
            if others is not None:
                shares.append(0.5 if vote.choice == "same" else float(vote.choice == others))
        if shares:
            values[name] = sum(shares) / len(shares)
        else:
            split.append(name)
    return _decided("another rater", values, asked, split)


def metric_agreement(
    votes: Sequence[Vote], records: Mapping[str, Mapping[str, str]], board: Board
) -> tuple[list[Decided], list[str]]:
    """For each metric of a board, how often it decides as most raters did; and notes on what was left out.

    records: question -> side -> record key, as the key has them. Equal values are half right; a missing value is
    counted and left out. A metric whose scores rest on two trackers is left out: they are two metrics.
    """
    chosen: dict[tuple[str, str], Score] = {}
    for entry in board.entries:
        chosen |= latest_scores(entry.scores, board.infos)
    decided: list[Decided] = []
    notes: list[str] = []
    questions = by_question(votes)
    wanted = {name: side for name, choices in questions.items() if (side := majority(choices)) is not None}
    for metric, info in board.infos.items():
        if info.better == "none":
            notes.append(f"{metric} is left out: neither more nor less of it is better")
            continue
        scores = {key: score for (key, name), score in chosen.items() if name == metric}
        used = {key for name in wanted for key in records[name].values()} & scores.keys()
        trackers = sorted({str(scores[key].details["tracker"]) for key in used if "tracker" in scores[key].details})
        if len(trackers) > 1:
            notes.append(f"{metric} is left out: its scores rest on {' and '.join(trackers)}; score with one of them")
            continue
        right = {
            name: value
            for name, side in wanted.items()
            if (value := _right(info, [scores.get(records[name][one]) for one in "ab"], side)) is not None
        }
        judge = f"{metric} v{info.version}" + (f" ({trackers[0]})" if trackers else "")
        asked = {name: choices[0].case_id for name, choices in questions.items()}
        decided += _decided(judge, right, asked, asked.keys() - wanted.keys())
    return decided, notes


def _right(info: MetricInfo, scores: Sequence[Score | None], side: str) -> float | None:
    """1 if the metric prefers the raters' side, 0 if the other, 0.5 if neither; None without both values."""
    goods = [_goodness(info, score) for score in scores]
    a, b = goods
    if a is None or b is None:
        return None
    return 0.5 if a == b else float((a > b) == (side == "a"))


def _goodness(info: MetricInfo, score: Score | None) -> float | None:
    if score is None or score.value is None:
        return None
    return {"higher": score.value, "lower": -score.value, "zero": -abs(score.value)}[info.better]


def _decided(
    judge: str, values: Mapping[str, float], asked: Mapping[str, str], split: Collection[str]
) -> list[Decided]:
    """The judge's shares per category and over all; a question is a case, cases of a reference are averaged first.

    values: question -> share; asked: question -> case; split: the questions that the raters left open.
    """
    by_case: dict[str, list[float]] = defaultdict(list)
    for name in sorted(values):
        by_case[asked[name]].append(values[name])
    strata = values_to_strata({case: sum(decisions) / len(decisions) for case, decisions in by_case.items()})
    decided = []
    for category in [*sorted({category_of(case) for case in asked.values()}), ALL]:
        names = [name for name, case in asked.items() if category in (ALL, category_of(case))]
        kept = {name: decisions for name, decisions in strata.items() if category in (ALL, name)}
        share = complete_mean(kept, [asked[name] for name in names])
        low, high = (percentile_interval(kept) if share is not None else None) or (None, None)
        n, open_ones = sum(name in values for name in names), sum(name in split for name in names)
        references = sum(map(len, kept.values()))
        decided.append(Decided(judge, category, share, low, high, references, n, len(names) - n - open_ones, open_ones))
    return decided


def decided_to_json(decided: Iterable[Decided]) -> list[dict[str, Any]]:
    """As `--json` prints them."""
    return [asdict(one) for one in decided]
