"""Whether a results folder holds what it says: checksums, summary, and a sample of scores computed again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from motionbench.errors import MotionBenchError, StoreError
from motionbench.files import file_sha256, write_json
from motionbench.footage import AUTO
from motionbench.metric import MetricInfo
from motionbench.record import Record, Score
from motionbench.scorer import ScorePlan, metric_infos, score
from motionbench.seeds import derive_seed
from motionbench.split import Split
from motionbench.split_location import SplitFinder
from motionbench.store import ResultStore
from motionbench.summary import Attempts, summarize

from .merging import run_tracker
from .reading import Run, read_run

TOLERANCE = 1e-3  # what the suite promises of one device; other devices differ by more
PUBLISHED = ("mean", "low", "high", "n", "n_failed")  # of a summary row: what follows from the run's own scores


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold. check: `video`, `score`, `missing score` or `summary`."""

    check: str
    where: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What was looked at, and what did not hold. skipped: what could not be looked at, and why."""

    results: str
    videos: int
    recomputed: int
    largest_difference: float
    rows: int
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """True if nothing was found."""
        return not self.findings


@dataclass(frozen=True)
class VerifyPlan:
    """sample: how many records to score again; seed: which ones; tolerance: greatest difference of a score.

    split: where the results' split lies, if not where it was.
    """

    sample: int = 8
    seed: int = 0
    tolerance: float = TOLERANCE
    device: str = "cpu"
    split: str | None = None


def verify_results(
    folder: Path, plan: VerifyPlan, *, report: Callable[[int, int], None] = lambda done, total: None
) -> Verification:
    """Checks every video's checksum, every summary row, and the scores of a random sample of records.

    The sample is scored by the very scorer that scored the run, in a folder of its own: nothing is written to `folder`.
    Raises StoreError if the folder cannot be read or contradicts itself.
    """
    run = read_run(ResultStore(folder), SplitFinder([] if plan.split is None else [plan.split]))
    findings = check_videos(run)
    rows, row_findings, skipped = _check_summary(run)
    broken = {f.where for f in findings}
    chosen = choose_sample([r for r in run.records if r.status == "ok" and _where(r) not in broken], plan)
    compared, largest = 0, 0.0
    if run.split is None:
        skipped.append(f"no score was computed again: {run.notes[0]}")
    elif chosen:
        fresh = _score_again(run, run.split, chosen, plan, skipped, report)
        compared, largest, differing = _compare(run, chosen, fresh, plan.tolerance)
        findings += differing
    findings += row_findings
    return Verification(str(folder), len(run.records), compared, largest, rows, tuple(findings), tuple(skipped))


def choose_sample(records: Sequence[Record], plan: VerifyPlan) -> list[Record]:
    """`plan.sample` records drawn by the seed, in order; all if there are fewer."""
    rng = np.random.default_rng(derive_seed(plan.seed, "verify"))
    picks = rng.permutation(len(records))[: plan.sample]
    return [records[index] for index in sorted(picks)]


def _where(record: Record) -> str:
    return f"{record.case_id} seed {record.seed}"


def check_videos(run: Run) -> list[Finding]:
    """What is wrong with the videos of a run: gone, or not the bytes that were recorded."""
    findings = []
    for record in run.records:
        if record.video is None:
            continue
        path = run.store.inside(record.video)
        if not path.is_file():
            findings.append(Finding("video", _where(record), f"{record.video} is gone"))
        elif file_sha256(path) != record.video_sha256:
            findings.append(Finding("video", _where(record), f"{record.video} is not the file that was recorded"))
    return findings


def _check_summary(run: Run) -> tuple[int, list[Finding], list[str]]:
    """summary.json against the scores: only what the run's own scores determine, since controls lie elsewhere."""
    summary = run.store.read_summary()
    if summary is None or not summary.rows:
        return 0, [], ["summary.json is not there; `motionbench score` writes it"]
    attempts = Attempts.read(run.store, run.infos)
    fresh = {(row.metric, row.category): row for row in summarize(attempts, {}, run.infos)}
    stated = {(row.metric, row.category): row for row in summary.rows}
    findings = []
    for key in sorted(fresh.keys() | stated.keys()):
        if key not in stated or key not in fresh:
            findings.append(
                Finding("summary", " ".join(key), "the row is in summary.json or in the scores, but not in both")
            )
            continue
        for name in PUBLISHED:
            here, there = (getattr(table[key], name) for table in (stated, fresh))
            if not _close(there, here, 1e-9):
                problem = f"{name} is stated as {here}, and the scores give {there}"
                findings.append(Finding("summary", " ".join(key), problem))
    return len(stated), findings, []


