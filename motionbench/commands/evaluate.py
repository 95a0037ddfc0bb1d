"""`motionbench eval`: the main job."""

from __future__ import annotations

import typer

from motionbench.commands import options
from motionbench.commands.planning import default_folder, generate, make_plan
from motionbench.commands.scoring import publish, score_all, to_metrics, to_tracker
from motionbench.controls import run_controls
from motionbench.device import resolve_device
from motionbench.progress import Bars
from motionbench.scorer import ScorePlan, metric_infos
from motionbench.split import read_split
from motionbench.store import ResultStore


def evaluate(
    method: options.Method = "followyourmotion",
    split: options.Split = "mini",
    category: options.Categories = None,
    level: options.Levels = None,
    limit: options.Limit = None,
    seed: options.Seeds = [0],  # noqa: B006  typer copies it
    backbone: options.Backbone = "tiny",
    tracker: options.Tracker = "auto",
    metrics: options.Metrics = None,
    settings: options.Settings = None,
    preset: options.Preset = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    offload: options.Offload = "auto",
    out: options.Out = None,
    retry_failed: options.RetryFailed = False,
    shard: options.Shard = "1/1",
    engine: options.Engine = "local",
    adapters: options.Adapters = True,
    as_json: options.Json = False,
) -> None:
    """Generate, score and summarize: the main job.

    Also runs the controls that mark floor and ceiling on the same cases, in the folder `controls` of the results.
    Killed at any moment, the same command goes on from there.

    Example:
    motionbench eval --method followyourmotion
    motionbench eval --method followyourmotion --split lite --seed 0 --set rank=64 --out results/a
    """
    plan = make_plan(
        method=method,
        split=split,
        category=category,
        level=level,
        limit=limit,
        seed=seed,
        backbone=backbone,
        settings=settings,
        preset=preset,
        device=device,
        dtype=dtype,
        offload=offload,
        retry_failed=retry_failed,
        shard=shard,
        engine=engine,
        adapters=adapters,
    )
    # Metrics and tracker are looked up first: a misspelled name must not cost the minutes of a run.
    score_plan = ScorePlan(
        to_metrics(metrics), to_tracker(tracker, read_split(split)), resolve_device(device), plan.shard
    )
    infos = metric_infos(score_plan.metrics)
    store = ResultStore(out or default_folder(plan))
    records = generate(plan, store)
    with Bars("controls") as bars:
        records += run_controls(plan, store, infos.values(), bars)
    result = score_all(store, score_plan, {record.key for record in records})
    code = publish(store, score_plan, result, as_json=as_json)
    typer.echo(f"results: {store.folder}", err=True)
    raise typer.Exit(code)
