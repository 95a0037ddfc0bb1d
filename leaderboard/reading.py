"""From results folders to runs: what one folder says, checked, with notes on what a reader must know of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionbench.controls import control_stores
from motionbench.errors import StoreError
from motionbench.files import hash_json
from motionbench.metric import MetricInfo
from motionbench.record import Record, Score, comparable
from motionbench.split import Split
from motionbench.split_location import SplitFinder
from motionbench.store import ResultStore

from .checking import check_records, check_scores

NEEDED = ("method", "backbone", "split", "split_revision", "config_hash")


@dataclass(frozen=True, eq=False)
class Run:
    """One results folder: its run.json, the last record of each attempt, all scores, and the metrics' facts.

    infos: metric name -> facts, as the folder's summary.json states them ({} without one).
    split: the cases it was made on; None where they are not on this machine, or are there at another revision.
    notes: sentences about this folder that belong on the page.
    """

    store: ResultStore
    manifest: dict[str, Any]
    records: tuple[Record, ...]
    scores: tuple[Score, ...]
    infos: dict[str, MetricInfo]
    split: Split | None
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder, as a reader may know it: two parts of its path for a control, else one."""
        path = self.store.folder
        return f"{path.parent.parent.name}/{path.name}" if path.parent.name == "controls" else path.name

    @property
    def configuration(self) -> dict[str, Any]:
        """All that the results depend on."""
        value: dict[str, Any] = self.manifest["configuration"]
        return value

    @property
    def configuration_hash(self) -> str:
        """Equal for runs whose records may be merged."""
        return hash_json(self.configuration)


def read_runs(folders: Sequence[Path], splits: Sequence[Path] = ()) -> list[Run]:
    """The runs in these folders and the controls beside them, each folder once, in the order given.

    A folder without run.json stands for the results folders directly below it. splits: manifests to find cases in, for
    results that were made elsewhere. Raises StoreError, naming file and line, for anything that cannot be trusted.
    """
    stores: dict[Path, ResultStore] = {}
    for folder in (inner for outer in folders for inner in _results_folders(outer)):
        its_store = ResultStore(folder)
        for store in (its_store, *control_stores(its_store).values()):
            stores.setdefault(store.folder.resolve(), store)
    known = SplitFinder(splits)
    return [read_run(store, known) for store in stores.values()]


def read_run(store: ResultStore, splits: SplitFinder | None = None) -> Run:
    """One results folder. Raises StoreError."""
    manifest = store.read_run()
    configuration = _configuration(manifest, store)
    records, scores = tuple(store.records()), tuple(store.scores())
    check_records(records, configuration, str(store.folder / "records.jsonl"))
    check_scores(scores, str(store.folder / "scores.jsonl"))
    split, missing = _find(splits or SplitFinder(), store, configuration)
    notes = [*missing, *_repeats(store), *_half_lines(store), *_strays(store, scores)]
    label = Run(store, manifest, records, scores, {}, None, ()).name
    return Run(store, manifest, records, scores, _infos(store), split, tuple(f"{label}: {note}" for note in notes))


def _find(splits: SplitFinder, store: ResultStore, configuration: dict[str, Any]) -> tuple[Split | None, list[str]]:
    """The split of a run at the run's revision, or None and the sentence that says so."""
    try:
        return splits.find(store), []
    except StoreError:
        name, revision = configuration["split"], configuration["split_revision"]
        return None, [
            f"split {name} revision {revision} is not on this machine, so prompts, levels and "
            "reference clips are not shown (`--split PATH` names its manifest)."
        ]


def _results_folders(folder: Path) -> list[Path]:
    if (folder / "run.json").is_file():
        return [folder]
    below = sorted(path.parent for path in folder.glob("*/run.json"))
    if not below:
        raise StoreError(f"{folder}: expected a results folder, found no run.json in it or one level below; check it")
    return below


def _configuration(manifest: dict[str, Any], store: ResultStore) -> dict[str, Any]:
    value = manifest.get("configuration")
    missing = [name for name in NEEDED if not isinstance(value, dict) or not isinstance(value.get(name), str)]
    if not isinstance(value, dict) or missing:
        raise StoreError(f"{store.folder / 'run.json'}: configuration lacks {', '.join(missing)}; restore the file")
    stated = manifest.get("configuration_hash")
    if stated is not None and stated != hash_json(value):
        raise StoreError(
            f"{store.folder / 'run.json'}: configuration_hash is {stated}, but the configuration hashes to "
            f"{hash_json(value)}: it was edited after the run; restore the file"
        )
    return value


def _infos(store: ResultStore) -> dict[str, MetricInfo]:
    """Metric facts as summary.json states them: that spares importing the metrics, and torch with them."""
    summary = store.read_summary()
    return {} if summary is None else summary.metrics


def _repeats(store: ResultStore) -> Iterable[str]:
    """A note on attempts that stand in several lines: the last one counts, and whether it says the same."""
    lines: dict[str, list[Record]] = {}
    for record in store.all_records():
        lines.setdefault(record.key, []).append(record)
    repeated = [attempts for attempts in lines.values() if len(attempts) > 1]
    if repeated:
        other = sum(any(comparable(record) != comparable(attempts[-1]) for record in attempts) for attempts in repeated)
        yield f"{len(repeated)} attempts were made more than once, {other} with another outcome; the last one counts."


def _half_lines(store: ResultStore) -> Iterable[str]:
    for name in ("records.jsonl", "scores.jsonl"):
        path = store.folder / name
        if path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size:
            yield f"{name} ends in a half-written line, which is left out."


def _strays(store: ResultStore, scores: Sequence[Score]) -> Iterable[str]:
    """A note on scores of no attempt at all; those of former attempts are left out, too, and need none."""
    keys = {record.key for record in store.all_records()}
    stray = sum(score.record_key not in keys for score in scores)
    if stray:
        yield f"{stray} scores belong to no record, and are left out."
