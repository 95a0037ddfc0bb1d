"""`motionbench gate`: the reversed-reference gate, for any installed method."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.commands.planning import takes_plan
from motionbench.plan import RunPlan

app = typer.Typer(
    help="Does a method follow the direction of its reference? Generate, then judge.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    epilog="\b\nExample:\n  motionbench gate run --method mymethod\n  motionbench gate score --write gate.json",
)


@app.command()
@takes_plan
def run(
    plan: RunPlan,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the gate's results, a folder below it a method.")
    ] = Path("results/gate"),
    as_json: options.Json = False,
) -> None:
    """Generate: a method on every reference of a split, forwards and backwards.

    Example:
    motionbench gate run --method followyourmotion
    motionbench gate run --method mymethod --split lite --limit 2 --level scene --seed 0 --seed 1
    """
    from motionbench.gate_run import run_gate

    done = run_gate(plan, out)
    if as_json:
        print_json({d: {"planned": r.planned, "ok": r.ok, "failed": r.failed} for d, r in done.items()})
    else:
        for direction, result in done.items():
            typer.echo(f"{direction}: {result.ok} of {result.planned} clips, {result.failed} failed")
    raise typer.Exit(1 if any(result.failed for result in done.values()) else 0)


@app.command()
def score(
    results: Annotated[Path, typer.Argument(help="Folder of `gate run`.")] = Path("results/gate"),
    tracker: options.Tracker = "auto",
    write: Annotated[
        Path | None, typer.Option("--write", help="gate.json to bring up to date, beside the method's module.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Judge every method that `gate run` has clips of; generates nothing.

    A method passes if the 95% interval of the mean difference lies above zero and no reference lacks a value. The file
    `gate.json` in the folder of a method's module, or of a package around it, is where MotionBench looks.

    Example:
    motionbench gate score results/gate --write my_package/gate.json
    """
    from motionbench.errors import StoreError
    from motionbench.gate import verdict_to_gate
    from motionbench.gate_run import score_gate

    verdicts = score_gate(results, tracker=tracker, write=write)
    if not verdicts:
        raise StoreError(f"{results} holds no clips of the gate; `motionbench gate run --method NAME --out {results}`")
    if as_json:
        print_json(verdicts)
        return
    for method, verdict in verdicts.items():
        gate = verdict_to_gate(verdict)
        typer.echo(f"{method}: {'passed' if gate.state == 'passed' else 'failed'}: {gate.note}")
