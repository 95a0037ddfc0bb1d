"""A small method for the runner's tests: its clips depend on all that they should, and its failures are on order.

Run as a script it is a command for the tests that kill it: `drift_method.py SPLIT RESULTS SECONDS I/N [word …]`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
from footage import moving_frames

from motionbench import registry
from motionbench.backbone import BackboneEntry
from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, NotFiniteError, VideoError
from motionbench.manifest import write_manifest
from motionbench.method import InputContract, Runtime


class OutOfMemoryError(RuntimeError):
    """Named as torch.cuda's."""


ERRORS: dict[str, BaseException] = {
    "oom": MemoryError("no room"),
    "gpu": OutOfMemoryError("CUDA out of memory"),
    "cublas": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
    "nan": NotFiniteError("loss is nan at step 3"),
    "float": FloatingPointError("divide by zero"),
    "weights": MissingWeightsError("no head.safetensors"),
    "bug": IndexError("list index out of range"),
    "unread": VideoError("expected a video, found none"),
    "interrupt": KeyboardInterrupt(),
}


def misbehave(text: str) -> None:
    for word in text.split():
        if word in ERRORS:
            raise ERRORS[word]
        if word == "hang":
            time.sleep(30)
        if word == "die" and first_time():
            os.kill(os.getpid(), signal.SIGKILL)


def first_time() -> bool:
    """Always; only once where $DRIFT_DIED names the file that tells."""
    if "DRIFT_DIED" not in os.environ:
        return True
    try:
        Path(os.environ["DRIFT_DIED"]).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@dataclass(frozen=True)
class DriftConfig:
    """seconds: how long each stage takes. speed: pixels a frame. broken: `create` or `save` raises."""

    speed: int = 2
    broken: str = ""


@dataclass(frozen=True)
class DriftAdapter:
    """(H, W, 3) float64, saved as float32 on purpose: a resumed run must not see other numbers than a fresh one."""

    picture: Any
    broken: str = ""

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        np.save(folder / "picture.npy", self.picture.astype(np.float32))
        if self.broken == "save":
            raise OSError(28, "No space left on device")


class Drift:
    """A picture learned from the reference that drifts."""

    name: ClassVar[str] = "drift"
    contract = InputContract(trains=True, start_latent="none", sees_reference=False)
    Config = DriftConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    seconds: ClassVar[float] = 0.0
    fits: ClassVar[list[str]] = []  # captions, in order
    generated: ClassVar[list[str]] = []  # prompts, in order

    def __init__(self, config: DriftConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime

    @classmethod
    def create(cls, config: DriftConfig, runtime: Runtime) -> Self:
        misbehave(config.broken)
        return cls(config, runtime)

    def fit(self, reference: Clip, caption: str, *, seed: int) -> DriftAdapter:
        self.fits.append(caption)
        misbehave(caption)
        for step in range(4):
            time.sleep(self.seconds / 4)
            self.runtime.report("fit", step + 1, 4)
        noise = np.random.default_rng(seed).normal(0, 20, reference.frames.shape[1:])
        return DriftAdapter(reference.frames[0] + noise, self.config.broken)

    def generate(self, adapter: DriftAdapter, prompt: str, *, seed: int) -> Clip:
        self.generated.append(prompt)
        misbehave(prompt)
        time.sleep(self.seconds)
        noise = np.random.default_rng(seed).normal(0, 5, adapter.picture.shape)
        # Tenths of a gray level count: the float32 of the saved picture shows in some pixel.
        picture = np.clip(adapter.picture * 1e6 % 256 + noise, 0, 255).astype(np.uint8)
        frames = np.stack([np.roll(picture, t * self.config.speed, 1) for t in range(5)])
        if "odd" in prompt:
            frames = frames[:, 1:]
        return "no clip" if "nothing" in prompt else Clip(frames, 8.0)  # type: ignore[return-value]

    def load_adapter(self, folder: Path) -> DriftAdapter:
        return DriftAdapter(np.load(folder / "picture.npy"))


def install(patch: pytest.MonkeyPatch, seconds: float = 0.0) -> type[Drift]:
    """Makes the registry know `drift` and a backbone `tiny` without weights; forgets earlier calls."""
    load = registry.load
    fakes = {("methods", "drift"): Drift, ("backbones", "tiny"): BackboneEntry("", None, lambda: "w1")}
    patch.setattr(registry, "load", lambda group, name: fakes.get((group, name)) or load(group, name))
    patch.setattr(Drift, "fits", [])
    patch.setattr(Drift, "generated", [])
    patch.setattr(Drift, "seconds", seconds)
    return Drift


def make_split(
    folder: Path, prompts: tuple[str, ...] = ("a cat", "a dog"), captions: tuple[str, ...] = ("one", "two")
) -> Path:
    """A split of one reference for each caption, the categories in turn, with all prompts each; returns its folder."""
    cases = []
    for index, caption in enumerate(captions):
        category = list(Category)[index % 4]
        reference = f"clips/{index}.mp4"
        digest = Clip(moving_frames(5, 32, 48, seed=index), 8.0).write(folder / reference)
        for number, prompt in enumerate(prompts):
            cases.append(
                Case(
                    id=f"{category}/{index:04d}/{number}",
                    category=category,
                    reference=reference,
                    sha256=digest,
                    caption=caption,
                    prompt=prompt,
                    level=Level.SUBJECT,
                    license="CC0-1.0",
                    source="test",
                )
            )
    write_manifest(folder / "manifest.jsonl", cases)
    return folder


if __name__ == "__main__":
    from motionbench.runner import RunPlan, run
    from motionbench.store import ResultStore

    split, results, seconds, shard = sys.argv[1:]
    with pytest.MonkeyPatch.context() as patching:
        install(patching, float(seconds))
        run(RunPlan("drift", split=split, seeds=(0, 1), device="cpu", shard=shard), ResultStore(results))
