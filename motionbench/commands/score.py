"""`motionbench score`: score what is there, generate nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motionbench import evaluation
from motionbench.commands import options
from motionbench.commands.scoring import publish


def score(
    results: Annotated[Path, typer.Argument(help="Results folder of `run` or `eval`.")],
    split: options.Manifest = None,
    metrics: options.Metrics = None,
    tracker: options.Tracker = "auto",
    device: options.Device = "auto",
    engine: options.Engine = "local",
    address: options.Address = None,
    as_json: options.Json = False,
) -> None:
    """Score (again) what is there, and summarize it; never generates.

    Only what is missing is computed: new metrics, new versions of a metric, another tracker. The controls that
    `motionbench eval` put into the folder `controls` are scored along.

    Example:
    motionbench score results/a --metrics motion_fidelity,text_alignment --tracker lk
    motionbench score moved/results --split moved/split
    """
    scored = evaluation.score(
        results, metrics=metrics, tracker=tracker, device=device, split=split, engine=engine, address=address
    )
    raise typer.Exit(publish(scored, as_json=as_json))
