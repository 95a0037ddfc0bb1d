"""Which block to read: how much less a method's loss is on a clip than on the clip played backwards, block by block.

    python -m training.block_probe ditflow --split DIR --times 0.9,0.8,0.6

For methods that guide by one block's attention or features. Of each reference, noised to a time with other noise than
the method's own and with an empty prompt, the loss against the reference itself is divided by that of the reversed
clip: near 1 the block says nothing of the direction of motion, near 0 much. No clip is sampled, so this takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from statistics import fmean
from typing import Annotated, Any

import torch
import typer
from motionbench.methods.backbones.backbone import Backbone
from motionbench.methods.backbones.flow import gaussian, noised
from motionbench.methods.guidance.method import GuidanceMethod
from motionbench.methods.guidance.sampling import Step
from torch import Tensor

from motionbench import registry
from motionbench.backbone import make_backbone
from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.method import Runtime
from motionbench.split import read_split

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)


def direction_ratio(method: GuidanceMethod, clip: Clip, t: float, seed: int = 0) -> float:
    """A method's loss at time t on its reference over that on the reversed one; below 1 it knows the direction.

    Both are noised alike, by the same noise, and read with an empty prompt.
    """
    backbone = method.backbone
    latents = backbone.encode(backbone.prepare(clip))
    adapter = method.fit(clip, "", seed=seed)
    noise = gaussian(tuple(latents.shape), seed + 1, latents.device)
    step = Step(0, 1, torch.full((1,), t, device=latents.device), torch.zeros(1, device=latents.device))

    def loss(x: Tensor) -> float:
        x = noised(x, noise, step.t)
        guide = method.guide(adapter, backbone.encode_text([""]), x, seed=seed)
        return float(guide.loss_at(x, step)(x))

    with torch.no_grad():
        return loss(latents) / max(loss(latents.flip(2)), 1e-12)


def with_block(config: Any, block: int) -> Any:
    """The configuration with another block to read. Raises ConfigError if it has no field for one."""
    names = {field.name for field in fields(config)}
    if "block" in names:
        return replace(config, block=block)
    if "blocks" in names:
        return replace(config, blocks=(block,))
    raise ConfigError(f"the method reads no block: its settings are {', '.join(sorted(names))}")


def probe(
    cls: Any, config: Any, runtime: Runtime, backbone: Backbone, clips: Sequence[Clip], times: Sequence[float]
) -> list[list[float]]:
    """Mean `direction_ratio` over clips: a row for each block, a column for each time."""
    rows = []
    for block in range(len(backbone.transformer.blocks)):
        method = cls(with_block(config, block), runtime, backbone)
        rows.append([fmean(direction_ratio(method, clip, t) for clip in clips) for t in times])
    return rows


@app.command()
def run(
    method: Annotated[str, typer.Argument(help="A method that guides by one block.")],
    split: Annotated[str, typer.Option("--split", help="Folder or manifest of references.")],
    times: Annotated[str, typer.Option("--times", help="Times of the noise, in (0, 1), with commas.")] = "0.9,0.8,0.6",
    limit: Annotated[int, typer.Option("--limit", help="At most so many references.")] = 8,
    backbone: Annotated[str, typer.Option("--backbone")] = "tiny",
    device: Annotated[str, typer.Option("--device")] = "auto",
) -> None:
    """Print a row for each block: its number and the mean ratio at each time."""
    cls = registry.load("methods", method)
    runtime = Runtime(backbone, resolve_device(device))
    held, columns = read_split(split), [float(t) for t in times.split(",")]
    cases = list({case.reference_id: case for case in held.cases}.values())[:limit]
    clips = [held.read_reference(case) for case in cases]
    made = make_backbone(runtime)
    for block, row in enumerate(probe(cls, build_config(cls, backbone=backbone), runtime, made, clips, columns)):
        typer.echo(f"{block:3d} " + " ".join(f"{ratio:6.3f}" for ratio in row))


if __name__ == "__main__":
    app()
