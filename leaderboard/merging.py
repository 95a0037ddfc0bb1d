"""Runs of one configuration made one entry: shards, seeds and repeats add up, contradictions are refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from motionbench.case import Category
from motionbench.errors import StoreError
from motionbench.files import hash_json
from motionbench.metric import headline_of
from motionbench.record import Record, Score, comparable
from motionbench.split import Split
from motionbench.store import ResultStore

from .facts import MethodFacts, method_facts
from .reading import Run

SAME = 1e-6  # two scores of one video by one version of a metric on one machine agree far better than that

ScoreKey = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class Entry:
    """One line of a table: a method in one configuration.

    records: one per key. scores: one per record, metric and version. stores: record key -> where its video lies.
    tracker: what its headline scores rest on. planned: the (case, seed) pairs that were asked for, None where the
    split is not known here.
    """

    id: str
    method: str
    tracker: str | None
    facts: MethodFacts
    runs: tuple[Run, ...]
    records: tuple[Record, ...]
    scores: tuple[Score, ...]
    stores: dict[str, ResultStore]
    planned: frozenset[tuple[str, int]] | None
    notes: tuple[str, ...]

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration that its runs share (of a control: that of the first)."""
        return self.runs[0].configuration

    @property
    def split(self) -> Split | None:
        """The cases, from whichever run knows them."""
        return next((run.split for run in self.runs if run.split is not None), None)


def merge(runs: Sequence[Run]) -> list[Entry]:
    """Entries by method, each of the runs that share its configuration. Raises StoreError on a contradiction."""
    groups: dict[tuple[str, ...], list[Run]] = defaultdict(list)
    facts: dict[str, MethodFacts] = {}
    for method in dict.fromkeys(run.configuration["method"] for run in runs):
        runs_of_method = [run for run in runs if run.configuration["method"] == method]
        summaries = (run.store.read_summary() for run in runs_of_method)
        gates = [summary.gate for summary in summaries if summary is not None]
        facts[method] = method_facts(method, [run.manifest for run in runs_of_method], gates)
    for run in runs:
        groups[_identity(run, facts[run.configuration["method"]])].append(run)
    return [
        _entry(members, facts[members[0].configuration["method"]], tracker)
        for _, group in sorted(groups.items())
        for tracker, members in _by_tracker(group).items()
    ]


def _by_tracker(runs: list[Run]) -> dict[str | None, list[Run]]:
    """Scores by two trackers are two numbers, never merged; a run without any goes with the others, if they agree."""
    trackers = {run: run_tracker(run) for run in runs}
    known = sorted({tracker for tracker in trackers.values() if tracker is not None})
    alone = known[0] if len(known) == 1 else None
    groups: dict[str | None, list[Run]] = defaultdict(list)
    for run, tracker in trackers.items():
        groups[tracker or alone].append(run)
    return dict(groups)


def run_tracker(run: Run) -> str | None:
    """The tracker that a run's headline scores rest on, `name vVERSION`. Raises StoreError if there are two."""
    headline = headline_of(run.infos)
    newest = max((s.metric_version for s in run.scores if s.metric == headline), default=0)
    first = [s for s in run.scores if s.metric == headline and s.metric_version == newest]
    for scores in (first, [s for s in run.scores if s.metric != headline]):
        trackers = sorted({str(s.details["tracker"]) for s in scores if "tracker" in s.details})
        if len(trackers) > 1:
            raise StoreError(
                f"{run.store.folder}: scores rest on several trackers ({', '.join(trackers)}); "
                f"make them agree: motionbench score {run.store.folder} --tracker {trackers[0].partition(' ')[0]}"
            )
        if trackers:
            return trackers[0]
    return None


def _identity(run: Run, facts: MethodFacts) -> tuple[str, ...]:
    """What runs must share to be one entry: everything; for a control made of pixels neither backbone nor device."""
    configuration = run.configuration
    if facts.is_control and not facts.uses_backbone:
        keys = ("method", "config_hash", "split", "split_revision", "motionbench_version")
        return tuple(str(configuration.get(key)) for key in keys)
    return (configuration["method"], run.configuration_hash)


def _entry(runs: list[Run], facts: MethodFacts, tracker: str | None) -> Entry:
    notes: list[str] = []
    if facts.is_control and not facts.uses_backbone:
        records, stores = _one_per_case(runs)
    else:
        records, stores = _merge_records(runs, notes)
    method = runs[0].configuration["method"]
    return Entry(
        id=f"{method}-{hash_json([runs[0].configuration_hash, tracker])[:8]}",
        method=method,
        tracker=tracker,
        facts=facts,
        runs=tuple(runs),
        records=tuple(sorted(records.values(), key=lambda r: (r.case_id, r.seed, r.key))),
        scores=_merge_scores(runs, records),
        stores=stores,
        planned=_planned(runs),
        notes=tuple(notes),
    )


