"""`motionbench validate`: the metrics' own exam."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from motionbench import registry
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.commands.scoring import to_metrics
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.files import write_atomically
from motionbench.plan import parse_shard
from motionbench.progress import Bars
from motionbench.scorer import metric_infos
from motionbench.split import read_split

MOTION = (
    "motion_fidelity,motion_fidelity_smm,motion_fidelity_released,motion_fidelity_det,camera_agreement,speed_ratio,"
    "trajectory_error,motion_smoothness,dynamic_degree,text_alignment,temporal_consistency,temporal_gap,appearance_leak"
)


def validate(
    split: options.Split = "lite",
    tracker: Annotated[
        list[str] | None,
        typer.Option("--tracker", help="`truth` (default: exact tracks) or a tracker; repeatable."),
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
    shard: options.Shard = "1/1",
    device: options.Device = "auto",
    out: Annotated[
        Path, typer.Option("--out", help="Folder of answers, report.json, report.md and report.html.")
    ] = Path("results/exam"),
    as_json: options.Json = False,
) -> None:
    """Examine the metrics: every one against controls and graded corruptions of perfect transfers.

    Answers are kept in OUT/answers.jsonl; what is there is not asked again, and the report is on all that is there.
    With several shards, concatenate their files.

    Example:
    motionbench validate --split lite --tracker truth --tracker tiny --tracker lk --out results/exam
    """
    from .exam import ExamPlan, sit_exam

    if half not in ("report", "tune", "all"):
        raise ConfigError(f"--half must be report, tune or all, got {half!r}")
    names = to_metrics(metrics or [MOTION])
    chosen, read = options.to_categories(category), read_split(split)
    answers: list[Any] = []
    for name in tracker or ["truth"]:
        plan = ExamPlan(
            metrics=names,
            tracker=registry.resolve("trackers", name),
            device=resolve_device(device),
            decoded=decoded,
            half=cast(Any, half),
            categories=chosen,
            limit=limit,
            seed=seed,
            shard=parse_shard(shard),
        )
        with Bars(f"exam with {name}") as bars:
            answers = sit_exam(plan, read, out, bars.counted)
    facts = {
        "command": "`motionbench " + " ".join(sys.argv[1:]) + "`",
        "split": f"{read.name}, revision {read.revision}, {half} half, "
        f"{len({a.reference for a in answers})} references, {len(answers)} answers",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }
    _publish(out, answers, names, facts, as_json=as_json)


def _publish(out: Path, answers: list[Any], names: tuple[str, ...], facts: dict[str, str], *, as_json: bool) -> None:
    from .exam_pages import to_json, to_markdown, to_page
    from .exam_report import make_reports

    infos = metric_infos(names)
    corruptions = registry.load("worlds", "procedural")().corruptions()
    reports = make_reports(answers, infos, corruptions)
    report = {"facts": facts, "metrics": to_json(reports)}
    import json

    write_atomically(out / "report.json", (json.dumps(report, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "report.md", to_markdown(reports, corruptions, facts).encode())
    write_atomically(out / "report.html", to_page(reports, corruptions, "The metrics' exam").encode())
    if as_json:
        print_json(report)
        return
    for r in reports:
        rho, accuracy = (
            "-" if e.mean is None else f"{e.mean:.3f}" + (f" [{e.low:.3f}, {e.high:.3f}]" if e.low is not None else "")
            for e in (r.rho, r.accuracy)
        )
        typer.echo(f"{r.tracker:16s} {r.metric:26s} rho {rho:24s} pairs {accuracy}")
    typer.echo(f"report: {out / 'report.md'} and {out / 'report.html'}", err=True)
