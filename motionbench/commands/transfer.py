"""`motionbench transfer`: one transfer on the user's own clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench import registry
from motionbench.clip import Clip
from motionbench.commands import options
from motionbench.commands.output import print_json
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.method import Setting
from motionbench.offload import CHOICES
from motionbench.pair import to_shape
from motionbench.plan import config_to_json, resolve_dtype
from motionbench.progress import Bars
from motionbench.video import Sampled, check_file, read_clip, sample_file, write_clip


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
    offload: options.Offload = "auto",
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
    _check_paths(reference, out)
    method_class = registry.load("methods", method)
    backbone = registry.resolve("backbones", backbone)
    config = build_config(method_class, backbone=backbone, preset=preset, settings=settings or ())
    with Bars(f"{method_class.name}: {out.name}") as bars:
        number_type = resolve_dtype(dtype, backbone)
        preset_name = options.to_choice("--offload", offload, CHOICES)
        setting = Setting(backbone, resolve_device(device), number_type, bars.stage, preset_name)
        made = method_class.create(config, setting)
        clip = read_reference(reference, getattr(made, "backbone", None))
        fitted = made.fit(clip, caption, seed=seed)
        if adapter is not None:
            fitted.save(adapter)
        generated = made.generate(fitted, prompt, seed=seed)
        if len(generated) == len(clip):  # frame for frame: then the motion keeps the reference's tempo, too
            generated = replace(generated, fps=clip.fps)
        digest = write_clip(generated, out)
    if as_json:
        shape = dict(zip(("frames", "height", "width"), generated.frames.shape[:3], strict=True))
        facts: dict[str, Any] = {"out": str(out), "sha256": digest, "fps": generated.fps, **shape}
        print_json({**facts, "method": method_class.name, "config": config_to_json(config), "seed": seed})
    else:
        typer.echo(out)


def read_reference(path: Path, native: Any) -> Clip:
    """The user's clip at the native frames, height and width of a backbone; a method without one gets it as it is.

    There, a last row or column that would make a side odd is cut off: an mp4 with half as many color samples a side
    cannot hold it. For a backbone, frames are picked at even times over the whole clip, never blended; it is cropped to
    the center of the native aspect and resized, since stretching would bend the motion. Says on stderr what it did.
    Raises VideoError.
    """
    if native is None:
        return to_even(to_steady(read_clip(path, least_frames=2)))
    taken = sample_file(path, native.frames, least_frames=2)
    clip = taken.clip
    shape = (native.height, native.width)
    if (clip.height, clip.width) != shape:
        typer.echo(f"resized: {clip.width}x{clip.height} to {native.width}x{native.height} (center crop)", err=True)
    typer.echo(say_sampled(taken), err=True)
    return to_shape(clip, native.frames, *shape)


def say_sampled(taken: Sampled) -> str:
    """How a clip's frames were picked, in a line."""
    clip = taken.clip
    seconds = (len(clip) - 1) / clip.fps  # from the first frame to the last
    line = f"sampled: {len(clip)} frames of {taken.total}, evenly over {seconds:.2f} s ({clip.fps:.2f} fps)"
    return line + (f"; {taken.repeated} of them repeat the one before" if taken.repeated else "")


def to_steady(clip: Clip) -> Clip:
    """The clip at a constant rate. Says on stderr what was sampled."""
    if clip.times is not None:
        repeated = len(clip) - len(set(clip.indices(len(clip))))
        clip, total = clip.steady(), len(clip)
        typer.echo(say_sampled(Sampled(clip, total, repeated)), err=True)
    return clip


def to_even(clip: Clip) -> Clip:
    """The clip with even sides. Says on stderr what was cut."""
    even = clip.even()
    if even is not clip:
        typer.echo(f"cut: {clip.width}x{clip.height} to {even.width}x{even.height} (an mp4 has even sides)", err=True)
    return even


def _check_paths(reference: Path, out: Path) -> None:
    """Faults that would otherwise show after minutes of work."""
    check_file(reference)
    if out.suffix.lower() != ".mp4":
        raise ConfigError(f"--out must end in .mp4, got {out}")
    if out.exists() and out.samefile(reference):
        raise ConfigError(f"--out {out} is the reference itself; choose another name")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: expected a file in a folder that exists")
