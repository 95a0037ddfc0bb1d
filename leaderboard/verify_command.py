"""`motionbench results verify`: what a reader of a leaderboard can do instead of believing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from motionbench.commands import options
from motionbench.commands.output import print_json


def verify(
    results: Annotated[Path, typer.Argument(help="Results folder to check.")],
    sample: Annotated[int, typer.Option("--sample", min=0, help="How many records to score again.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which records: another seed draws others.")] = 0,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Greatest difference of a score that is let pass.")
    ] = 1e-3,
    split: options.Manifest = None,
    device: options.Device = "cpu",
    as_json: options.Json = False,
) -> None:
    """Check a results folder: checksums of all videos, its summary, and a random sample of scores computed anew.

    Nothing is written to the folder. Exit 0: everything holds; 1: something does not, and is listed.

    Example:
    motionbench results verify results/followyourmotion --sample 20 --seed 7
    """
    from motionbench.device import resolve_device
    from motionbench.progress import Bars

    from .verify import VerifyPlan, verification_to_json, verify_results

    plan = VerifyPlan(sample, seed, tolerance, device if device == "cpu" else resolve_device(device), split)
    with Bars("scoring again") as bars:
        made = verify_results(results, plan, report=bars.counted)
    if as_json:
        print_json(verification_to_json(made))
    else:
        typer.echo(f"videos and records: {made.videos} checked")
        typer.echo(f"summary: {made.rows} rows checked")
        typer.echo(f"scores: {made.recomputed} computed again, largest difference {made.largest_difference:.2g}")
        typer.echo("everything holds" if made.holds else f"{len(made.findings)} things do not hold:")
        for one in made.findings:
            typer.echo(f"  {one.check}: {one.where}: {one.problem}")
    for line in made.skipped:
        typer.echo(f"not checked: {line}", err=True)
    raise typer.Exit(0 if made.holds else 1)
