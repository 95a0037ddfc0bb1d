"""`motionbench run`: generate only."""

from __future__ import annotations

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.commands.planning import default_folder, generate, make_plan
from motionbench.commands.scoring import failures_to_json, list_failures
from motionbench.store import ResultStore


def run(
    method: options.Method = "followyourmotion",
    split: options.Split = "mini",
    category: options.Categories = None,
    level: options.Levels = None,
    limit: options.Limit = None,
    seed: options.Seeds = [0],  # noqa: B006  typer copies it
    backbone: options.Backbone = "tiny",
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
    """Generate only; `motionbench score` scores the results.

    Example:
    motionbench run --method followyourmotion --split lite --shard 1/2 --out results/a
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
    store = ResultStore(out or default_folder(plan))
    failed = [record for record in generate(plan, store) if record.status == "failed"]
    list_failures(failed)
    if as_json:
        print_json({"results": str(store.folder), "failures": failures_to_json(failed)})
    else:
        typer.echo(store.folder)
    raise typer.Exit(1 if failed else 0)
