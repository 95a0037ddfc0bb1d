"""What `motionbench metrics tap` does: every video of the files by one tracker, and the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from motionbench import registry
from motionbench.tracks import Tracker

from .measuring import QueryMode, mean_over_videos, measure_video
from .reading import read_videos, tap_files

COLUMNS = {
    "average_jaccard": "AJ", "delta_avg": "d_avg", "occlusion_accuracy": "OA",
    "within_1": "<1px", "within_2": "<2", "within_4": "<4", "within_8": "<8", "within_16": "<16",
}  # fmt: skip


def measure_files(
    path: Path,
    name: str,
    mode: QueryMode,
    device: str,
    *,
    limit: int | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The figures of tracker `name` per video and on average, as JSON. One file is in memory at a time.

    Raises ShapeError for files that are none of TAP-Vid's, and what the tracker raises.
    """
    files = tap_files(path)
    tracker: Tracker = registry.load("trackers", name).create(device)
    rows: dict[str, dict[str, float | None]] = {}
    for number, file in enumerate(files):
        report(number, len(files))
        room = None if limit is None else limit - len(rows)
        for video in islice(read_videos(file), room):
            rows[video.name if video.name not in rows else f"{file.stem}/{video.name}"] = measure_video(
                tracker, video, mode
            )
    report(len(files), len(files))
    return {
        "tracker": name,
        "tracker_version": tracker.version,
        "query_mode": mode,
        "resolution": [256, 256],
        "mean": {figure: asdict(mean) for figure, mean in mean_over_videos(rows).items()},
        "videos": rows,
    }


def print_figures(rows: dict[str, Any]) -> None:
    """One line a video and the mean, in percent as in published tables; `-` where there is nothing to measure."""
    width = max([20, *(len(name) for name in rows["videos"])])
    typer.echo(f"{rows['tracker']} v{rows['tracker_version']}, queries {rows['query_mode']}, 256x256, percent")
    typer.echo("".join([f"{'video':{width}s}", *(f"{title:>7s}" for title in COLUMNS.values())]))
    for name, row in rows["videos"].items():
        typer.echo(f"{name:{width}s}" + "".join(f"{_percent(row[key]):>7s}" for key in COLUMNS))
    means = rows["mean"]
    title = f"mean of {len(rows['videos'])}"
    typer.echo(f"{title:{width}s}" + "".join(f"{_percent(means[key]['mean']):>7s}" for key in COLUMNS))
    for key in list(COLUMNS)[:3]:
        mean = means[key]
        low, high = (_percent(mean[end]) for end in ("low", "high"))
        typer.echo(
            f"{COLUMNS[key]:5s} {_percent(mean['mean'])} [{low}, {high}], n {mean['n']}, {mean['n_missing']} without"
        )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
