"""A results folder packed for others: text files for a pull request, or a dataset with its videos for the Hub."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import motionbench
from motionbench.controls import FOLDER, control_stores
from motionbench.errors import StoreError
from motionbench.files import canonical_json, write_atomically
from motionbench.schema import SCHEMA

from .archives import archive_stem, is_archive, to_archive
from .privacy import without_paths
from .reading import Run, read_run
from .verify import check_videos, require_intact

SUBMISSION_SCHEMA = 1


@dataclass(frozen=True)
class Submission:
    """What to pack and where to. target: `pr` (texts only) or `hub` (with videos and a dataset card)."""

    results: Path
    out: Path
    target: Literal["pr", "hub"]
    contact: str = ""
    videos_url: str = ""


@dataclass(frozen=True)
class Packed:
    """What was made. advice: the command or step that comes next."""

    out: Path
    files: int
    size: int
    advice: str


def pack(plan: Submission) -> Packed:
    """Checks a results folder and packs it. Raises StoreError if it does not hold, lacks scores, or `out` is used."""
    run = require_intact(plan.results)
    require_scores(run)
    archive = is_archive(plan.out)
    if not archive and plan.out.is_dir() and any(plan.out.iterdir()):
        raise StoreError(f"{plan.out} is not empty; choose another --out or empty it")
    files: dict[str, bytes] = {}
    for member, place in _members(run):
        files |= {f"{place}{name}": data for name, data in _texts(member).items()}
        files |= {f"{place}{name}": data for name, data in (_videos(member) if plan.target == "hub" else {}).items()}
    files["SUBMISSION.json"] = _as_json(_manifest(run, plan, files))
    files["README.md"] = _card(run, plan).encode()
    if archive:
        write_atomically(plan.out, to_archive(files, plan.out))
    else:
        for name, data in files.items():
            write_atomically(plan.out / name, data)
    return Packed(plan.out, len(files), sum(map(len, files.values())), _advice(plan))


def require_scores(run: Run) -> None:
    """Raises StoreError unless every successful record has a score, null or not, by every metric used here."""
    metrics = {score.metric for score in run.scores} & run.infos.keys()
    current = [s for s in run.scores if s.metric in metrics and s.metric_version == run.infos[s.metric].version]
    scored = {(score.record_key, score.metric) for score in current}
    lacking = [r for r in run.records if r.status == "ok" and any((r.key, name) not in scored for name in metrics)]
    if not run.records or not metrics or lacking:
        what = f"{len(lacking)} of {len(run.records)} records lack a score" if run.records else "there is no record"
        raise StoreError(f"{run.store.folder}: {what}; complete it: motionbench score {run.store.folder}")


def _members(run: Run) -> list[tuple[Run, str]]:
    """The run, and the controls beside it, without which its numbers have no floor and ceiling."""
    members = [(run, "")]
    for name, store in control_stores(run.store).items():
        control = read_run(store)
        findings = check_videos(control)
        if findings:
            raise StoreError(
                f"{store.folder}: {findings[0].where}: {findings[0].problem}; run `motionbench eval` again"
            )
        members.append((control, f"{FOLDER}/{name}/"))
    return members


def _texts(run: Run) -> dict[str, bytes]:
    """The folder's files without this machine's paths; the configuration stays, since its hash is its identity."""
    manifest = {**without_paths(run.manifest), "configuration": run.configuration}
    records = [{**asdict(record), "error": without_paths(record.error)} for record in run.records]
    scores = [{**asdict(score), "note": without_paths(score.note)} for score in run.scores]
    files = {"run.json": _as_json(manifest), "records.jsonl": _as_lines(records), "scores.jsonl": _as_lines(scores)}
    summary = run.store.read_summary()
    return files if summary is None else {**files, "summary.json": _as_json(_summary(summary.to_json()))}


def _summary(summary: dict[str, Any]) -> dict[str, Any]:
    return {**without_paths(summary), "configuration": summary["configuration"]}


def _as_lines(values: Iterable[dict[str, Any]]) -> bytes:
    return "".join(f"{canonical_json(value)}\n" for value in values).encode()


def _videos(run: Run) -> dict[str, bytes]:
    names = sorted(record.video for record in run.records if record.video is not None)
    return {name: run.store.inside(name).read_bytes() for name in names}


def _manifest(run: Run, plan: Submission, files: dict[str, bytes]) -> dict[str, Any]:
    statuses = Counter(record.status for record in run.records)
    return {
        "schema": SUBMISSION_SCHEMA,
        "software": f"MotionBench {motionbench.__version__}",
        "record_schema": SCHEMA,
        "score_schema": SCHEMA,
        "method": run.configuration["method"],
        "backbone": run.configuration["backbone"],
        "split": run.configuration["split"],
        "split_revision": run.configuration["split_revision"],
        "configuration_hash": run.configuration_hash,
        "metrics": {name: info.version for name, info in sorted(run.infos.items())},
        "records": {"ok": statuses["ok"], "failed": statuses["failed"]},
        "contact": plan.contact,
        "videos_url": plan.videos_url,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }


def _card(run: Run, plan: Submission) -> str:
    configuration = run.configuration
    title = f"{configuration['method']} on {configuration['backbone']}, {configuration['split']}"
    front = ""
    if plan.target == "hub":
        from huggingface_hub import DatasetCardData

        tables = [{"config_name": name, "data_files": f"{name}.jsonl"} for name in ("records", "scores")]
        data = DatasetCardData(tags=["motionbench", "motion-transfer", "video"], configs=tables)
        front = f"---\n{data.to_yaml()}\n---\n"
    ok = sum(record.status == "ok" for record in run.records)
    failed = len(run.records) - ok
    lines = [
        f"{front}# {title}",
        "",
        f"Results of MotionBench {configuration.get('motionbench_version', '')}: {ok} clips, {failed} failures.",
        f"Split revision {configuration['split_revision']}, configuration {run.configuration_hash}.",
        "",
        "`SUBMISSION.json` lists the files with their SHA-256. To check the scores against the videos:",
        "",
        "    motionbench results verify .",
        "",
    ]
    if plan.videos_url:
        lines += [f"Videos: {plan.videos_url}", ""]
    if plan.contact:
        lines += [f"Contact: {plan.contact}", ""]
    return "\n".join(lines)


def _as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _advice(plan: Submission) -> str:
    if plan.target == "hub":
        name = archive_stem(plan.out)
        unpack, folder = (f"tar xf {plan.out} && ", name) if is_archive(plan.out) else ("", plan.out)
        return f"next: {unpack}hf upload YOUR-NAME/{name} {folder} --repo-type dataset"
    hint = "" if plan.videos_url else " (with --videos-url, others can check the scores against the videos)"
    return f"next: commit {plan.out} to a branch and open a pull request{hint}"