def _one_per_case(runs: list[Run]) -> tuple[dict[str, Record], dict[str, ResultStore]]:
    """A control is run beside every method; its clips owe nothing to device or seed, so the fullest run is shown."""
    taken: dict[str, Record] = {}
    stores: dict[str, ResultStore] = {}
    cases: set[str] = set()
    for run in sorted(runs, key=lambda run: -sum(record.status == "ok" for record in run.records)):
        fresh = [record for record in run.records if record.case_id not in cases]
        cases.update(record.case_id for record in fresh)
        taken.update({record.key: record for record in fresh})
        stores.update({record.key: run.store for record in fresh})
    return taken, stores


def _merge_records(runs: list[Run], notes: list[str]) -> tuple[dict[str, Record], dict[str, ResultStore]]:
    taken: dict[tuple[str, int], tuple[Record, ResultStore]] = {}
    same = retried = 0
    for run in runs:
        for record in run.records:
            earlier, store = taken.get((record.case_id, record.seed), (None, run.store))
            if earlier is not None and _same_outcome(earlier, record):
                same += 1
                continue
            if earlier is not None and earlier.status == record.status == "ok":
                raise StoreError(
                    f"{store.folder} and {run.store.folder} hold different videos for "
                    f"{record.method} {record.case_id} seed {record.seed} in one configuration; give only one of them"
                )
            if earlier is not None:
                retried += 1
            if earlier is None or earlier.status == "failed":
                taken[record.case_id, record.seed] = record, run.store
    label = f"{runs[0].configuration['method']} ({', '.join(run.name for run in runs)})"
    if same:
        notes.append(f"{label}: {same} attempts stand in several folders, equal but for times; each counts once.")
    if retried:
        notes.append(f"{label}: {retried} attempts failed in one folder and not in another; the successful one counts.")
    records = {record.key: record for record, _ in taken.values()}
    return records, {record.key: store for record, store in taken.values()}


def _same_outcome(a: Record, b: Record) -> bool:
    """Whether two attempts at one case and seed came to the same: of other keys, where the videos are one."""
    if a.key == b.key:
        return comparable(a) == comparable(b)
    return a.status == b.status == "ok" and a.video_sha256 == b.video_sha256


def _merge_scores(runs: Iterable[Run], records: dict[str, Record]) -> tuple[Score, ...]:
    taken: dict[ScoreKey, tuple[Score, Run]] = {}
    for run in runs:
        for score in run.scores:
            key = (score.record_key, score.metric, score.metric_version)
            if score.record_key not in records:
                continue
            earlier = taken.get(key)
            if earlier is None or (earlier[0].value is None and score.value is not None):
                taken[key] = (score, run)
            elif score.value is not None and not _agree(earlier[0], score):
                raise StoreError(
                    f"{earlier[1].store.folder} and {run.store.folder} give {score.metric} v{score.metric_version} of "
                    f"{records[score.record_key].case_id} as {_score_to_text(earlier[0])} and {_score_to_text(score)}; "
                    "score both with one tracker (`motionbench score`), or give only one of them"
                )
    return tuple(taken[key][0] for key in sorted(taken))


def _agree(a: Score, b: Score) -> bool:
    if a.value is None or b.value is None:
        return a.value is b.value
    return a.details.get("tracker") == b.details.get("tracker") and abs(a.value - b.value) <= SAME


def _score_to_text(score: Score) -> str:
    tracker = score.details.get("tracker")
    return f"{score.value}" + (f" (tracker {tracker})" if tracker else "")


def _planned(runs: Iterable[Run]) -> frozenset[tuple[str, int]] | None:
    """All (case, seed) pairs that the runs set out to make: a killed run must not look like a finished one."""
    pairs: set[tuple[str, int]] = set()
    for run in runs:
        selection = run.manifest.get("selection") or {}
        if run.split is None:
            return None
        categories = [Category(name) for name in selection.get("categories") or ()]
        cases = run.split.select(categories, selection.get("limit"))
        levels = selection.get("levels") or [case.level for case in cases]
        asked = [case.id for case in cases if case.level in levels]
        pairs.update((case_id, int(seed)) for case_id in asked for seed in selection.get("seeds") or (0,))
    return frozenset(pairs)
