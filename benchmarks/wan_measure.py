"""What `wan.py` measures with: random models, clocks that wait for the device, and lines kept as they come."""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from motionbench.methods.backbones.draws import Draw, DrawsAhead
from motionbench.methods.backbones.execution import Execution
from motionbench.methods.backbones.random_weights import random_part
from motionbench.methods.backbones.replay import WARMUP, ReplayedSteps, recorder_on
from motionbench.methods.backbones.tensor_cache import TensorCache
from motionbench.methods.backbones.wan_backbone import WanBackbone
from motionbench.methods.backbones.wan_models import WanModel
from motionbench.methods.backbones.wan_weights import Weights
from motionbench.methods.followyourmotion.decoupled_lora import decoupled_loras
from motionbench.methods.followyourmotion.losses import denoise_loss, motion_loss
from motionbench.methods.followyourmotion.rope import paper_positions, placed_rope
from motionbench.methods.tuning.learner import Learner, Schedule
from motionbench.methods.tuning.training import Steps, predict, random_times
from wan_flops import Shape, training_flops
from wan_profile import profile

from motionbench.environment import versions
from motionbench.errors import NotFiniteError

RANK = 128


@dataclass
class Bench:
    """Where and at which size everything is measured; lines go to `out` as they come.

    Nothing new is begun past `deadline`. quick_attention, compiles: False does without, where it is at fault.
    """

    out: Path
    device: str
    smoke: bool
    quick_attention: bool = True
    compiles: bool = False
    deadline: float = math.inf
    matmul_tflops: float = math.nan  # of this very call, which is what shares of its steps are of
    done: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.file = self.out / "wan.jsonl"
        self.out.mkdir(parents=True, exist_ok=True)
        if self.file.exists():
            lines = [json.loads(line) for line in self.file.read_text("utf-8").splitlines()]
            self.done = {(line["part"], line["name"]) for line in lines}

    def missing(self, part: str, name: str) -> bool:
        """Whether this is still to be measured, and there is time left for it."""
        if (part, name) in self.done:
            return False
        if time.perf_counter() > self.deadline:
            print(f"{part}: no time left for {name}", flush=True)
            return False
        return True

    def keep(self, part: str, name: str, **values: Any) -> dict[str, Any]:
        """Writes a line down at once."""
        line = {"part": part, "name": name, "smoke": self.smoke} | values
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.done.add((part, name))
        print(json.dumps(line), flush=True)
        return line


