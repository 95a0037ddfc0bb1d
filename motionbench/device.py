"""Devices by name, and how much memory an attempt took there. torch is imported only where it is needed."""

from __future__ import annotations

import platform
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

from motionbench.errors import ConfigError

DTYPES = ("float32", "bfloat16")


def resolve_device(name: str, *, needs_torch: bool = True) -> str:
    """`cpu` or `cuda[:i]` for `auto`, `cpu` or `cuda[:i]`: `auto` is the first GPU if there is one.

    A GPU that is named by number becomes torch's current one: kernels that torch does not launch itself go there.
    needs_torch: False for work on pixels, for which `auto` is `cpu` and torch stays unloaded.
    Raises ConfigError if the name is another one, or the GPU is not there.
    """
    name = name.strip().lower()
    if name == "cpu" or (name == "auto" and not needs_torch):
        return "cpu"
    if name != "auto" and not re.fullmatch(r"cuda(:\d+)?", name):
        raise ConfigError(f"unknown device {name!r}; it is auto, cpu, cuda or cuda:0, cuda:1, ...")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise ConfigError(f"device {name!r} is not here: torch sees {count} GPUs; use --device auto")
    if ":" in name:
        torch.cuda.set_device(index)
    return name


def check_dtype(name: str) -> str:
    """The number type, if it is one that methods take. Raises ConfigError."""
    if name not in DTYPES:
        raise ConfigError(f"unknown dtype {name!r}; it is one of {', '.join(DTYPES)}")
    return name


def describe_device(device: str) -> str:
    """A device in words for run.json, such as `NVIDIA H200` or `x86_64, 2 cores`."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    return f"{processor_name()}, {core_count()} cores"


def processor_name() -> str:
    """The processor's model, or its architecture where the system does not say."""
    try:
        models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        models = []
    return str(models[0]) if models else platform.machine()


def core_count() -> int:
    """Cores that this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PeakMemory:
    """Highest memory use since `start`: what torch allocated on a GPU, resident memory of the process on the CPU."""

    def __init__(self, device: str) -> None:
        self.device = device

    def start(self) -> None:
        """Begins a new measurement."""
        if self._on_gpu():
            sys.modules["torch"].cuda.reset_peak_memory_stats(self.device)
            return
        with suppress(OSError):  # Linux: sets the high-water mark to what is in use now
            Path("/proc/self/clear_refs").write_text("5")

    def read(self) -> int:
        """Bytes."""
        if self._on_gpu():
            return int(sys.modules["torch"].cuda.max_memory_allocated(self.device))
        try:
            line = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        except OSError:
            line = None
        if line:
            return int(line[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of the whole process, not since `start`
        return peak if sys.platform == "darwin" else peak * 1024

    def _on_gpu(self) -> bool:
        return self.device.startswith("cuda") and "torch" in sys.modules


def device_memory(device: str) -> int | None:
    """Bytes that a GPU has in all; None for the CPU, whose memory other programs share."""
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.get_device_properties(device).total_memory)


def free_memory() -> None:
    """Gives back what a failed attempt held, so that the next one has room."""
    import gc

    gc.collect()
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        sys.modules["torch"].cuda.empty_cache()
