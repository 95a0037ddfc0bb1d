"""What a study shows, as numbers: rows of variants, contrasts with intervals, and how a paper's numbers compare.

Nothing is averaged here: `summary` and `comparison` are the only places that do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from motionbench.comparison import Difference, compare
from motionbench.controls import control_stores
from motionbench.errors import StoreError
from motionbench.job import resolve
from motionbench.metric import MetricInfo
from motionbench.plan import RunPlan
from motionbench.record import Row
from motionbench.store import ResultStore
from motionbench.summary import ALL, Attempts, bases, cost, summarize
from motionbench.summary_file import Cost, Failure

from .declaration import SECONDS, Contrast, Study
from .running import variant_folders

Verdict = Literal["same sign", "opposite sign", "not told apart", ""]


@dataclass(frozen=True)
class VariantResult:
    """One variant: rows by (metric, category), cost as in a summary, attempts planned and on record, failures.

    same_as: the earlier variant that it is, in the same settings; None if it is its own.
    """

    name: str
    title: str
    rows: Mapping[tuple[str, str], Row]
    cost: Cost
    planned: int
    on_record: int
    failures: tuple[Failure, ...]
    published: Mapping[str, float]
    same_as: str | None = None

    @property
    def seconds(self) -> float | None:
        """Mean of a fit and a clip together; None where neither was measured."""
        parts = [value for value in (self.cost.fit_seconds, self.cost.generate_seconds) if value is not None]
        return float(sum(parts)) if parts else None


@dataclass(frozen=True)
class ContrastResult:
    """One contrast: the paired differences by (metric, category).

    published: metric -> a - b in the paper. verdicts: metric -> whether ours has its sign, by the interval.
    """

    contrast: Contrast
    differences: Mapping[tuple[str, str], Difference]
    published: Mapping[str, float]
    verdicts: Mapping[str, Verdict]


@dataclass(frozen=True)
class StudyReport:
    """A whole study's result. facts: what the numbers rest on, by name. notes: what a reader must know of them."""

    study: Study
    infos: Mapping[str, MetricInfo]
    categories: tuple[str, ...]
    variants: Mapping[str, VariantResult]
    contrasts: tuple[ContrastResult, ...]
    facts: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def distinct(self) -> list[VariantResult]:
        """The variants without those that are an earlier one again, as a sweep through the baseline has them."""
        return [result for result in self.variants.values() if result.same_as is None]

    @property
    def new_contrasts(self) -> list[ContrastResult]:
        """The contrasts without those that say again what an earlier one says, or compare a variant with itself."""
        contrasts: dict[tuple[str, str], ContrastResult] = {}
        for result in self.contrasts:
            a, b = (self.variants[name].same_as or name for name in (result.contrast.a, result.contrast.b))
            if a != b:
                contrasts.setdefault((a, b), result)
        return list(contrasts.values())


def make_report(study: Study, plans: Mapping[str, RunPlan], out: Path, infos: Mapping[str, MetricInfo]) -> StudyReport:
    """The report of what a study's folders hold. A variant that was not run has no rows. Raises StoreError if none was,
    or if scores of one metric rest on two trackers or models."""
    folders = variant_folders(dict(plans), out)
    stores = {name: ResultStore(folder) for name, folder in folders.items() if (folder / "run.json").is_file()}
    if not stores:
        raise StoreError(f"{out} holds no results of this study; `motionbench study` without --no-run makes them")
    controls = {name: Attempts.read(store, infos) for name, store in control_stores(ResultStore(out)).items()}
    keys = {name: _keys(plan) for name, plan in plans.items()}
    attempts = {name: _only(Attempts.read(store, infos), keys[name]) for name, store in stores.items()}
    _refuse_mixed([*attempts.values(), *controls.values()], infos)
    variants = {
        name: replace(
            _variant_result(study, name, attempts.get(name), controls, infos, len(keys[name])),
            same_as=folders[name].name if folders[name].name != name else None,
        )
        for name in study.variants
    }
    categories = tuple(sorted({record.category for part in attempts.values() for record in part.records}))
    contrasts = tuple(
        _contrast_result(study, contrast, attempts, infos)
        for contrast in study.contrasts
        if contrast.a in attempts and contrast.b in attempts
    )
    notes = tuple(_stale(stores.values(), infos))
    return StudyReport(study, infos, categories, variants, contrasts, _facts(stores, attempts, infos), notes)


