"""From records and scores to published numbers: the only place in the project where values are averaged.

Seeds of a case are averaged first, then the cases (prompts) of a reference, the references of a category, and the
categories: a reference with many prompts weighs no more than one with few, nor a category with many references.
Where closest to zero is best, every value counts by its distance from zero: too much here and too little there do not
make up for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from motionbench.basis import Basis
from motionbench.bootstrap import macro_mean, mean_of, percentile_interval
from motionbench.gate import gate_of
from motionbench.metric import MetricInfo
from motionbench.record import Record, Row, Score
from motionbench.store import ResultStore
from motionbench.summary_file import Cost, Counts, Failure, Summary

ALL = "all"
COINCIDE = 1e-9  # a floor and a ceiling closer than this span no scale


@dataclass(frozen=True)
class Attempts:
    """All attempts of one method, with the value of each metric on each.

    records: the last one per key. scores: (record key, metric) -> the score that counts (see `latest_scores`).
    to_zero: the metrics of which closest to zero is best.
    """

    method: str
    records: tuple[Record, ...]
    scores: Mapping[tuple[str, str], Score]
    to_zero: frozenset[str]  # no default: who makes these from others must not lose it

    def value(self, record: Record, metric: str) -> float | None:
        """The measured value, or None: failed, unmeasurable, not yet scored, or one of a mixture (see `Basis`)."""
        score = self.scores.get((record.key, metric))
        missing = record.status != "ok" or score is None or self.basis(metric).mixed
        return None if missing or score is None else score.value

    def basis(self, metric: str) -> Basis:
        """The trackers and models that the values of a metric rest on."""
        return self._bases.get(metric, Basis())

    @cached_property
    def _bases(self) -> dict[str, Basis]:
        by_metric: dict[str, list[Score]] = defaultdict(list)
        for (_, metric), score in self.scores.items():
            by_metric[metric].append(score)
        return {metric: Basis.of(scores) for metric, scores in by_metric.items()}

    @classmethod
    def read(cls, store: ResultStore, infos: Mapping[str, MetricInfo]) -> Self:
        """The attempts in a results folder."""
        method = str(store.read_run()["configuration"]["method"])
        return cls(method, tuple(store.records()), latest_scores(store.scores(), infos), those_to_zero(infos))

    def case_values(self, metric: str) -> dict[str, float]:
        """Case id -> mean over its seeds, for the cases with a value; of distances from zero for those `to_zero`."""
        return self._case_means(metric, abs if metric in self.to_zero else float)

    def signed_case_values(self, metric: str) -> dict[str, float]:
        """Case id -> mean over its seeds of the values as they are."""
        return self._case_means(metric, float)

    def _case_means(self, metric: str, of: Callable[[float], float]) -> dict[str, float]:
        values: dict[str, list[float]] = defaultdict(list)
        for record in self.records:
            value = self.value(record, metric)
            if value is not None:
                values[record.case_id].append(of(value))
        return {case: mean_of(values[case]) for case in sorted(values)}


def those_to_zero(infos: Mapping[str, MetricInfo]) -> frozenset[str]:
    """The metrics of which closest to zero is best."""
    return frozenset(name for name, info in infos.items() if info.better == "zero")


def category_of(case_id: str) -> str:
    """`category` of `category/NNNN/n`."""
    return case_id.partition("/")[0]


def values_to_strata(values: Mapping[str, float]) -> dict[str, list[float]]:
    """Case id -> value, turned into category -> mean value of each reference: what the bootstrap resamples."""
    references: dict[str, list[float]] = defaultdict(list)
    for case in sorted(values):
        references[case.rpartition("/")[0]].append(values[case])
    strata: dict[str, list[float]] = defaultdict(list)
    for reference, members in references.items():
        strata[category_of(reference)].append(mean_of(members))
    return dict(strata)


def complete_mean(strata: Mapping[str, Sequence[float]], cases: Collection[str]) -> float | None:
    """Macro mean over the categories of `cases`; None if one of them has no value, since fewer is another number."""
    return macro_mean(strata) if strata and set(strata) == {category_of(case) for case in cases} else None


def latest_scores(scores: Iterable[Score], infos: Mapping[str, MetricInfo]) -> dict[tuple[str, str], Score]:
    """(record key, metric) -> the score by the installed version of the metric, or the newest if none is installed."""
    chosen: dict[tuple[str, str], Score] = {}
    for score in scores:
        info = infos.get(score.metric)
        if info is not None and score.metric_version != info.version:
            continue
        earlier = chosen.get((score.record_key, score.metric))
        if earlier is None or score.metric_version >= earlier.metric_version:
            chosen[score.record_key, score.metric] = score
    return chosen


def summarize(attempts: Attempts, controls: Mapping[str, Attempts], infos: Mapping[str, MetricInfo]) -> list[Row]:
    """One row per metric and category (macro `all` last), with floor, ceiling and normalized score.

    controls: by method name, on the same split; only their values on the cases of `attempts` count.
    A category of which nothing could be measured has mean None, and then so has `all`: a mean over fewer categories
    would be another number.
    """
    near = those_to_zero(infos)
    attempts = attempts if attempts.to_zero == near else replace(attempts, to_zero=near)
    controls = {k: v if v.to_zero == near else replace(v, to_zero=near) for k, v in controls.items()}
    everyone = {attempts.method: attempts, **controls}
    categories = [*sorted({category_of(r.case_id) for r in attempts.records}), ALL]
    return [_row(attempts, everyone, info, category) for info in infos.values() for category in categories]


def make_summary(
    configuration: Mapping[str, Any],
    attempts: Attempts,
    controls: Mapping[str, Attempts],
    infos: Mapping[str, MetricInfo],
) -> Summary:
    """The content of `summary.json`: the method's rows and gate, the controls' rows, the metrics' facts, the costs."""
    others = [c for name, c in sorted(controls.items()) if name != attempts.method]
    return Summary(
        configuration=dict(configuration),
        metrics=dict(infos),
        rows=tuple(summarize(attempts, controls, infos)),
        control_rows=tuple(row for control in others for row in summarize(control, controls, infos)),
        trackers={name: tuple(sorted(bases([attempts, *others], name).trackers)) for name in infos},
        models={name: tuple(sorted(bases([attempts, *others], name).models)) for name in infos},
        on_record=counts(attempts.records),
        gate=gate_of(attempts.method, configuration).to_json(),
        cost=cost(attempts.records),
        failures=tuple(Failure.of(r) for r in attempts.records if r.status == "failed"),
    )


