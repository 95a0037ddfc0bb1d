"""`motionbench study`: a declared experiment, run and told on one page."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench import terminal
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.evaluation import to_score_plan
from motionbench.files import write_atomically
from motionbench.job import resolve
from motionbench.marked_page import BEGIN, put_between
from motionbench.plan import RunPlan
from motionbench.progress import Bars
from motionbench.scorer import ScorePlan, metric_infos
from motionbench.split import read_split
from motionbench.studies.declaration import Study, read_study


def study(
    file: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder; default results/studies/NAME.")] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="In place of the file's: another split, or where it lies here.")
    ] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Generate what is missing.")] = True,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Score what is missing.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what would be run.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Markdown page whose tables are replaced; default OUT/study.md.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that take references in turn.")] = 1,
    seconds: Annotated[float, typer.Option("--seconds", min=0, help="With workers: stop after so long.")] = float(
        "inf"
    ),
    retry_failed: options.RetryFailed = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    gpu_memory: options.GpuMemory = "auto",
    engine: options.Engine = "local",
    adapters: options.Adapters = False,
    as_json: options.Json = False,
) -> None:
    """Run a declared experiment and write its page: tables, paired contrasts with intervals, and plots.

    Every variant is a results folder below OUT, so a study that was stopped goes on, and what is there is not made
    again. `--no-run --no-score` only writes the page, from records and scores alone. docs/studies.md tells the file.

    Example:
    motionbench study benchmarks/studies/ablation.toml --dry-run
    motionbench study benchmarks/studies/ablation.toml --workers 2
    motionbench study benchmarks/studies/ablation.toml --no-run --page docs/results/ablation.md
    """
    from motionbench.studies.running import plan_variants

    declared = read_study(file)
    if split is not None:
        declared = replace(declared, split=split)
    where = {"device": device, "dtype": dtype, "gpu_memory": gpu_memory, "engine": engine}
    plans = plan_variants(declared, **where, retry_failed=retry_failed, keep_adapters=adapters)
    target = out or Path("results") / "studies" / declared.name
    scoring = to_score_plan(read_split(declared.split), declared.metrics, declared.tracker, device)
    infos = metric_infos(scoring.metrics)
    if dry_run:
        _tell_plan(declared, plans, target, as_json)
        return
    faults = []
    if run:
        faults += _run(declared, plans, target, infos, workers, seconds)
    if score:
        faults += _score(plans, target, scoring)
    _tell(declared, plans, target, infos, page, _command(file, split), as_json, faults)


def _command(file: Path, split: str | None) -> str:
    return f"motionbench study {file}" + (f" --split {split}" if split else "")


def _tell_plan(declared: Study, plans: dict[str, RunPlan], out: Path, as_json: bool) -> None:
    """What would be run: attempts of each variant, and those that are on record."""
    from motionbench.runner import done_keys
    from motionbench.store import ResultStore
    from motionbench.studies.running import variant_folders

    folders = variant_folders(plans, out)
    rows: dict[str, dict[str, Any]] = {}
    for name, plan in plans.items():
        job = resolve(plan)
        keys = {job.key(case, unit.seed) for unit in job.units() for case in unit.cases}
        shared = folders[name].name if folders[name].name != name else None
        done = len(done_keys(job, ResultStore(folders[name]), keys))
        rows[name] = {"attempts": len(keys), "fits": len(job.units()), "on_record": done, "same_as": shared}
    if as_json:
        print_json({"study": declared.name, "out": str(out), "variants": rows})
        return
    for name, row in rows.items():
        words = f"the same as {row['same_as']}" if row["same_as"] else f"{row['attempts']} clips of {row['fits']} fits"
        typer.echo(f"{name}: {words}, {row['on_record']} on record")
    new = [row for row in rows.values() if not row["same_as"]]
    fits, clips = (sum(row[key] for row in new) for key in ("fits", "attempts"))
    typer.echo(f"{len(rows)} variants, {fits} fits, {clips} clips; results: {out}")


def _run(declared: Study, plans: dict[str, RunPlan], out: Path, infos: Any, workers: int, seconds: float) -> list[str]:
    from motionbench.studies.running import run_study, run_study_controls

    write_atomically(out / "study.toml", declared.text.encode())
    late = run_study(plans, out, Bars, workers=workers, seconds=seconds)
    with Bars("controls") as bar:
        run_study_controls(declared, plans, out, infos.values(), bar)
    return [f"{late} processes were stopped at the end of the time; the same command goes on"] if late else []


def _score(plans: dict[str, RunPlan], out: Path, plan: ScorePlan) -> list[str]:
    from motionbench.studies.running import score_study

    results = score_study(plans, out, plan, Bars)
    faults = [f"{name}: {case} {metric}: {note}" for name, r in results.items() for case, metric, note in r.errors]
    missing = {metric: why for result in results.values() for metric, why in result.unavailable.items()}
    return [
        *(f"not scored: {fault}" for fault in faults),
        *(f"not available: {m}: {why}" for m, why in missing.items()),
    ]


def _tell(
    declared: Study, plans: dict[str, RunPlan], out: Path, infos: Any, page: Path | None, command: str, as_json: bool,
    faults: list[str],
) -> None:  # fmt: skip
    """Writes the pages and prints what they say."""
    from motionbench.files import write_json
    from motionbench.studies.page import to_page
    from motionbench.studies.report import make_report
    from motionbench.studies.tables import overview_tables, to_markdown

    report = make_report(declared, plans, out, infos)
    value = report_to_json(report)
    write_json(out / "study.json", value)
    write_atomically(out / "study.html", to_page(report, command).encode())
    text = to_markdown(report, command)
    target = page or out / "study.md"
    if page is not None and page.is_file() and BEGIN in page.read_text(encoding="utf-8"):
        put_between(page, text)
    else:
        write_atomically(target, f"# {declared.title}\n\n{text}\n".encode())
    if as_json:
        print_json({"page": str(target), "html": str(out / "study.html"), **value})
    else:
        typer.echo("\n\n".join(table.render(terminal.width()) for table in overview_tables(report)))
        typer.echo(f"pages: {target}, {out / 'study.html'}", err=True)
    faults = [*faults, *report.notes]
    for fault in faults:
        typer.echo(fault, err=True)
    failed = sum(len(result.failures) for result in report.distinct)
    short = sum(result.planned - result.on_record for result in report.distinct)
    if failed or short:
        typer.echo(f"{failed} attempts failed, {short} are not on record", err=True)
    raise typer.Exit(1 if failed or short or faults else 0)


def report_to_json(report: Any) -> dict[str, Any]:
    """All numbers of a study's report."""
    return {
        "study": report.study.name,
        "facts": dict(report.facts),
        "notes": list(report.notes),
        "metrics": {name: asdict(info) for name, info in report.infos.items()},
        "variants": {name: _variant_to_json(result) for name, result in report.variants.items()},
        "contrasts": [_contrast_to_json(result) for result in report.contrasts],
    }


def _variant_to_json(result: Any) -> dict[str, Any]:
    return {
        "title": result.title,
        "same_as": result.same_as,
        "rows": [asdict(row) for row in result.rows.values()],
        "cost": asdict(result.cost),
        "planned": result.planned,
        "on_record": result.on_record,
        "failures": [asdict(one) for one in result.failures],
        "published": dict(result.published),
    }


def _contrast_to_json(result: Any) -> dict[str, Any]:
    return {
        **asdict(result.contrast),
        "differences": [asdict(gap) for gap in result.differences.values()],
        "published": dict(result.published),
        "verdicts": dict(result.verdicts),
    }
