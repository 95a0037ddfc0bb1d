"""`motionbench heads`: which attention heads of a backbone look within frames, and which along time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motionbench import registry
from motionbench.commands import options
from motionbench.commands.output import print_json, say
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.gpu_memory import CHOICES
from motionbench.job import resolve_dtype
from motionbench.method import Runtime
from motionbench.progress import Bars
from motionbench.single_transfer import read_reference

if TYPE_CHECKING:
    from .heads import HeadScores

ALPHAS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)  # at which the share of temporal heads is told


def heads(
    reference: Annotated[list[Path], typer.Option("--reference", help="Video to look at; repeatable, then averaged.")],
    caption: Annotated[
        list[str] | None, typer.Option("--caption", help="What a reference shows; one for each, or none.")
    ] = None,
    backbone: options.Backbone = "tiny",
    settings: options.Settings = None,
    preset: options.Preset = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the noise.")] = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    gpu_memory: options.GpuMemory = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Picture of the map, .png or .html.")] = None,
    as_json: options.Json = False,
) -> None:
    """Classify attention heads as spatial or temporal, and draw the map.

    Settings are those of followyourmotion: head_rule, head_alpha, head_ratio, head_times, head_draws.

    Example:
    motionbench heads --reference my.mp4 --caption "a red ball moving right" --set head_draws=4 --out heads.png
    """
    captions = caption or [""] * len(reference)
    if len(captions) != len(reference):
        raise ConfigError(f"{len(reference)} --reference but {len(captions)} --caption; give one for each, or none")
    if out is not None and out.suffix not in (".png", ".html"):
        raise ConfigError(f"--out must end in .png or .html, got {out}")
    method_class = registry.load("methods", "followyourmotion")
    backbone = registry.resolve("backbones", backbone)
    config = build_config(method_class, backbone=backbone, preset=preset, settings=settings or ())
    with Bars(f"heads of {backbone}") as bars:
        number_type = resolve_dtype(dtype, backbone)
        preset_name = options.to_choice("--gpu-memory", gpu_memory, CHOICES)
        runtime = Runtime(backbone, resolve_device(device), number_type, bars.stage, preset_name)
        made = method_class.create(config, runtime)
        clips = [made.backbone.prepare(read_reference(path, made.backbone, say)) for path in reference]
        scores = made.score_heads(list(zip(clips, captions, strict=True)), seed=seed)
    answer = scores_to_answer(scores, config) | {"backbone": backbone, "references": [str(p) for p in reference]}
    if out is not None:
        _draw(out, scores, config, backbone)
    if as_json:
        print_json(answer | {"seed": seed, "out": None if out is None else str(out)})
    else:
        _print_map(answer)


def scores_to_answer(scores: HeadScores, config: Any) -> dict[str, Any]:
    """All that is known of the heads, as JSON values: rule, scores and kind of each, and how alpha parts them."""
    temporal = scores.is_temporal(config.head_rule, alpha=config.head_alpha, ratio=config.head_ratio)
    return {
        "rule": config.head_rule,
        "alpha": config.head_alpha,
        "ratio": config.head_ratio,
        "times": list(config.head_times),
        "draws": config.head_draws,
        "temporal": temporal.tolist(),
        "temporal_share": float(temporal.mean()),
        "temporal_share_by_alpha": {str(a): float(scores.is_temporal("paper", alpha=a).mean()) for a in ALPHAS},
        "scores": scores.to_json(),
    }


def _draw(out: Path, scores: HeadScores, config: Any, backbone: str) -> None:
    from .picture import head_ratio, write_heads

    temporal = scores.is_temporal(config.head_rule, alpha=config.head_alpha, ratio=config.head_ratio)
    if config.head_rule != "released":
        ratio = head_ratio(scores.spatial, scores.temporal, config.head_alpha)
    else:
        ratio = -head_ratio(scores.mass_temporal, scores.mass_spatial, config.head_ratio)
    write_heads(out, ratio, temporal, f"{backbone}: spatial (S) and temporal (T) heads, rule {config.head_rule}")


def _print_map(answer: dict[str, Any]) -> None:
    for layer, row in enumerate(answer["temporal"]):
        typer.echo(f"layer {layer:2d}  " + " ".join("T" if temporal else "S" for temporal in row))
    typer.echo(f"{answer['temporal_share']:.0%} temporal by rule {answer['rule']}")
