"""`motionbench metrics`: what the metrics measure with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motionbench import terminal
from motionbench.arguments import to_names
from motionbench.case import Category
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.device import resolve_device
from motionbench.footage import AUTO, tracker_for, tracker_for_world
from motionbench.progress import Bars
from motionbench.split import read_split
from motionbench.table import Table

if TYPE_CHECKING:
    from .agreement import Agreement

app = typer.Typer(
    help="Examine the metrics, and what they measure with.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def metrics() -> None:
    """Examine the metrics, and what they measure with."""


@app.command()
def agreement(
    split: options.Split = "lite",
    tracker: Annotated[
        list[str] | None, typer.Option("--tracker", help="Tracker; repeatable; default: auto and lk.")
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

    references = read_split(split)
    asked = [tracker_for(name, references) for name in tracker or [AUTO, "lk"] if name != "truth"]
    names = list(dict.fromkeys(asked))
    cases = {case.reference_id: case for case in references.select(to_names(Category, category), limit)}
    clips = [references.read_reference(case) for _, case in sorted(cases.items())]
    with Bars("trackers") as bars:
        agreements = measure_agreement(clips, names, device=resolve_device(device), grid=grid, report=bars.counted)
    if as_json:
        print_json([asdict(one) for one in agreements])
        return
    typer.echo(agreement_table(agreements).render(terminal.width()))


def agreement_table(agreements: Sequence[Agreement]) -> Table:
    """A line per pair of trackers."""
    table = Table(
        ("trackers", "clips", "within 1-16 px", "median %", "visibility", "same at rest", "still called moving")
    )
    rows = table.section("")
    for one in agreements:
        rest = "-" if one.still_called_moving is None else f"{one.still_called_moving:.1%}"
        shares = (f"{one.within:.1%}", f"{one.median_distance:.2f}", f"{one.visibility:.1%}", f"{one.moving:.1%}", rest)
        rows.append((f"{one.first} / {one.second}", str(one.n), *shares))
    return table


@app.command()
def tap(
    path: Annotated[Path, typer.Argument(help="A .pkl or .npz of TAP-Vid, or a folder of them.")],
    tracker: Annotated[
        list[str] | None, typer.Option("--tracker", help="Tracker; repeatable; default: auto, that is `real`.")
    ] = None,
    query_mode: Annotated[
        str, typer.Option("--query-mode", metavar="first|strided", help="Where points are asked for.")
    ] = "first",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most N videos.")] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Measure trackers on TAP-Vid annotations, as published tables do: AJ, delta_avg and OA at 256x256.

    Reads tapvid_davis.pkl, tapvid_rgb_stacking.pkl, the shards of Kinetics, or npz files with points (N, T, 2) in
    [0, 1], occluded (N, T) and video. Nothing in a pickle is run: one that holds more than arrays is refused.

    Example:
    motionbench metrics tap tapvid_davis.pkl --tracker auto --tracker lk
    motionbench metrics tap tapvid_davis.pkl --query-mode strided --json
    """
    from .tapvid.command import measure_files, print_figures

    mode = options.to_choice("--query-mode", query_mode, ("first", "strided"))
    names = list(dict.fromkeys(tracker_for_world(name, None) for name in tracker or [AUTO]))  # real footage
    rows: list[dict[str, Any]] = []
    for name in names:
        with Bars(name) as bars:
            rows.append(measure_files(path, name, mode, resolve_device(device), limit=limit, report=bars.counted))
    if as_json:
        print_json(rows)
    else:
        for one in rows:
            print_figures(one)
