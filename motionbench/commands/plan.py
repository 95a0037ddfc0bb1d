"""`motionbench plan`: what would be run, what of it is there, and what the rest costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json, print_pairs
from motionbench.commands.planning import takes_plan
from motionbench.evaluation import default_folder
from motionbench.forecast import Forecast, forecast
from motionbench.job import resolve
from motionbench.pace import seconds_to_text
from motionbench.plan import RunPlan
from motionbench.ray_cluster import Share, connected
from motionbench.store import ResultStore

UNKNOWN = "not known: nothing was measured; name an earlier run by --measured"


@takes_plan
def plan(
    plan: RunPlan,
    measured: Annotated[
        list[Path] | None,
        typer.Option("--measured", help="Results of an earlier run of this method, or its lines; repeatable."),
    ] = None,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="How many workers to reckon with, one a GPU.")] = 1,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Say what `run` or `eval` with these options would do, and compute nothing.

    How many clips are asked for, are there already and are left; and by the seconds that fits, clips and scores took in
    earlier runs, how many GPU hours that is, and how long so many GPUs take. Controls are not counted.

    Example:
    motionbench plan --method followyourmotion --split lite --measured results/a --gpus 8
    """
    with connected(plan.engine, plan.address):
        job = resolve(plan)
        store = ResultStore(out or default_folder(job))
        predicted = forecast(job, store, measured or [], gpus)
        facts = {"results": str(store.folder), **_how(plan), "worker": str(Share.of(job)), "device": job.device}
    if as_json:
        print_json({**facts, "method": job.plan.method, "split": job.split.name, **predicted.to_json()})
        return
    print_pairs(
        {"method": f"{job.plan.method} on {job.backbone}", "split": job.split.name, **facts, **_lines(predicted)}
    )


def _how(plan: RunPlan) -> dict[str, str]:
    """Who computes, and how clips and results get there and back."""
    if plan.engine != "ray":
        return {"engine": plan.engine}
    storage = {
        "sent": "sent: nodes get each reference with its order and send results back",
        "shared": "shared: nodes read the split and write into the results folder at the same paths",
    }
    return {"engine": f"ray at {plan.address or 'local'}", "storage": storage[plan.storage]}


def _lines(predicted: Forecast) -> dict[str, str]:
    costs = predicted.costs
    each = {"a fit": costs.fit_seconds, "a clip": costs.generate_seconds, "its scores": costs.score_seconds}
    known = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in each.items() if seconds is not None)
    lines = {
        "clips": f"{predicted.clips_planned} asked for, {predicted.clips_there} there, {predicted.clips} left",
        "fits left": str(predicted.fits),
        "measured": f"{known} (median of {costs.measured} clips)" if known else UNKNOWN,
    }
    if predicted.hours is not None and predicted.wall_hours is not None:
        lines["GPU hours"] = f"{predicted.hours:.3g}"
        lines[f"time on {predicted.workers} GPUs"] = seconds_to_text(predicted.wall_hours * 3600)
    if predicted.score_hours is not None:
        lines["CPU hours of scoring"] = f"{predicted.score_hours:.3g}"
    return lines
