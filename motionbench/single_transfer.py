"""One transfer on a clip of one's own: read, brought to the backbone's shape, fitted, generated, written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motionbench import registry
from motionbench.arguments import to_settings
from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.errors import ConfigError
from motionbench.job import resolve_dtype
from motionbench.method import Runtime
from motionbench.pair import to_shape
from motionbench.plan import RunPlan
from motionbench.progress import Bars
from motionbench.video import Sampled, read_clip, sample_file, write_clip
from motionbench.video_file import check_file

logger = logging.getLogger(__name__)

Say = Callable[[str], object]


@dataclass(frozen=True)
class Transfer:
    """A new clip, and what made it. out, sha256: the file and its hash, None if none was asked for."""

    clip: Clip
    method: str
    config: Any
    seed: int
    out: Path | None
    sha256: str | None


def transfer(
    reference: str | Path,
    prompt: str,
    *,
    caption: str = "",
    method: str = "followyourmotion",
    seed: int = 0,
    out: str | Path | None = None,
    adapter: str | Path | None = None,
    backbone: str = "tiny",
    preset: str | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    device: str = "auto",
    dtype: str = "auto",
    gpu_memory: str = "auto",
    say: Say = logger.info,
) -> Transfer:
    """Transfers the motion of a video file to a prompt.

    caption: what the reference shows. out: the mp4 to write. adapter: a folder to keep what was fitted in. The others
    are those of `RunPlan`. The reference is brought to the backbone's size and number of frames; `say` hears what was
    cropped, resized and sampled. Raises MotionBenchError.

    Examples:
        >>> import motionbench as mb
        >>> case = mb.read_split("mini").cases[0]
        >>> path = mb.read_split("mini").reference_path(case)
        >>> made = mb.transfer(path, "a blue box", method="frozen")
        >>> len(made.clip)
        17
    """
    path, target = Path(reference), None if out is None else Path(out)
    _check_paths(path, target)
    plan = RunPlan(
        method, backbone=backbone, settings=to_settings(settings), device=device, dtype=dtype, gpu_memory=gpu_memory
    )
    method_class = registry.load("methods", method)
    backbone = registry.resolve("backbones", backbone)
    config = build_config(method_class, backbone=backbone, preset=preset, settings=plan.settings)
    with Bars(f"{method_class.name}: {path.name}") as bars:
        runtime = Runtime(backbone, resolve_device(device), resolve_dtype(dtype, backbone), bars.stage, plan.gpu_memory)
        made = method_class.create(config, runtime)
        clip = read_reference(path, getattr(made, "backbone", None), say)
        fitted = made.fit(clip, caption, seed=seed)
        if adapter is not None:
            fitted.save(Path(adapter))
        generated = made.generate(fitted, prompt, seed=seed)
    if len(generated) == len(clip):  # frame for frame: then the motion keeps the reference's tempo, too
        generated = replace(generated, fps=clip.fps)
    digest = None if target is None else write_clip(generated, target)
    return Transfer(generated, method_class.name, config, seed, target, digest)


def read_reference(path: Path, native: Any, say: Say) -> Clip:
    """The user's clip at the native frames, height and width of a backbone; a method without one gets it as it is.

    There, a last row or column that would make a side odd is cut off: an mp4 with half as many color samples a side
    cannot hold it. For a backbone, frames are picked at even times over the whole clip, never blended; it is cropped to
    the center of the native aspect and resized, since stretching would bend the motion. Says what it did.
    Raises VideoError.
    """
    if native is None:
        return to_even(to_steady(read_clip(path, least_frames=2), say), say)
    taken = sample_file(path, native.frames, least_frames=2)
    clip = taken.clip
    shape = (native.height, native.width)
    if (clip.height, clip.width) != shape:
        say(f"resized: {clip.width}x{clip.height} to {native.width}x{native.height} (center crop)")
    say(sampled_line(taken))
    return to_shape(clip, native.frames, *shape)


def sampled_line(taken: Sampled) -> str:
    """How a clip's frames were picked, in a line."""
    clip = taken.clip
    seconds = (len(clip) - 1) / clip.fps  # from the first frame to the last
    line = f"sampled: {len(clip)} frames of {taken.total}, evenly over {seconds:.2f} s ({clip.fps:.2f} fps)"
    return line + (f"; {taken.repeated} of them repeat the one before" if taken.repeated else "")


def to_steady(clip: Clip, say: Say) -> Clip:
    """The clip at a constant rate. Says what was sampled."""
    if clip.times is not None:
        repeated = len(clip) - len(set(clip.indices(len(clip))))
        clip, total = clip.steady(), len(clip)
        say(sampled_line(Sampled(clip, total, repeated)))
    return clip


def to_even(clip: Clip, say: Say) -> Clip:
    """The clip with even sides. Says what was cut."""
    even = clip.even()
    if even is not clip:
        say(f"cut: {clip.width}x{clip.height} to {even.width}x{even.height} (an mp4 has even sides)")
    return even


def _check_paths(reference: Path, out: Path | None) -> None:
    """Faults that would otherwise show after minutes of work."""
    check_file(reference)
    if out is None:
        return
    if out.suffix.lower() != ".mp4":
        raise ConfigError(f"out must end in .mp4, got {out}")
    if out.exists() and out.samefile(reference):
        raise ConfigError(f"out {out} is the reference itself; choose another name")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ConfigError(f"out {out}: expected a file in a folder that exists")
