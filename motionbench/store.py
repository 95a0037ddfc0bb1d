"""ResultStore: the folder of one run, to which lines are only ever added.

Several processes (shards, workers) may add to one folder: each line is appended under a lock, each file renamed into
place.
The folder belongs to one configuration; a command with another one is refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from motionbench.clip import Clip
from motionbench.errors import StoreError, VideoError
from motionbench.files import (
    append_line,
    canonical_json,
    file_lock,
    file_sha256,
    hash_json,
    make_folder,
    read_lines,
    store_error,
    write_atomically,
    write_folder,
    write_json,
)
from motionbench.outcome import Outcome
from motionbench.record import Record, Score, now
from motionbench.schema import SCHEMA, Kind, to_current
from motionbench.summary_file import Summary
from motionbench.typed_json import differences, to_object
from motionbench.video_file import header_shape

logger = logging.getLogger(__name__)

Noun = TypeVar("Noun")


class ResultStore:
    """A results folder. Nothing is written before `begin` or the first append."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def begin(self, configuration: dict[str, Any], selection: dict[str, Any], environment: dict[str, Any]) -> str:
        """Opens the folder for a run: writes run.json, or checks that the one there has the same configuration.

        configuration: all that a result depends on. selection: which cases (it may change from command to command, and
        the last one stands). environment: versions and machine, of the command that began the folder.
        Returns the run id, equal for equal configurations. Raises StoreError naming each key that differs.
        """
        make_folder(self.folder)
        configuration, selection = json.loads(canonical_json([configuration, selection]))  # tuples become lists
        with file_lock(self.folder / ".run.lock", wait=True):  # two shards may begin at once
            run = self.read_run() if self._run.exists() else None
            if run is None:
                if self._records.exists():
                    raise StoreError(f"{self.folder} holds records but no run.json; restore it or choose another --out")
                run = {
                    "schema": SCHEMA,
                    "run_id": hash_json(configuration)[:12],
                    "configuration": configuration,
                    "configuration_hash": hash_json(configuration),
                    "environment": environment,
                    "created": now(),
                }
            self._refuse_other(run["configuration"], configuration)
            if run["environment"].get("git") != environment.get("git"):
                logger.warning("%s was begun at another state of the code; see git in its run.json", self.folder)
            if run.get("selection") != selection:
                write_json(self._run, {**run, "selection": selection})
        return str(run["run_id"])

    def note_execution(self, facts: dict[str, dict[str, str]]) -> None:
        """Adds to run.json by which paths workers computed (see `fallbacks.execution`); {} leaves it as it is."""
        if not facts:
            return
        with file_lock(self.folder / ".run.lock", wait=True):
            run = self.read_run()
            known = run.get("execution", {})
            merged = known | {name: known.get(name, {}) | values for name, values in facts.items()}
            if merged != known:
                write_json(self._run, {**run, "execution": merged})

    def refuse_other(self, configuration: dict[str, Any]) -> None:
        """Raises StoreError naming each key in which the folder's configuration differs from this one."""
        asked = json.loads(canonical_json(configuration))  # tuples become lists
        self._refuse_other(self.read_run()["configuration"], asked)

    def _refuse_other(self, there: dict[str, Any], asked: dict[str, Any]) -> None:
        if hash_json(there) == hash_json(asked):
            return
        changes = "; ".join(differences(there, asked))
        raise StoreError(f"{self.folder} belongs to another configuration ({changes}); choose another --out")

    def read_run(self) -> dict[str, Any]:
        """run.json. Raises StoreError if it is absent, malformed or of another schema."""
        value = self._read_json(self._run)
        if value is None:
            raise StoreError(f"{self.folder}: expected a results folder, found no run.json; check the path")
        return to_current("run", value, self._run)

    def records(self) -> list[Record]:
        """All records by case and seed; of several of one case and seed, the last. Raises StoreError.

        The folder has one configuration, so an earlier one is a former attempt, or rests on files that were replaced.
        """
        latest = {(record.case_id, record.seed): record for record in self.all_records()}
        return [latest[key] for key in sorted(latest)]

    def all_records(self) -> list[Record]:
        """The record of every line, former attempts included, in the order of the file. Raises StoreError."""
        return self._read(self._records, "record", Record)

    def scores(self) -> list[Score]:
        """All scores by record and metric; of several for one record, metric and version, the last."""
        lines = self._read(self._scores, "score", Score)
        latest = {(score.record_key, score.metric, score.metric_version): score for score in lines}
        return [latest[key] for key in sorted(latest)]

    def append_record(self, record: Record) -> None:
        """Adds a record, on disk when this returns. Raises StoreError; then nothing of it was written."""
        append_line(self._records, canonical_json(asdict(record)))

    def append_score(self, score: Score) -> None:
        """Adds a score, on disk when this returns. Raises StoreError; then nothing of it was written."""
        append_line(self._scores, canonical_json(asdict(score)))

    def take(self, outcome: Outcome) -> None:
        """Puts in place what a worker left: the adapter's folder, the video, then the record. Raises StoreError."""
        self.take_files(outcome)
        if outcome.record is not None:
            self.append_record(outcome.record)
        self.note_execution(outcome.execution)

    def take_files(self, outcome: Outcome) -> None:
        """Puts adapter and video in place, and nothing on record. Raises StoreError."""
        if outcome.adapter is not None:
            folder = self.adapter_folder(outcome.reference_id, outcome.seed)
            make_folder(folder.parent)
            write_folder(folder, outcome.adapter)
        if outcome.video is not None and outcome.record is not None and outcome.record.video is not None:
            write_atomically(self.inside(outcome.record.video), outcome.video)

    def has_video(self, record: Record) -> bool:
        """True if the record's video is there with the bytes that were recorded."""
        if record.video is None:
            return False
        path = self.inside(record.video)
        return path.is_file() and file_sha256(path) == record.video_sha256

    def read_video(self, record: Record) -> Clip:
        """The clip that a record describes. Raises VideoError if it is gone or is not the one recorded."""
        if record.video is None:
            raise VideoError(f"{record.case_id} has no video: the attempt failed ({record.reason})")
        path = self.inside(record.video)
        if not self.has_video(record):
            actual = f"sha256 {file_sha256(path)}" if path.is_file() else "nothing"
            raise VideoError(f"{path}: expected sha256 {record.video_sha256}, got {actual}; repeat `motionbench run`")
        return Clip.read(path)

    def video_shape(self, record: Record) -> tuple[int, int, int] | None:
        """(T, H, W) of a record's video, by its header; None where there is no such video here."""
        path = None if record.video is None else self.inside(record.video)
        return None if path is None or not path.is_file() else header_shape(path)

    def adapter_folder(self, reference_id: str, seed: int) -> Path:
        """Where the adapter fitted to a reference lies, if it was kept."""
        return self.inside(f"adapters/{reference_id}--s{seed}")

    def write_summary(self, summary: Summary) -> None:
        """Writes summary.json atomically. Raises StoreError."""
        write_json(self.folder / "summary.json", summary.to_json())

    def read_summary(self) -> Summary | None:
        """summary.json, or None if there is none yet; keys that it does not know are passed over. Raises StoreError."""
        path = self.folder / "summary.json"
        value = self._read_json(path)
        if value is None:
            return None
        try:
            return to_object(Summary, to_current("summary", value, path), refuse_unknown=False)
        except ValueError as error:
            raise StoreError(f"{path}: malformed ({error}); run `motionbench score {self.folder}` again") from error

    @contextmanager
    def locked(self, purpose: str, shard: tuple[int, int] = (1, 1)) -> Iterator[None]:
        """Only one process at a time writes for a purpose (`records`, `scores`), or one for each shard of it.

        Raises StoreError naming the process that is at work. Ends with the process, however it ends.
        """
        index, count = shard
        alone = count == 1
        with file_lock(self.folder / f".{purpose}.running.lock", wait=False, shared=not alone):
            if alone:
                yield
                return
            with file_lock(self.folder / f".{purpose}.running.{index}of{count}.lock", wait=False):
                yield

    def inside(self, relative: str) -> Path:
        """A path below the folder. Raises StoreError if it would leave it."""
        path = self.folder / relative
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise StoreError(f"{relative!r} leaves the results folder {self.folder}; mend the record or the case id")
        return path

    @property
    def _run(self) -> Path:
        return self.folder / "run.json"

    @property
    def _records(self) -> Path:
        return self.folder / "records.jsonl"

    @property
    def _scores(self) -> Path:
        return self.folder / "scores.jsonl"

    @staticmethod
    def _read_json(path: Path) -> Any:
        try:
            return json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise store_error("read", path, error) from error
        except ValueError as error:
            raise StoreError(f"{path}: not JSON ({error}); restore it or choose another --out") from error

    def _read(self, path: Path, kind: Kind, noun: type[Noun]) -> list[Noun]:
        return [self._parse(f"{path}:{number}", line, kind, noun) for number, line in read_lines(path)]

    def _parse(self, where: str, line: dict[str, Any], kind: Kind, noun: type[Noun]) -> Noun:
        line = to_current(kind, line, where)
        try:
            return to_object(noun, line)
        except ValueError as error:
            raise StoreError(f"{where}: malformed line ({error}); remove it, then repeat the command") from error
