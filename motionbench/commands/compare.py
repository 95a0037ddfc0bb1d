"""`motionbench compare`: the paired difference of two runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from motionbench import run_comparison
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.files import write_atomically
from motionbench.table import print_differences


def compare(
    results_a: Annotated[Path, typer.Argument(help="Results folder A.")],
    results_b: Annotated[Path, typer.Argument(help="Results folder B, or a control within one.")],
    metrics: options.Metrics = None,
    table: Annotated[Path | None, typer.Option("--csv", help="Write the differences as a CSV file, too.")] = None,
    as_json: options.Json = False,
) -> None:
    """Print the paired difference A - B per metric and category, with its 95% bootstrap interval over references.

    Only cases that both runs have a value for are compared; the rest is counted as unpaired.

    Example:
    motionbench compare results/followyourmotion results/backbone
    motionbench compare results/a results/a/controls/oracle
    """
    comparison = run_comparison.compare(results_a, results_b, metrics=metrics)
    for note in comparison.notes:
        typer.echo(note, err=True)
    if table is not None:
        write_atomically(table, comparison.frame().to_csv(index=False).encode())
    if as_json:
        print_json([asdict(difference) for difference in comparison.differences])
    else:
        print_differences(comparison.differences, comparison.a, comparison.b)
    raise typer.Exit(0 if comparison.differences else 2)
