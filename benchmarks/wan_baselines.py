"""What each baseline costs on Wan, plain and by the backbone's quick paths: seconds of a step of every stage.

A method runs its own code on a short schedule, and the last steps of each stage are timed; a preset's fit and clip are
what its own numbers of steps come to. Encoding and decoding, the same for all, are left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.attention as attention
from motionbench.methods.backbones.execution import Execution
from wan_measure import Bench, RandomBackbone, synchronize

from motionbench import registry
from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.method import Runtime

# Steps of a short schedule: those of a stage that is replayed (of which the first ones compile, and are recorded), of
# one that is not, of inversion, of sampling, and of guided sampling, whose first plain step may compile.
REPLAYED, LAUNCHED, INVERTED, SAMPLED, GUIDED = 5, 2, 2, 2, 2
GUIDED_AND_PLAIN = {"optimized": GUIDED + 2, "plain": GUIDED + 1}
STAGES: dict[str, tuple[str, ...]] = {
    "vmc": ("steps",),
    "motioninversion": ("steps",),
    "det": ("steps",),
    "twostagelora": ("spatial_steps", "temporal_steps"),
    "motiondirector": ("steps",),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "vmc": {"inversion_steps": INVERTED},
    "ditflow": {"iterations": 1},
    "motioninversion": {"inversion_steps": INVERTED},
    "flowmotion": {"iterations": 1},
    "det": {},
    "twostagelora": {},
    "moft": {"iterations": 1},
    "motiondirector": {"inversion_steps": INVERTED, "spatial_share": 1.0},
    "motionclone": {"guided_steps": GUIDED, "ramp_steps": 1},
    "fastvmt": {"iterations": 3},
    "smm": {"iterations": 1, "inversion_substeps": 2},
}


def short_config(name: str, full: Any, execution: Execution, *, smoke: bool) -> Any:
    """A method's configuration with as few steps as can be timed."""
    steps = REPLAYED if execution.replay else LAUNCHED
    asked = SETTINGS[name] | dict.fromkeys(STAGES.get(name, ()), steps)
    guided = GUIDED_AND_PLAIN["optimized" if execution.compiler else "plain"]
    asked["sample_steps"] = SAMPLED if name in STAGES else guided
    if hasattr(full, "guided_share"):
        asked["guided_share"] = GUIDED / guided
    toy = {"rank": 2, "block": 1} if smoke else {}
    known = {f.name for f in fields(full)}
    return replace(full, **asked, **{key: value for key, value in toy.items() if key in known})


class BenchBackbone(RandomBackbone):
    """One that leaves out what is the same for all methods: a clip is encoded once, and none is decoded."""

    def decode(self, latents: torch.Tensor) -> Clip:
        """A black clip."""
        return Clip(np.zeros((self.frames, self.height, self.width, 3), np.uint8), self.fps)


@dataclass
class Stopwatch:
    """Hears of a method's progress, and notes when each step of a stage was done on the device."""

    bench: Bench
    times: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, stage: str, done: int, total: int) -> None:
        synchronize(self.bench)
        now = time.perf_counter()
        self.times.setdefault(stage, []).append(now)

    def steps(self, stage: str) -> list[float]:
        """Seconds of each step but the first."""
        times = self.times.get(stage, [])
        return [after - before for before, after in pairwise(times)]


def measure_baseline(
    bench: Bench, backbone: RandomBackbone, name: str, execution: Execution, clip: Clip, *, smoke: bool
) -> dict[str, Any]:
    """Seconds of a step of each stage, and of a fit and a clip by the preset that the method has for Wan."""
    backbone.execution = execution
    backbone.joint_guidance = execution.joint_guidance
    cls = registry.load("methods", name)
    full = build_config(cls, backbone=backbone.name)
    short = short_config(name, full, execution, smoke=smoke)
    watch = Stopwatch(bench)
    made = cls(short, Runtime(backbone.name, bench.device, report=watch), backbone)
    start = time.perf_counter()
    adapter = made.fit(clip, "caption", seed=0)
    made.generate(adapter, "prompt", seed=1)
    found: dict[str, Any] = {"short_seconds": time.perf_counter() - start}
    found["flash_attention"] = attention.current_flash_attention_impl()  # of the process; None: torch's own
    found["peak_bytes"] = torch.cuda.max_memory_allocated() if bench.device != "cpu" else None
    seconds = {stage: watch.steps(stage)[-1] for stage in watch.times}
    fit = sum(seconds[stage] * count for stage, count in fit_steps(name, full, backbone.steps, short).items())
    return found | {"seconds": seconds, "fit_seconds": fit} | sampling(name, full, short, watch, backbone.steps)


def fit_steps(name: str, full: Any, steps: int, short: Any) -> dict[str, float]:
    """How many steps, as the short schedule's steps are, each stage of a whole fit has."""
    found: dict[str, float] = {}
    if name == "twostagelora":
        found |= {"spatial": full.spatial_steps, "temporal": full.temporal_steps}
    elif name in STAGES:
        found["train"] = full.steps
    if name in ("vmc", "motioninversion", "motiondirector"):
        found["inversion"] = full.inversion_steps
    if name == "smm":  # a step of the inversion has so many substeps
        found["inversion"] = (full.sample_steps or steps) * full.inversion_substeps / short.inversion_substeps
    return found


def sampling(name: str, full: Any, short: Any, watch: Stopwatch, steps: int) -> dict[str, Any]:
    """Seconds of a plain and of a guided step, and of a clip."""
    taken = watch.steps("sample")
    plain, total = taken[-1], full.sample_steps or steps
    if name in STAGES:
        return {"step_seconds": plain, "clip_seconds": total * plain}
    guided, gradients = taken[GUIDED - 2], gradients_of(full) / gradients_of(short)
    count = full.guided_steps if name == "motionclone" else full.schedule(total).guided_steps
    whole = plain + (guided - plain) * gradients
    clip = count * whole + (total - count) * plain
    return {"step_seconds": plain, "guided_step_seconds": whole, "clip_seconds": clip}


def gradients_of(config: Any) -> float:
    """Gradients that a guided step takes."""
    every = getattr(config, "gradient_every", 1)
    return float(-(-getattr(config, "iterations", 1) // every))


def names(which: Sequence[str]) -> list[str]:
    """The baselines in order of worth, or those of them that were asked for, in the order of asking."""
    return [name for name in which or SETTINGS if name in SETTINGS]
