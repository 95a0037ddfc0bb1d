"""`motionbench metrics`: what the metrics measure with."""

from __future__ import annotations

from typing import Annotated

import typer

from motionbench import registry
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.device import resolve_device
from motionbench.progress import Bars
from motionbench.split import read_split

app = typer.Typer(help="Tell how far what the metrics measure with can be believed.", no_args_is_help=True)


@app.callback()
def metrics() -> None:
    """Tell how far what the metrics measure with can be believed."""


@app.command()
def agreement(
    split: options.Split = "lite",
    tracker: Annotated[
        list[str] | None, typer.Option("--tracker", help="Tracker; repeatable; default: tiny and lk.")
    ] = None,
    category: options.Categories = None,
    limit: options.Limit = None,
    grid: Annotated[int, typer.Option("--grid", min=2, help="Tracked points per side of the frame.")] = 20,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure how far trackers agree on a split's references, and each one's error where the truth is known.

    Example:
    motionbench metrics agreement --split lite --tracker tiny --tracker lk
    """
    from dataclasses import asdict

    from .agreement import measure_agreement

    names = [registry.resolve("trackers", name) for name in tracker or ["tiny", "lk"] if name != "truth"]
    held = read_split(split)
    cases = {case.reference_id: case for case in held.select(options.to_categories(category), limit)}
    clips = [held.read_reference(case) for _, case in sorted(cases.items())]
    with Bars("trackers") as bars:
        found = measure_agreement(clips, names, device=resolve_device(device), grid=grid, report=bars.counted)
    if as_json:
        print_json([asdict(one) for one in found])
        return
    typer.echo(f"{'trackers':24s} clips  within 1-16 px  median %  visibility  same at rest  still called moving")
    for one in found:
        rest = "-" if one.still_called_moving is None else f"{one.still_called_moving:.1%}"
        typer.echo(
            f"{one.first + ' / ' + one.second:24s} {one.n:5d}  {one.within:13.1%}  {one.median_distance:8.2f}  "
            f"{one.visibility:10.1%}  {one.moving:12.1%}  {rest:>19s}"
        )