def _close(a: float | None, b: float | None, tolerance: float) -> bool:
    return a is b if a is None or b is None else abs(a - b) <= tolerance


def _score_again(
    run: Run,
    split: Split,
    records: Sequence[Record],
    plan: VerifyPlan,
    skipped: list[str],
    report: Callable[[int, int], None],
) -> list[Score]:
    """Fresh scores of these records, made in a temporary results folder that holds nothing but them."""
    wanted = tuple(sorted({s.metric for s in run.scores} & _installed(run.infos, skipped)))
    tracker = (run_tracker(run) or AUTO).partition(" ")[0]
    with tempfile.TemporaryDirectory(prefix="motionbench-verify-") as place:
        copy = ResultStore(place)
        write_json(copy.folder / "run.json", run.manifest)
        for record in records:
            if record.video is None:
                continue
            target = copy.inside(record.video)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run.store.inside(record.video), target)
            copy.append_record(record)
        score(copy, split, ScorePlan(wanted, tracker, plan.device), report=report)
        return copy.scores()


def _installed(infos: dict[str, MetricInfo], skipped: list[str]) -> set[str]:
    """The metrics whose installed version is the one that the folder was scored with."""
    same = set()
    for name, info in sorted(infos.items()):
        try:
            installed = metric_infos([name])[name].version
        except MotionBenchError as error:
            skipped.append(f"{name}: {error}")
            continue
        if installed == info.version:
            same.add(name)
        else:
            skipped.append(f"{name}: scored with version {info.version}, and version {installed} is installed")
    return same


def _compare(
    run: Run, records: Sequence[Record], fresh: Sequence[Score], tolerance: float
) -> tuple[int, float, list[Finding]]:
    stated = {(s.record_key, s.metric, s.metric_version): s for s in run.scores}
    by_key = {record.key: record for record in records}
    findings: list[Finding] = []
    largest = 0.0
    for new in fresh:
        where = f"{_where(by_key[new.record_key])} {new.metric}"
        old = stated.get((new.record_key, new.metric, new.metric_version))
        if old is None:
            findings.append(Finding("missing score", where, "the folder holds no such score"))
            continue
        if old.value is not None and new.value is not None:
            largest = max(largest, abs(old.value - new.value))
        if not _close(old.value, new.value, tolerance):
            findings.append(Finding("score", where, f"stated {old.value}, computed again {new.value}"))
    return len(fresh), largest, findings


def verification_to_json(made: Verification) -> dict[str, Any]:
    """The verification as JSON."""
    return {**asdict(made), "holds": made.holds}


def require_intact(folder: Path) -> Run:
    """The run in a folder, if its videos and summary hold. Raises StoreError listing what does not."""
    run = read_run(ResultStore(folder))
    rows, summary, skipped = _check_summary(run)
    findings = [*check_videos(run), *summary]
    if skipped:
        raise StoreError(f"{folder}: {skipped[0]}")
    if findings:
        lines = "\n".join(f"  {one.check}: {one.where}: {one.problem}" for one in findings[:20])
        raise StoreError(
            f"{folder}: {len(findings)} things do not hold (of {rows} rows and {len(run.records)} videos):\n{lines}"
        )
    return run