class RandomBackbone(WanBackbone):
    """A Wan model of random weights made on the device; speed and memory do not depend on what the weights are."""

    def __init__(self, model: WanModel, bench: Bench, execution: Execution) -> None:
        self.scale: Any = "small" if bench.smoke else "full"
        spec = model.spec
        if bench.smoke:
            spec = replace(spec, frames=17, height=64, width=64, text_tokens=16)
        weights = Weights(Path("random"), f"random-{self.scale}", spec)
        cache = TensorCache(Path(mkdtemp(prefix="wan-")))
        dtype = "float32" if bench.device == "cpu" else "bfloat16"
        super().__init__(model, weights, device=bench.device, dtype=dtype, execution=execution, cache=cache)

    def _load(self, part: str) -> Any:
        if part in ("text_encoder", "tokenizer"):
            raise AssertionError("prompts are random embeddings here")
        dtype = torch.float32 if part == "vae" else self.dtype
        return random_part(self.model, part, scale=self.scale, dtype=dtype, device=str(self.device))

    def encode_text(self, texts: Any) -> torch.Tensor:
        """Random embeddings (B, L, D_text), the same for the same number of texts."""
        width = int(self.transformer.config.text_dim)
        drawn = torch.randn((len(texts), self.spec.text_tokens, width), generator=torch.Generator().manual_seed(0))
        return drawn.to(self.device, self.dtype)

    def shape(self, frames: int, batch: int = 1, rank: int = RANK) -> Shape:
        """For counting operations on clips of so many frames."""
        config = self.transformer.config
        _, f, h, w = self.latent_shape(frames)
        width = config.num_attention_heads * config.attention_head_dim
        return Shape(config.num_layers, width, config.ffn_dim, f * h * w // 4, self.spec.text_tokens, batch, rank)


def describe_machine(bench: Bench) -> dict[str, Any]:
    """Device, versions, and the rate of a bfloat16 matrix product in TFLOP/s, on random numbers."""
    facts: dict[str, Any] = {"device": platform.machine(), "versions": versions(), "python": platform.python_version()}
    size, dtype = (256, torch.float32) if bench.device == "cpu" else (8192, torch.bfloat16)
    if bench.device != "cpu":
        properties = torch.cuda.get_device_properties(bench.device)
        facts |= {"device": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda}
    a, b = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
    seconds = seconds_of(bench, lambda: torch.mm(a, b), warmup=3, repeats=20)["seconds"]
    return facts | {"matmul_size": size, "matmul_tflops": 2 * size**3 / seconds / 1e12}


def synchronize(bench: Bench) -> None:
    """Waits until the device has done all it was given."""
    if bench.device != "cpu":
        torch.cuda.synchronize()


def seconds_of(bench: Bench, work: Callable[[], Any], *, warmup: int = 2, repeats: int = 5) -> dict[str, Any]:
    """Median, least and most seconds of a piece of work, the seconds of its first run, and the peak memory in bytes.

    The peak is of all runs, the first ones too: of what a replayed one uses, torch does not count what ends in it.
    """
    if bench.smoke:
        warmup, repeats = min(warmup, 1), min(repeats, 1)
    if bench.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    synchronize(bench)
    start = time.perf_counter()
    work()
    synchronize(bench)
    first = time.perf_counter() - start
    for _ in range(warmup - 1):
        work()
    times = [] if repeats else [first]
    for _ in range(repeats):
        synchronize(bench)
        start = time.perf_counter()
        work()
        synchronize(bench)
        times.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if bench.device != "cpu" else None
    spread = {"seconds": statistics.median(times), "least": min(times), "most": max(times), "repeats": repeats}
    return spread | {"first_seconds": first, "peak_bytes": peak}


@dataclass(frozen=True)
class Step:
    """A training step to be timed. stage: `spatial` on single frames, `temporal` on clips of `frames`.

    all_heads: one LoRA on all heads, as in two-stage tuning; else it sits on half of them, and the temporal stage has
    the frozen spatial one merged. save_memory: blocks are recomputed, as `execution` says. profiled: its kernels are
    summed up, too. loud: the LoRA is as large as a trained one.
    """

    name: str
    stage: str
    frames: int
    execution: Execution
    batch: int = 1
    all_heads: bool = False
    save_memory: bool = False
    repeats: int = 5
    profiled: bool = False
    loud: bool = False
    frozen_weights: str = "unchanged"


@dataclass
class ReadyStep:
    """A training step on a model that stands ready for it: random numbers in, a loss out, and who learns from it."""

    latents: torch.Tensor
    draw: Callable[[], Draw]
    loss: Callable[[Draw], torch.Tensor]
    learner: Learner

    def descend(self, draw: Draw) -> None:
        """One step down the loss."""
        self.learner.descend(self.loss(draw))


@contextmanager
def ready_step(bench: Bench, step: Step, made: RandomBackbone) -> Iterator[ReadyStep]:
    """The model with its LoRAs and everything else that training itself puts on it, inside the block."""
    made.execution = step.execution
    transformer, config = made.transformer, made.transformer.config
    half = np.random.default_rng(0).random((config.num_layers, config.num_attention_heads)) < 0.5
    text = made.encode_text(["caption"])
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(step.batch, *made.latent_shape(step.frames), generator=generator).to(bench.device)
    rank = 4 if bench.smoke else RANK
    branch: Any = "temporal" if step.stage == "temporal" or step.all_heads else "spatial"
    with decoupled_loras(transformer, half | step.all_heads) as loras, placed_rope(transformer) as rope:
        if step.stage == "temporal" and not step.all_heads:
            add_loud(loras, "spatial", rank, generator)
            loras.merge_lora("spatial")
        parameters = loras.add_lora(branch, rank=rank, scale=1.0, generator=generator)
        if step.loud:
            make_loud(parameters, generator)
        learner = Learner(parameters, Schedule("step", 10**9, 1e-4, 0.1, 0, "constant", 1.0))
        if step.stage == "temporal":
            rope.positions = paper_positions(made.latent_shape()[1], latents.shape[2])

        def draw() -> Draw:
            return Draw((random_times(made, step.batch, generator), torch.randn(latents.shape, generator=generator)))

        def loss(draw: Draw) -> torch.Tensor:
            predicted, target = predict(made, latents, text, *draw.tensors)
            value = denoise_loss(predicted, target)
            return value + motion_loss(predicted, target) if step.stage == "temporal" else value

        frozen: Any = step.frozen_weights
        with made.training(text, tuple(latents.shape), save_memory=step.save_memory, frozen_weights=frozen):
            yield ReadyStep(latents, draw, loss, learner)


def time_step(bench: Bench, model: WanModel, step: Step, *, backbone: RandomBackbone | None = None) -> dict[str, Any]:
    """Seconds, samples and tokens a second, useful TFLOP/s and peak memory of a step, as training itself takes it."""
    made = RandomBackbone(model, bench, step.execution) if backbone is None else backbone
    with (
        ready_step(bench, step, made) as ready,
        recorder_on(made.device, made.replays) as recorder,
    ):
        replayed = ReplayedSteps(ready.descend, recorder)
        steps = Steps(DrawsAhead(ready.draw, 10**9, made.device), replayed, lambda _: [ready.learner])
        found = seconds_of(bench, steps.take, warmup=WARMUP + 2 if recorder else 2, repeats=step.repeats)
        found["replayed"] = replayed.replaying
        if step.profiled and bench.device != "cpu":
            found["profile"] = profile(steps.take)
        shape = tuple(ready.latents.shape)
        found["blocks_recomputed"] = made._recomputed_blocks(shape) if step.save_memory else 0
    try:
        ready.learner.check()
    except NotFiniteError as error:  # random weights may diverge; their times hold all the same
        found["note"] = str(error)
    rank = 4 if bench.smoke else RANK
    found |= rates(made.shape(step.frames, step.batch, rank), found["seconds"])
    return found | {"frames": step.frames, "matmul_tflops": bench.matmul_tflops}


def add_loud(loras: Any, branch: Any, rank: int, generator: torch.Generator) -> None:
    """A LoRA as large as a trained one, so that merging is decided as it would be."""
    make_loud(loras.add_lora(branch, rank=rank, scale=1.0, generator=generator), generator)


@torch.no_grad()
def make_loud(parameters: list[torch.nn.Parameter], generator: torch.Generator) -> None:
    """Adds noise to a LoRA, so that it is as large as a trained one and each of its parts has a gradient."""
    for parameter in parameters:
        parameter += 0.02 * torch.randn(parameter.shape, generator=generator).to(parameter)


def rates(shape: Shape, seconds: float) -> dict[str, Any]:
    """What a training step's seconds mean."""
    flops = training_flops(shape)
    return {
        "batch": shape.batch,
        "tokens": shape.batch * shape.tokens,
        "tokens_per_second": shape.batch * shape.tokens / seconds,
        "useful_flops": flops,
        "useful_tflops": flops / seconds / 1e12,
    }
