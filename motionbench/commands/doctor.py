"""`motionbench doctor`: what works on this machine, and how to get what does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from motionbench import registry
from motionbench.backbone import BackboneEntry, make_backbone
from motionbench.commands import options
from motionbench.commands.options import to_choice
from motionbench.commands.output import print_json, print_pairs
from motionbench.disk_cache import cache_folder
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.files import store_error
from motionbench.method import Runtime
from motionbench.metric import MetricRuntime
from motionbench.progress import Bars

PACKAGES = (
    "motionbench-transfer",
    "torch",
    "torchvision",
    "diffusers",
    "transformers",
    "peft",
    "open_clip_torch",
    "torchmetrics",
    "datasets",
    "huggingface_hub",
    "numpy",
    "scipy",
    "av",
    "decord",
    "opencv-python-headless",
    "typer",
    "plotly",
    "ray",
)
OPTIONAL = {"ray": "pip install 'motionbench-transfer[ray]'", "decord": "PyAV reads instead"}
LEAST_FREE_BYTES = 2 << 30


def doctor(
    as_json: options.Json = False,
    random: Annotated[
        tuple[str, Path] | None,
        typer.Option("--make-random", metavar="NAME DIR", help="Write random weights of a backbone to DIR/NAME."),
    ] = None,
    scale: Annotated[
        str, typer.Option("--scale", metavar="full|timing|small", help="Of --make-random: how much of it is real size.")
    ] = "full",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of --make-random.")] = 0,
) -> None:
    """Tell what works here: versions, devices, weights present or not and how to get them, video readers, disk space.

    Exit code 1 if something that the main job needs is missing.
    With --make-random it writes a folder of random weights instead: speed and memory do not depend on the weights.

    Example:
    motionbench doctor --json
    motionbench doctor --make-random wan2.1-1.3b weights --scale timing
    """
    if random is not None:
        make_random(*random, scale=scale, seed=seed)
        return
    sections: dict[str, Callable[[], dict[str, str]]] = {
        "system": system,
        "packages": packages,
        "devices": devices,
        "video": video,
        "methods": methods,
        "metrics": metrics,
        "backbones": backbones,
        "trackers": trackers,
        "disk": disk,
    }
    report = {}
    with Bars("looking around") as bars:
        for done, (title, section) in enumerate(sections.items()):
            bars.counted(done, len(sections))
            report[title] = section()
    if as_json:
        print_json(report)
    else:
        for title, lines in report.items():
            typer.echo(f"{title}:")
            print_pairs({f"  {name}": line for name, line in lines.items()})
    faults = [f"{title} {name}" for title, lines in report.items() for name, line in lines.items() if _is_fault(line)]
    for fault in faults:
        typer.echo(f"needs attention: {fault}", err=True)
    raise typer.Exit(1 if faults else 0)


def make_random(name: str, root: Path, *, scale: str, seed: int) -> None:
    """Writes a backbone's random weights to root/NAME and says how a run finds them. Raises MotionBenchError."""
    name = registry.resolve("backbones", name)
    write = registry.load("backbones", name).make_random
    if write is None:
        raise ConfigError(f"backbone {name} has no random weights to make: its own come with the package")
    to_choice("--scale", scale, ("full", "timing", "small"))
    folder = root / name
    if folder.exists() and any(folder.iterdir()) and not (folder / "random.json").exists():
        raise ConfigError(f"{folder} holds something that --make-random did not write; give another DIR")
    try:
        write(folder, scale=scale, seed=seed)
    except OSError as error:
        raise store_error("write random weights to", folder, error) from error
    typer.echo(folder)
    typer.echo(f"runs find it with MOTIONBENCH_WEIGHTS={root.resolve()}", err=True)


def system() -> dict[str, str]:
    """Python, system and cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "cores": str(cores),
        "hub": "offline (HF_HUB_OFFLINE)" if os.environ.get("HF_HUB_OFFLINE") else "online allowed",
    }


def packages() -> dict[str, str]:
    """Installed versions; what is missing is said with what to do about it."""
    lines = {}
    for name in PACKAGES:
        try:
            lines[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            optional = OPTIONAL.get(name)
            lines[name] = f"not installed (optional: {optional})" if optional else "missing: pip install -e ."
    return lines


def devices() -> dict[str, str]:
    """What torch can compute on."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library of a broken build
        return {"torch": f"broken: {error}"}
    lines = {"cpu": f"{torch.get_num_threads()} threads"}
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        lines[f"cuda:{index}"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    if len(lines) == 1:
        lines["cuda"] = "none; everything on the embedded backbone runs on the CPU"
    return lines


def video() -> dict[str, str]:
    """Whether a clip survives being written and read back, by the very code that runs read."""
    import tempfile

    import numpy as np

    from motionbench.clip import Clip
    from motionbench.video import read_clip, write_clip

    lines = {"ffmpeg": shutil.which("ffmpeg") or "not on the PATH (not needed: PyAV brings its own libraries)"}
    frames = np.zeros((5, 64, 64, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        try:
            write_clip(Clip(frames, 8.0), path)
            read = read_clip(path, expected_frames=len(frames))
        except (MotionBenchError, ImportError, OSError) as error:
            return {**lines, "round trip": f"broken: {error}"}
    return {**lines, "round trip": f"ok, {len(read)} frames of {read.width}x{read.height} written and read back"}


def methods() -> dict[str, str]:
    """Whether each method can be loaded; whether it can run is a matter of its backbone."""
    return _try_each("methods", lambda name, plugin: plugin)


def metrics() -> dict[str, str]:
    """Whether each metric can be made for real footage, or else for a world's; the error says how to get weights."""

    def make(runtime: MetricRuntime) -> Callable[[str, Any], object]:
        return lambda name, plugin: plugin.create(runtime)

    lines = _try_each("metrics", make(MetricRuntime()))
    lacking = [name for name, line in lines.items() if line != "ok"]
    for world in registry.names("worlds") if lacking else ():
        states = _try_each("metrics", make(MetricRuntime(world=world)), lacking)
        lines |= {n: f"ok for the world {world}; other footage: {lines[n]}" for n in lacking if states[n] == "ok"}
    return lines


def backbones() -> dict[str, str]:
    """Whether each backbone's weights are there; the error says how to get them."""

    def look(name: str, entry: BackboneEntry) -> object:
        return make_backbone(Runtime(backbone=name)) if entry.check is None else entry.check()

    return _try_each("backbones", look)


def trackers() -> dict[str, str]:
    """Whether each tracker can be made; the error says how to get its weights."""
    return _try_each("trackers", lambda name, plugin: plugin.create("cpu"))


def disk() -> dict[str, str]:
    """Free space where results and caches go."""
    lines = {}
    for name, path in {"here": Path.cwd(), "cache": cache_folder()}.items():
        there = next(folder for folder in [path, *path.parents] if folder.exists())
        free = shutil.disk_usage(there).free
        scarce = "" if free >= LEAST_FREE_BYTES else "scarce: "
        lines[name] = f"{scarce}{free / 2**30:.1f} GiB free at {path}"
    return lines


def _try_each(
    group: registry.Group, make: Callable[[str, Any], object], names: Sequence[str] | None = None
) -> dict[str, str]:
    lines = {}
    for name in registry.names(group) if names is None else names:
        try:
            make(name, registry.load(group, name))
            lines[name] = "ok"
        except (MotionBenchError, OSError) as error:
            lines[name] = f"missing: {error}"
    return lines


def _is_fault(line: str) -> bool:
    return line.startswith(("missing", "broken", "scarce"))
