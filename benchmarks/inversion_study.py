"""How Gaussian are inverted latents, and do they lead back to the clip? Every way of inverting, on tuning references.

    motionbench data build tuning --out DIR
    python benchmarks/inversion_study.py DIR --out inversion.jsonl --cases single_object/9001 --cases camera/9001

One line a reference and variant: deviation, correlation of consecutive frames and of neighboring cells, excess kurtosis
(noise: 1, 0, 0, 0), and how well the model's own Euler sampler (same prompt, guidance 1, `--steps`) leads back: PSNR of
the decoded frames against the decoded reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from motionbench.methods.backbones.flow import euler, gaussian, noised, sampling_times
from torch import Tensor

from motionbench.backbone import make_backbone
from motionbench.files import append_line, canonical_json
from motionbench.method import Runtime
from motionbench.split import read_split

Velocity = Callable[[Tensor, Tensor], Tensor]


def backwards(steps: int, shift: float, lowest: float) -> Tensor:
    """Rising times of an inversion: the sampler's own above `lowest`, and `lowest` first."""
    times = sampling_times(steps, shift).flip(0)
    return torch.cat([torch.tensor([lowest]), times[times > lowest + 1e-6]])


def midpoint(velocity: Velocity, x: Tensor, times: Tensor) -> Tensor:
    """Second-order steps: two evaluations each."""
    for a, b in pairwise(times):
        half = x + (b - a) / 2 * velocity(x, a.view(1))
        x = x + (b - a) * velocity(half, ((a + b) / 2).view(1))
    return x


def fixed_point(velocity: Velocity, x: Tensor, times: Tensor, iterations: int = 3) -> Tensor:
    """The inverse of Euler sampling itself: x_b = x_a + (b - a) v(x_b, b), by iteration."""
    for a, b in pairwise(times):
        guess = x
        for _ in range(iterations):
            guess = x + (b - a) * velocity(guess, b.view(1))
        x = guess
    return x


SOLVERS = {
    "euler": euler,
    "midpoint": midpoint,
    "fixed_point": fixed_point,
    "fixed_point_2": partial(fixed_point, iterations=2),
}
# name: (solver, steps, lowest time, prompt)
VARIANTS = {
    "euler_20": ("euler", 20, 0.0, ""),
    "euler_20_caption": ("euler", 20, 0.0, "caption"),
    "euler_50": ("euler", 50, 0.0, ""),
    "euler_100": ("euler", 100, 0.0, ""),
    "euler_300": ("euler", 300, 0.0, ""),
    "midpoint_20": ("midpoint", 20, 0.0, ""),
    "fixed_point_20": ("fixed_point", 20, 0.0, ""),
    "noised_0.02_20": ("euler", 20, 0.02, ""),
    "noised_0.05_20": ("euler", 20, 0.05, ""),
    "noised_0.1_20": ("euler", 20, 0.1, ""),
    "noised_0.1_20_caption": ("euler", 20, 0.1, "caption"),
    "noised_0.2_20": ("euler", 20, 0.2, ""),
    "noised_0.2_50": ("euler", 50, 0.2, ""),
    "noised_0.3_20": ("euler", 20, 0.3, ""),
    "noised_0.5_20": ("euler", 20, 0.5, ""),
    "fixed_2_noised_0.05_20": ("fixed_point_2", 20, 0.05, ""),
    "fixed_2_noised_0.1_20": ("fixed_point_2", 20, 0.1, ""),
    "fixed_3_noised_0.1_20": ("fixed_point", 20, 0.1, ""),
    "midpoint_noised_0.1_20": ("midpoint", 20, 0.1, ""),
}


def statistics(x: Tensor) -> dict[str, float]:
    """What of latents (1, C, F, h, w) is not as noise is."""
    c = (x - x.mean((2, 3, 4), keepdim=True)) / x.std((2, 3, 4), keepdim=True)
    return {
        "deviation": x.std().item(),
        "channel_deviation_min": x.std((2, 3, 4)).min().item(),
        "channel_deviation_max": x.std((2, 3, 4)).max().item(),
        "frame_correlation": (c[:, :, 1:] * c[:, :, :-1]).mean().item(),
        "cell_correlation": (c[..., 1:] * c[..., :-1]).mean().item(),
        "kurtosis": (c**4).mean().item() - 3,
    }


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio of 8-bit frames, dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))


def main(
    split: Annotated[Path, typer.Argument()],
    out: Annotated[Path, typer.Option()],
    cases: Annotated[list[str], typer.Option()],
    steps: Annotated[int, typer.Option(help="Of the sampling that leads back.")] = 20,
    variants: Annotated[str, typer.Option(help="Names with commas; all by default.")] = ",".join(VARIANTS),
    backbone_name: Annotated[str, typer.Option("--backbone")] = "tiny",
) -> None:
    """Invert and sample back, untuned model."""
    held = read_split(str(split))
    backbone = make_backbone(Runtime(backbone_name))
    for case in held.cases:
        if case.reference_id not in cases:
            continue
        clip = backbone.prepare(held.read_reference(case))
        latents = backbone.encode(clip)
        shown = backbone.decode(latents).frames
        for name in variants.split(","):
            solver, count, lowest, prompt = VARIANTS[name]
            text = backbone.encode_text([case.caption if prompt else ""])
            start = noised(latents, gaussian(tuple(latents.shape), 0, backbone.device), torch.tensor([lowest]))
            begin = time.perf_counter()
            with torch.no_grad():
                velocity = lambda x, t, text=text: backbone.velocity(x, t, text)  # noqa: E731
                found = SOLVERS[solver](velocity, start, backwards(count, backbone.shift, lowest))
            seconds = time.perf_counter() - begin
            back = backbone.sample(text, seed=0, steps=steps, guidance=1.0, start=found)
            line = {"case": case.id, "variant": name, "seconds": round(seconds, 1)} | statistics(found)
            line["psnr"] = psnr(backbone.decode(back).frames, shown)
            append_line(out, canonical_json(line))
            typer.echo(line)


if __name__ == "__main__":
    typer.run(main)
