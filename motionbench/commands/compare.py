"""`motionbench compare`: the paired difference of two runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.commands.scoring import open_results, to_metrics
from motionbench.comparison import compare as compare_attempts
from motionbench.errors import StoreError
from motionbench.scorer import metric_infos
from motionbench.store import ResultStore
from motionbench.summary import Attempts
from motionbench.table import print_differences


def compare(
    results_a: Annotated[Path, typer.Argument(help="Results folder A.")],
    results_b: Annotated[Path, typer.Argument(help="Results folder B, or a control within one.")],
    metrics: options.Metrics = None,
    as_json: options.Json = False,
) -> None:
    """Print the paired difference A - B per metric and category, with its 95% bootstrap interval over references.

    Only cases that both runs have a value for are compared; the rest is counted as unpaired.

    Example:
    motionbench compare results/followyourmotion results/backbone
    motionbench compare results/a results/a/controls/oracle
    """
    a, b = open_results(results_a), open_results(results_b)
    _check_same_split(a, b)
    infos = metric_infos(to_metrics(metrics))
    left, right = Attempts.read(a, infos), Attempts.read(b, infos)
    scored = [name for name in infos if any(left.case_values(name)) and any(right.case_values(name))]
    for name in [name for name in infos if name not in scored]:
        typer.echo(f"{name}: not scored in both; motionbench score RESULTS --metrics {name}", err=True)
    for name in scored:
        if left.basis(name).differs(right.basis(name)):
            bases = f"A rests on {left.basis(name)}, B on {right.basis(name)}"
            typer.echo(f"{name}: not compared: {bases}; motionbench score both alike", err=True)
    differences = compare_attempts(left, right, scored)
    if as_json:
        print_json([asdict(difference) for difference in differences])
    else:
        print_differences(differences, str(results_a), str(results_b))
    raise typer.Exit(0 if scored else 2)


def _check_same_split(a: ResultStore, b: ResultStore) -> None:
    left, right = a.read_run()["configuration"], b.read_run()["configuration"]
    for key in ("split", "split_revision"):
        if left[key] != right[key]:
            raise StoreError(
                f"{key} differs: {left[key]} and {right[key]}; only runs on the same cases can be compared"
            )
    if left["backbone"] != right["backbone"]:
        names = f"{left['backbone']} and {right['backbone']}"
        typer.echo(f"warning: the backbones differ ({names}): this difference is not one of methods", err=True)
