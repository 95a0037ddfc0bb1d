"""Boards: entries that may be compared, since backbone, split, revision, benchmark version and tracker agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from motionbench import registry
from motionbench.basis import Basis
from motionbench.case import Case, Level
from motionbench.errors import MotionBenchError
from motionbench.files import hash_json
from motionbench.metric import MetricInfo
from motionbench.summary import ALL, Attempts, category_of, latest_scores, those_to_zero

from .merging import Entry


class Key(NamedTuple):
    """What entries must share to be ranked together, besides the tracker. weights: the backbone's revision, or ""."""

    backbone: str
    weights: str
    split: str
    revision: str
    version: str


@dataclass(frozen=True)
class RememberedAttempts(Attempts):
    """Attempts that work out their values of a metric once: a page asks for them in dozens of views."""

    by_metric: dict[str, dict[str, float]] = field(default_factory=dict, compare=False, repr=False)

    def case_values(self, metric: str) -> dict[str, float]:
        """As `Attempts.case_values`."""
        if metric not in self.by_metric:
            self.by_metric[metric] = super().case_values(metric)
        return self.by_metric[metric]


@dataclass(frozen=True)
class Board:
    """One table. infos: metrics at the version shown, headline first. cases: {} where the split is not here.

    bases: the tracker and model that a metric's column shows; values on others are left out, with a note.
    """

    id: str
    key: Key
    tracker: str | None
    entries: tuple[Entry, ...]
    labels: dict[str, str]
    infos: dict[str, MetricInfo]
    bases: dict[str, Basis]
    cases: dict[str, Case]
    notes: tuple[str, ...]

    @property
    def categories(self) -> list[str]:
        """Categories with a record, sorted, and `all` first."""
        present = {category_of(record.case_id) for entry in self.entries for record in entry.records}
        return [ALL, *sorted(present)]

    @property
    def levels(self) -> list[str]:
        """Prompt levels with a record, `all` first; only `all` where the cases are not known or share one level."""
        present = {self.cases[r.case_id].level for e in self.entries for r in e.records if r.case_id in self.cases}
        return [ALL, *[level.value for level in Level if level in present]] if len(present) > 1 else [ALL]

    def attempts(self, entry: Entry, level: str = ALL) -> Attempts:
        """What an entry attempted at a prompt level, with the scores of the versions and bases that are shown here."""
        kept = tuple(r for r in entry.records if self.holds(r.case_id, level, ALL))
        shown = [s for s in entry.scores if s.metric in self.bases and not self.bases[s.metric].differs(Basis.of([s]))]
        return RememberedAttempts(entry.method, kept, latest_scores(shown, self.infos), those_to_zero(self.infos))

    def holds(self, case_id: str, level: str, category: str) -> bool:
        """True if a case belongs to the view of a prompt level and a category."""
        case = self.cases.get(case_id)
        return category in (ALL, category_of(case_id)) and (level == ALL or (case is not None and case.level == level))

    def complete(self, entry: Entry, level: str = ALL, category: str = ALL) -> bool:
        """True if the entry attempted, in this view, all that it planned and all that any method attempted.

        Others are shown, but not ranked: who skips the hard cases must not win by it.
        """
        methods = [other for other in self.entries if not other.facts.is_control]
        wanted = {r.case_id for other in methods for r in other.records if self.holds(r.case_id, level, category)}
        planned = {pair for pair in entry.planned or () if self.holds(pair[0], level, category)}
        attempted = {(r.case_id, r.seed) for r in entry.records}
        return planned <= attempted and (entry.facts.is_control or wanted <= {case_id for case_id, _ in attempted})


def make_boards(entries: Sequence[Entry]) -> list[Board]:
    """The boards of these entries, by backbone, split, version and tracker; controls of pixels join all of a split."""
    keyed: dict[tuple[Key, str | None], list[Entry]] = defaultdict(list)
    floating = [entry for entry in entries if entry.facts.is_control and not entry.facts.uses_backbone]
    for entry in entries:
        if entry not in floating:
            keyed[_key(entry), entry.tracker].append(entry)
    for control in floating:
        its_key = _key(control)
        alike = [place for place in keyed if place[0][2:] == its_key[2:] and place[1] == control.tracker]
        for place in alike or [(its_key, control.tracker)]:
            keyed[place].append(control)
    _adopt_unscored(keyed)
    return [_board(key, tracker, _ordered(members)) for (key, tracker), members in sorted(keyed.items(), key=repr)]


