"""The options that commands share: one spelling, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench.errors import ConfigError

Method = Annotated[str, typer.Option("--method", help="Method or control (`motionbench list methods`).")]
Split = Annotated[str, typer.Option("--split", help="`mini`, `lite`, another split, or a manifest's path.")]
Manifest = Annotated[
    str | None, typer.Option("--split", help="Where the results' split lies, if it was moved: folder or manifest.")
]
Categories = Annotated[list[str] | None, typer.Option("--category", help="Only this category; repeatable.")]
Levels = Annotated[
    list[str] | None,
    typer.Option("--level", metavar="caption|subject|scene", help="Only prompts of this level; repeatable."),
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most N references per category.")]
Seeds = Annotated[list[int], typer.Option("--seed", min=0, help="Seed of the samples; repeatable.")]
Backbone = Annotated[str, typer.Option("--backbone", help="Text-to-video model (`motionbench list backbones`).")]
Tracker = Annotated[
    str,
    typer.Option(
        "--tracker",
        help="Point tracker (`motionbench list trackers`); auto: `tiny` for the embedded world, else `real`.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metrics", help="Metric names with commas between, or `all`; default: the headline ones."),
]
Controls = Annotated[
    str | None,
    typer.Option("--controls", metavar="A,B|none", help="Controls to run along; default: those of the metrics."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting (`motionbench list settings METHOD`); repeatable."),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="Preset of the method; default: the one named like the backbone; `none`: no preset."),
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda[:i]", help="Where to compute.")]
Dtype = Annotated[
    str, typer.Option("--dtype", metavar="auto|float32|bfloat16", help="Number type; auto: the backbone's own.")
]
GpuMemory = Annotated[
    str,
    typer.Option(
        "--gpu-memory", metavar="auto|none|80|60|40|24", help="GPU memory to stay within, GB; auto: by the card."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Results folder; default results/METHOD-SPLIT-HASH.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try failed cases again.")]
Shard = Annotated[str, typer.Option("--shard", metavar="I/N", help="Only part I of N of the cases.")]
Engine = Annotated[str, typer.Option("--engine", metavar="local|ray", help="Who runs the cases.")]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT|auto|local", help="Ray cluster, for --engine ray.")
]
Storage = Annotated[
    str,
    typer.Option("--storage", metavar="sent|shared", help="Ray: clips and results sent, or folders that nodes share."),
]
Retries = Annotated[int, typer.Option("--retries", min=0, help="How often to begin again after a lost worker.")]
RetryOom = Annotated[
    bool, typer.Option("--retry-oom", help="Begin again within the next --gpu-memory preset if memory runs out.")
]
Workers = Annotated[
    str, typer.Option("--workers", metavar="N|auto", help="Processes; auto: one a GPU, on a CPU by cores and threads.")
]
Threads = Annotated[
    int, typer.Option("--threads", min=1, help="CPU threads of one attempt; another number, other last digits.")
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, metavar="SECONDS", help="For one fit or one generation.")
]
Adapters = Annotated[bool, typer.Option("--adapters/--no-adapters", help="Keep the fitted adapters.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


def to_choice(option: str, value: str, choices: tuple[str, ...]) -> Any:
    """The value, if it is one of the choices. Raises ConfigError."""
    if value not in choices:
        raise ConfigError(f"{option} takes one of {', '.join(choices)}, got {value!r}")
    return value
