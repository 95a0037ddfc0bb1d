"""`motionbench transfer`: one transfer on the user's own clip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench import single_transfer
from motionbench.commands import options
from motionbench.commands.output import print_json, say
from motionbench.plan import config_to_json


def transfer(
    reference: Annotated[Path, typer.Option("--reference", help="Video whose motion is followed; any size and rate.")],
    prompt: Annotated[str, typer.Option("--prompt", help="What the new clip shows.")],
    out: Annotated[Path, typer.Option("--out", help="The new clip, an mp4.")],
    caption: Annotated[str, typer.Option("--caption", help="What the reference shows.")] = "",
    method: options.Method = "followyourmotion",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample.")] = 0,
    backbone: options.Backbone = "tiny",
    settings: options.Settings = None,
    preset: options.Preset = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    gpu_memory: options.GpuMemory = "auto",
    adapter: Annotated[
        Path | None, typer.Option("--save-adapter", help="Folder to keep the fitted adapter in.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Transfer the motion of a video of your own to a prompt.

    The reference is brought to the backbone's size and number of frames; what was cropped, resized and sampled is said
    on stderr.

    Example:
    motionbench transfer --reference my.mp4 --caption "a red ball on grass" --prompt "a blue cube on sand" --out out.mp4
    """
    made = single_transfer.transfer(
        reference,
        prompt,
        caption=caption,
        method=method,
        seed=seed,
        out=out,
        adapter=adapter,
        backbone=backbone,
        preset=preset,
        settings=settings or (),
        device=device,
        dtype=dtype,
        gpu_memory=gpu_memory,
        say=say,
    )
    if as_json:
        shape = dict(zip(("frames", "height", "width"), made.clip.frames.shape[:3], strict=True))
        facts: dict[str, Any] = {"out": str(out), "sha256": made.sha256, "fps": made.clip.fps, **shape}
        print_json({**facts, "method": made.method, "config": config_to_json(made.config), "seed": made.seed})
    else:
        typer.echo(out)
