"""`motionbench eval`: the main job."""

from __future__ import annotations

import typer

from motionbench import evaluation
from motionbench.commands import options
from motionbench.commands.planning import takes_plan
from motionbench.commands.scoring import publish
from motionbench.plan import RunPlan


@takes_plan
def evaluate(
    plan: RunPlan,
    tracker: options.Tracker = "auto",
    metrics: options.Metrics = None,
    controls: options.Controls = None,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Generate, score and summarize: the main job.

    Also runs the controls that mark floor and ceiling on the same cases, in the folder `controls` of the results: those
    that the metrics name and that can be had, without a model where the method uses none, or those of --controls.
    Killed at any moment, the same command goes on from there.

    Example:
    motionbench eval --method followyourmotion
    motionbench eval --method followyourmotion --split lite --seed 0 --set rank=64 --out results/a
    """
    results = evaluation.evaluate(plan, metrics=metrics, tracker=tracker, controls=controls, out=out)
    code = publish(results, as_json=as_json)
    typer.echo(f"results: {results.folder}", err=True)
    raise typer.Exit(code)