def _stale(stores: Iterable[ResultStore], infos: Mapping[str, MetricInfo]) -> Iterator[str]:
    """A sentence for each metric whose scores are of another version than is installed, and so are not shown."""
    scored = {(score.metric, score.metric_version) for store in stores for score in store.scores()}
    for name, info in infos.items():
        versions = sorted(version for metric, version in scored if metric == name)
        if versions and info.version not in versions:
            yield (
                f"{name} v{info.version} is installed and the scores are of v{versions[-1]}, another number, which is "
                "left out: score the study again (without --no-score)"
            )


def _keys(plan: RunPlan) -> set[str]:
    job = resolve(plan)
    return {job.key(case, unit.seed) for unit in job.units() for case in unit.cases}


def _only(attempts: Attempts, keys: set[str]) -> Attempts:
    """The attempts that the study asks for: a folder may hold more, such as seeds of an earlier version of the file.

    Records made elsewhere (another device, an earlier version of the package) have other keys: then all count.
    """
    kept = tuple(record for record in attempts.records if record.key in keys)
    return replace(attempts, records=kept or attempts.records)


def _variant_result(
    study: Study,
    name: str,
    attempts: Attempts | None,
    controls: Mapping[str, Attempts],
    infos: Mapping[str, MetricInfo],
    planned: int,
) -> VariantResult:
    variant = study.variants[name]
    if attempts is None:
        return VariantResult(name, variant.title, {}, Cost(), planned, 0, (), variant.published)
    rows = {(row.metric, row.category): row for row in summarize(attempts, controls, infos)}
    failures = tuple(Failure.of(record) for record in attempts.records if record.status == "failed")
    paid = cost(attempts.records)
    return VariantResult(name, variant.title, rows, paid, planned, len(attempts.records), failures, variant.published)


def _contrast_result(
    study: Study, contrast: Contrast, attempts: Mapping[str, Attempts], infos: Mapping[str, MetricInfo]
) -> ContrastResult:
    by_metric = compare(attempts[contrast.a], attempts[contrast.b], list(infos))
    differences = {(one.metric, one.category): one for one in by_metric}
    a, b = (study.variants[name].published for name in (contrast.a, contrast.b))
    published = {key: a[key] - b[key] for key in a if key in b}
    verdicts = {m: to_verdict(published[m], differences[m, ALL]) for m in infos if m in published}
    return ContrastResult(contrast, differences, published, verdicts)


def to_verdict(published: float, measured: Difference) -> Verdict:
    """Whether a difference has the sign of a published one; told apart only if its interval excludes 0."""
    if measured.difference is None or measured.low is None or measured.high is None or published == 0:
        return ""
    if measured.low <= 0 <= measured.high:
        return "not told apart"
    return "same sign" if (measured.difference > 0) == (published > 0) else "opposite sign"


def _refuse_mixed(everyone: list[Attempts], infos: Mapping[str, MetricInfo]) -> None:
    for metric in infos:
        basis = bases(everyone, metric)
        if basis.mixed:
            raise StoreError(f"{metric} rests on {basis}: scores of two kinds; score the whole study again alike")


def _facts(
    stores: Mapping[str, ResultStore], attempts: Mapping[str, Attempts], infos: Mapping[str, MetricInfo]
) -> dict[str, str]:
    runs = [store.read_run() for store in stores.values()]
    configurations = [run["configuration"] for run in runs]
    held_bases = [bases(attempts.values(), metric) for metric in infos]
    references = {r.case_id.rpartition("/")[0] for part in attempts.values() for r in part.records}
    seeds = {str(r.seed) for part in attempts.values() for r in part.records}
    facts = {
        "Backbone": {f"{c['backbone']} {c['backbone_revision'] or ''}".strip() for c in configurations},
        "Split": {f"{c['split']} {c['split_revision']}" for c in configurations},
        "References": {str(len(references))},
        "Seeds": seeds,
        "Metrics": {f"{name} v{info.version}" for name, info in infos.items()},
        "Tracker": {tracker for basis in held_bases for tracker in basis.trackers},
        "Model": {model for basis in held_bases for model in basis.models},
        "Device": {str((run.get("environment") or {}).get("device", "")) for run in runs} - {""},
    }
    return {name: ", ".join(sorted(values)) for name, values in facts.items() if values}


def published_metrics(study: Study) -> list[str]:
    """The metrics and `seconds` for which a published number is given, in the order they are first named."""
    names = dict.fromkeys(key for variant in study.variants.values() for key in variant.published)
    return [*(key for key in names if key != SECONDS), *(key for key in names if key == SECONDS)]
