"""`motionbench metrics exam`: the metrics' own exam."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from motionbench import registry, terminal
from motionbench.arguments import parse_shard, to_names
from motionbench.case import Category
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.evaluation import to_metrics
from motionbench.files import write_atomically
from motionbench.footage import AUTO, tracker_for, tracker_for_world
from motionbench.progress import Bars
from motionbench.scorer import metric_infos
from motionbench.split import read_split
from motionbench.table import Table

if TYPE_CHECKING:
    from .exam.plan import Answer
    from .exam.report import Estimate, MetricReport

METRICS = (
    "motion_fidelity,motion_fidelity_smm,motion_fidelity_released,motion_fidelity_det,camera_agreement,speed_ratio,"
    "trajectory_error,motion_smoothness,dynamic_degree,text_alignment,temporal_consistency,temporal_gap,appearance_leak"
)

# Of clips without prompts, all that can be asked is how they move.
REAL_METRICS = "motion_fidelity,motion_fidelity_smm,motion_fidelity_released,motion_fidelity_det,camera_agreement"


def validate(
    split: options.Split = "lite",
    tracker: Annotated[
        list[str] | None,
        typer.Option("--tracker", help="`truth` (default: exact tracks), a tracker, or `auto`; repeatable."),
    ] = None,
    metrics: options.Metrics = None,
    category: options.Categories = None,
    limit: options.Limit = None,
    half: Annotated[
        str,
        typer.Option(
            "--half",
            metavar="report|tune|all",
            help="References with even numbers, odd ones (for choosing thresholds), or all.",
        ),
    ] = "report",
    decoded: Annotated[
        bool,
        typer.Option(
            "--decoded/--rendered", help="Pass clips through the autoencoder of `tiny`, as generated ones are."
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the corruptions.")] = 0,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="MANIFEST",
            help='Instead: outputs of anyone, one {"reference": …, "generated": …} a line (docs/metrics.md).',
        ),
    ] = None,
    footage: Annotated[
        Path | None,
        typer.Option("--footage", metavar="DIR", help="Instead: a folder of real clips, made over and spoiled."),
    ] = None,
    shard: options.Shard = "1/1",
    device: options.Device = "auto",
    out: Annotated[
        Path, typer.Option("--out", help="Folder of answers, report.json, report.md and report.html.")
    ] = Path("results/exam"),
    as_json: options.Json = False,
) -> None:
    """Examine the metrics: every one against controls and graded corruptions of perfect transfers.

    With --pairs: does each output know its own reference among others, and forwards from backwards? With --footage: do
    clips with another look and the same motion score high, and faults by degrees ever lower? Both need no ground truth
    and take the tracker `real` unless told otherwise.

    Each clip is made once and shown to all trackers. Answers are kept in OUT/answers.jsonl; what is there is not asked
    again, and the report is on all that is there. With several shards, concatenate their files and run once more.

    Example:
    motionbench metrics exam --split lite --tracker truth --tracker tiny --tracker lk --out results/exam

    motionbench metrics exam --pairs outputs/pairs.jsonl --tracker lk --out results/pairs
    """
    if pairs is not None or footage is not None:
        real = _RealOptions(pairs, footage, tuple(tracker or ()), tuple(metrics or ()), limit, shard, device)
        _examine_real(real, out, as_json=as_json)
        return
    from .exam.plan import ExamPlan
    from .exam.run import run_exam

    read = read_split(split)
    plan = ExamPlan(
        metrics=to_metrics(metrics or [METRICS]),
        trackers=tuple(dict.fromkeys(tracker_for(name, read) for name in tracker or ["truth"])),
        device=resolve_device(device),
        decoded=decoded,
        half=cast(Any, options.to_choice("--half", half, ("report", "tune", "all"))),
        categories=to_names(Category, category),
        limit=limit,
        seed=seed,
        shard=parse_shard(shard),
    )
    with Bars("exam") as bars:
        answers = run_exam(plan, read, out, bars.counted)
    references = len({answer.reference for answer in answers})
    facts = {
        **_command(),
        "split": f"{read.name}, revision {read.revision}, {half} half, {references} references, {len(answers)} answers",
        "machine": f"{platform.machine()}, {plan.device}, Python {platform.python_version()}",
    }
    _publish(out, answers, plan.metrics, facts, as_json=as_json)


@dataclass(frozen=True)
class _RealOptions:
    pairs: Path | None
    footage: Path | None
    trackers: tuple[str, ...]
    metrics: tuple[str, ...]
    limit: int | None
    shard: str
    device: str


def _examine_real(asked: _RealOptions, out: Path, *, as_json: bool) -> None:
    from .exam.real_exam import examine_footage, examine_pairs
    from .exam.real_run import RealPlan

    plan = RealPlan(
        metrics=to_metrics(list(asked.metrics) or [REAL_METRICS]),
        trackers=tuple(dict.fromkeys(tracker_for_world(name, None) for name in asked.trackers or (AUTO,))),
        device=resolve_device(asked.device),
        limit=asked.limit,
        shard=parse_shard(asked.shard),
    )
    facts = {**_command(), "machine": f"{platform.machine()}, {plan.device}, Python {platform.python_version()}"}
    with Bars("exam") as bars:
        if asked.pairs is not None and asked.footage is not None:
            raise ConfigError("--pairs and --footage are two exams: run one after the other, each with its own --out")
        if asked.pairs is not None:
            result = examine_pairs(plan, asked.pairs, out, facts, bars.counted)
        else:
            result = examine_footage(plan, cast(Path, asked.footage), out, facts, bars.counted)
    for reason in result.left_out:
        typer.echo(f"left out: {reason}", err=True)
    if as_json:
        print_json(result.report)
        return
    for line in result.lines:
        typer.echo(line)
    typer.echo(f"report: {out / 'report.md'} and {out / 'report.html'}", err=True)


def _command() -> dict[str, str]:
    return {"command": "`motionbench " + " ".join(sys.argv[1:]) + "`"}


def _publish(
    out: Path, answers: Sequence[Answer], names: tuple[str, ...], facts: dict[str, str], *, as_json: bool
) -> None:
    from .exam.page import to_json, to_page
    from .exam.report import make_reports
    from .exam.tables import to_markdown

    corruptions = registry.load("worlds", "procedural")().corruptions()
    reports = make_reports(answers, metric_infos(names), corruptions)
    report = {"facts": facts, "metrics": to_json(reports)}
    write_atomically(out / "report.json", (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "report.md", to_markdown(reports, corruptions, facts).encode())
    write_atomically(out / "report.html", to_page(reports, corruptions, "The metrics' exam").encode())
    if as_json:
        print_json(report)
        return
    typer.echo(marks_table(reports).render(terminal.width()))
    typer.echo(f"report: {out / 'report.md'} and {out / 'report.html'}", err=True)


def marks_table(reports: Sequence[MetricReport]) -> Table:
    """A section per tracker, a line per metric."""
    table = Table(("metric", "rho [95%]", "pairs [95%]"))
    for tracker, members in groupby(reports, key=lambda report: report.tracker):
        table.section(f"tracker {tracker}").extend((r.metric, _to_text(r.rho), _to_text(r.accuracy)) for r in members)
    return table


def _to_text(estimate: Estimate) -> str:
    if estimate.mean is None:
        return "-"
    interval = "" if estimate.low is None else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.mean:.3f}{interval}"