def bases(everyone: Iterable[Attempts], metric: str) -> Basis:
    """What a metric's values rest on in all of these."""
    each = [attempts.basis(metric) for attempts in everyone]
    return Basis(*(frozenset[str]().union(*sets) for sets in zip(*((b.trackers, b.models) for b in each), strict=True)))


def counts(records: Iterable[Record]) -> Counts:
    """How many cases and references are on record: what a summary speaks of, whatever the last command asked for."""
    cases = {record.case_id for record in records}
    return Counts(len(cases), len({case.rpartition("/")[0] for case in cases}))


def cost(records: Sequence[Record]) -> Cost:
    """Mean seconds and greatest memory of the attempts that succeeded: what a score was paid with.

    fit_seconds is a mean over attempts that fitted: cases of one reference share an adapter, and only one pays for it.
    """
    done = [r for r in records if r.status == "ok"]
    fits = [r.fit_seconds for r in done if r.fit_seconds is not None]
    samples = [r.generate_seconds for r in done if r.generate_seconds is not None]
    memory = [r.peak_memory_bytes for r in done if r.peak_memory_bytes is not None]
    return Cost(
        float(np.mean(fits)) if fits else None,
        float(np.mean(samples)) if samples else None,
        max(memory, default=None),
    )


def _row(attempts: Attempts, everyone: Mapping[str, Attempts], info: MetricInfo, category: str) -> Row:
    records = [r for r in attempts.records if category in (ALL, category_of(r.case_id))]
    cases = frozenset(r.case_id for r in records)
    strata = _strata(attempts, info.name, cases)
    mean = complete_mean(strata, cases)
    low, high = (percentile_interval(strata) if mean is not None else None) or (None, None)
    # A control that was seen by another tracker or model marks no end of these values.
    alike = {k: v for k, v in everyone.items() if not v.basis(info.name).differs(attempts.basis(info.name))}
    floor = _control_mean(alike, [info.floor], info.name, cases)
    ceiling = _control_mean(alike, info.ceiling, info.name, cases)
    n = sum(attempts.value(r, info.name) is not None for r in records)
    scaled = normalize(mean, floor, ceiling, info)
    signed = None
    if info.better == "zero":
        signed = complete_mean(_within(attempts.signed_case_values(info.name), cases), cases)
    return Row(
        attempts.method, category, info.name, mean, low, high, floor, ceiling, scaled, n, len(records) - n,
        _support(attempts, records, info.name), signed,
    )  # fmt: skip


def _support(attempts: Attempts, records: Iterable[Record], metric: str) -> float | None:
    """Mean over all scores that say how many of their points were kept, those without a value included."""
    scores = (attempts.scores.get((record.key, metric)) for record in records)
    shares = [share for score in scores if score is not None and (share := score.support) is not None]
    return float(np.mean(shares)) if shares else None


def _strata(attempts: Attempts, metric: str, cases: frozenset[str]) -> dict[str, list[float]]:
    return _within(attempts.case_values(metric), cases)


def _within(values: Mapping[str, float], cases: frozenset[str]) -> dict[str, list[float]]:
    return values_to_strata({case: value for case, value in values.items() if case in cases})


def _control_mean(
    everyone: Mapping[str, Attempts], names: Sequence[str], metric: str, cases: frozenset[str]
) -> float | None:
    """Mean of the first named control that has a value in every category, on the same cases."""
    for name in names:
        if name in everyone:
            mean = complete_mean(_strata(everyone[name], metric, cases), cases)
            if mean is not None:
                return mean
    return None


def normalize(mean: float | None, floor: float | None, ceiling: float | None, info: MetricInfo) -> float | None:
    """(mean - floor) / (ceiling - floor): 0 like the floor control, 1 like the ceiling control, not clipped.

    Where closest to zero is best, all three are mean distances from zero: overshooting as far as the floor falls short
    gains nothing. None where one is missing, where both ends coincide, where neither end is better (`none`), and where
    the "floor" is the better of the two: a frozen frame is perfectly consistent in time, and a scale from it to a real
    clip would be upside down.
    """
    if mean is None or floor is None or ceiling is None or info.better == "none":
        return None
    gain = ceiling - floor if info.better == "higher" else floor - ceiling
    return (mean - floor) / (ceiling - floor) if gain > COINCIDE else None
