"""What a run ran on: versions, machine, and the state of the checkout. All of it goes into run.json."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import motionbench
from motionbench.device import describe_device

PACKAGES = (
    "torch", "torchvision", "diffusers", "transformers", "peft", "accelerate", "safetensors", "open_clip_torch",
    "numpy", "scipy", "av", "decord", "opencv-python-headless", "ray",
)  # fmt: skip
GIT_SECONDS = 10.0


def environment(device: str) -> dict[str, Any]:
    """Versions of all that can change a number, the machine, the git state, and the number of compute threads."""
    return {
        "versions": {"motionbench": motionbench.__version__, **versions()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": describe_device(device),
        "threads": threads(),
        "git": git_state(Path(motionbench.__file__).parent),
    }


def versions() -> dict[str, str | None]:
    """The installed version of each package that matters; None if it is absent."""
    return {package: _version(package) for package in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def threads() -> int | None:
    """torch's compute threads: float sums, and so the last bits, may depend on them. None while torch is not loaded."""
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that `folder` is tracked in; None if it is installed from elsewhere."""
    # An environment folder may lie inside somebody's repository: only a tracked package is a checkout of it.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = _git(folder, "rev-parse", "HEAD")
    status = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if commit is None else {"commit": commit, "dirty": status != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    quiet = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}  # status must not take the index lock from somebody else
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_SECONDS, check=True, env=quiet)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
