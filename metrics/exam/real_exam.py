"""The two exams on clips without ground truth, from what is to be examined to the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionbench.files import write_atomically
from motionbench.scorer import metric_infos

from .footage_run import read_footage, run_footage
from .footage_tables import FootageReport, footage_to_json, footage_to_markdown, to_footage_reports
from .pair_list import read_pairs, survey_pairs
from .pair_run import run_pairs
from .pair_tables import PairReport, pairs_to_json, pairs_to_markdown, to_pair_reports
from .plain_page import markdown_to_page
from .real_run import RealPlan, Report
from .report import Estimate


@dataclass(frozen=True)
class RealResult:
    """What an exam found: as JSON, one line per metric and tracker, and what was left out."""

    report: dict[str, Any]
    lines: list[str]
    left_out: tuple[str, ...]


def examine_pairs(plan: RealPlan, manifest: Path, out: Path, facts: Mapping[str, str], report: Report) -> RealResult:
    """Asks about the pairs of a manifest and writes report.json, .md and .html to `out`. Raises ManifestError."""
    pairs, wrong = read_pairs(manifest)
    survey = survey_pairs(manifest.parent, pairs, wrong)
    answers = run_pairs(plan, survey, manifest.parent, out, report)
    reports = to_pair_reports(answers, survey, metric_infos(plan.metrics))
    circumstances = {**facts, "pairs": f"{manifest.name}, {len(survey.pairs)} pairs, {len(survey.left_out)} left out"}
    content = pairs_to_json(reports, survey, circumstances)
    _publish(
        out, content, pairs_to_markdown(reports, survey, circumstances), "Does an output recognize its own reference?"
    )
    return RealResult(content, [_pair_line(r, kind) for r in reports for kind in r.kinds], survey.left_out)


def examine_footage(plan: RealPlan, folder: Path, out: Path, facts: Mapping[str, str], report: Report) -> RealResult:
    """Asks about the clips of a folder and writes report.json, .md and .html to `out`. Raises ManifestError."""
    paths, left_out = read_footage(folder)
    answers = run_footage(plan, paths, out, report)
    reports = to_footage_reports(answers, metric_infos(plan.metrics))
    circumstances = {**facts, "footage": f"{folder.name}, {len(paths)} clips, {len(left_out)} left out"}
    content = footage_to_json(reports, left_out, circumstances)
    _publish(out, content, footage_to_markdown(reports, left_out, circumstances), "Perfect looks and graded faults")
    return RealResult(content, [_footage_line(r) for r in reports], tuple(left_out))


def _publish(out: Path, report: Mapping[str, Any], markdown: str, title: str) -> None:
    write_atomically(out / "report.json", (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "report.md", markdown.encode())
    write_atomically(out / "report.html", markdown_to_page(markdown, title).encode())


def _pair_line(r: PairReport, kind: str) -> str:
    recognition = r.recognition(r.of_kind(kind))
    shares = {
        "beats": recognition.beats,
        "AUC": recognition.auc,
        "top-1": recognition.top1,
        "reversed": recognition.backwards,
    }
    words = "  ".join(f"{name} {_to_text(estimate)}" for name, estimate in shares.items())
    return (
        f"{r.tracker} {r.info.name} ({kind}, {recognition.pairs - recognition.missing} of {recognition.pairs}): {words}"
    )


def _footage_line(r: FootageReport) -> str:
    doubted = sum(bool(r.doubts(clip)) for clip in r.clips)
    words = f"looks {_to_text(r.looks)}  rho {_to_text(r.grade('rho'))}  pairs {_to_text(r.grade('accuracy'))}"
    return f"{r.tracker} {r.info.name}: {words}  not to be trusted on {doubted} of {len(r.clips)} clips"


def _to_text(estimate: Estimate) -> str:
    return "-" if estimate.mean is None else f"{estimate.mean:.3f}"
