"""`motionbench run`: generate only."""

from __future__ import annotations

from dataclasses import asdict

import typer

from motionbench import evaluation
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.commands.planning import takes_plan
from motionbench.commands.scoring import list_failures
from motionbench.plan import RunPlan
from motionbench.summary_file import Failure


@takes_plan
def run(plan: RunPlan, out: options.Out = None, as_json: options.Json = False) -> None:
    """Generate only; `motionbench score` scores the results.

    Example:
    motionbench run --method followyourmotion --split lite --shard 1/2 --out results/a
    """
    results = evaluation.generate(plan, out=out)
    failed = results.failures
    list_failures(results.store, failed, "run")
    if as_json:
        print_json({"results": str(results.folder), "failures": [asdict(Failure.of(record)) for record in failed]})
    else:
        typer.echo(results.folder)
    raise typer.Exit(1 if failed else 0)