def _key(entry: Entry) -> Key:
    configuration = entry.configuration
    weights, version = configuration.get("backbone_revision"), configuration.get("motionbench_version")
    return Key(
        configuration["backbone"],
        str(weights or ""),
        configuration["split"],
        configuration["split_revision"],
        str(version or "unknown"),
    )


def _adopt_unscored(keyed: dict[tuple[Key, str | None], list[Entry]]) -> None:
    """An entry without scores by a tracker goes where its like are, if there is one such board."""
    for key, tracker in [pair for pair in keyed if pair[1] is None]:
        others = [pair for pair in keyed if pair[0] == key and pair[1] is not None]
        if len(others) == 1:
            ids = {entry.id for entry in keyed[others[0]]}
            keyed[others[0]].extend(e for e in keyed.pop((key, tracker)) if e.id not in ids)


def _ordered(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (entry.facts.is_control, entry.method, entry.id))


def _board(key: Key, tracker: str | None, entries: list[Entry]) -> Board:
    infos, notes = _infos(entries)
    bases = {name: _basis(entries, info, notes) for name, info in infos.items()}
    known = next((entry.split for entry in entries if entry.split is not None), None)
    return Board(
        id=hash_json([*key, tracker])[:8],
        key=key,
        tracker=tracker,
        entries=tuple(entries),
        labels=entry_labels(entries),
        infos=infos,
        bases=bases,
        cases={} if known is None else known.by_id(),
        notes=(*(note for entry in entries for note in entry.notes), *notes),
    )


def _infos(entries: Sequence[Entry]) -> tuple[dict[str, MetricInfo], list[str]]:
    """The facts of every metric scored here, at its newest version, and notes on entries scored with an older one."""
    versions: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for entry in entries:
        for score in entry.scores:
            versions[score.metric][score.metric_version].add(entry.method)
    infos: dict[str, MetricInfo] = {}
    notes: list[str] = []
    for metric in sorted(versions):
        newest = max(versions[metric])
        info = _info(metric, newest, entries)
        if info is None:
            notes.append(
                f"{metric} v{newest} is left out: no summary.json here says what it is, and it is not installed."
            )
            continue
        infos[metric] = info
        current = versions[metric][newest]
        late = sorted({name for v, names in versions[metric].items() if v != newest for name in names} - current)
        if late:
            notes.append(
                f"{metric} is shown at version {newest}; {', '.join(late)} were scored with an older one, which is "
                "another number and is left out: run `motionbench score` on them."
            )
    return dict(sorted(infos.items(), key=lambda item: (not item[1].headline, item[0]))), notes


def _basis(entries: Sequence[Entry], info: MetricInfo, notes: list[str]) -> Basis:
    """What most entries' values of a metric rest on (of equals the first by name), with a note on the other entries."""
    methods: dict[Basis, set[str]] = defaultdict(set)
    for entry in entries:
        for basis in {Basis.of([s]) for s in entry.scores if (s.metric, s.metric_version) == (info.name, info.version)}:
            methods[basis].add(entry.method)
    chosen = min(methods, key=lambda basis: (basis == Basis(), -len(methods[basis]), str(basis)), default=Basis())
    notes += [
        f"{info.name} is shown by {chosen}; the scores of {', '.join(sorted(methods[other]))} by {other} are other "
        "numbers and are left out: run `motionbench score` on them."
        for other in sorted((basis for basis in methods if basis.differs(chosen)), key=str)
    ]
    return chosen


def _info(metric: str, version: int, entries: Iterable[Entry]) -> MetricInfo | None:
    for run in (run for entry in entries for run in entry.runs):
        info = run.infos.get(metric)
        if info is not None and info.version == version:
            return info
    try:
        installed: MetricInfo = registry.load("metrics", metric).info
    except MotionBenchError:
        return None
    return installed if installed.version == version else None


def entry_labels(entries: Iterable[Entry]) -> dict[str, str]:
    """Entry id -> what to call it: the method, and where several share it, the settings in which they differ."""
    by_method: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_method[entry.method].append(entry)
    labels: dict[str, str] = {}
    for method, members in by_method.items():
        flat = {entry.id: dict(_flat(entry.configuration)) for entry in members}
        keys = sorted({key for values in flat.values() for key in values} - {"config_hash"})
        differing = [key for key in keys if len({repr(values.get(key)) for values in flat.values()}) > 1]
        for entry in members:
            words = [f"{key.rpartition('.')[2]}={flat[entry.id].get(key)}" for key in differing]
            labels[entry.id] = f"{method} ({', '.join(words)})" if words else method
    return labels


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _flat(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part
