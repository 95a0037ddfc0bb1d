"""Speed and memory of Wan2.1 on one GPU, with random weights of the real shapes.

    python benchmarks/wan.py measure --out results/wan --part steps --part heads --part large
    python benchmarks/wan.py measure --out results/wan --part job --part scaling --seconds job=200
    python benchmarks/wan.py measure --out results/wan --part later   # a process of its own: what is compiled is kept
    python benchmarks/wan.py measure --out results/wan --part baselines --baseline vmc
    python benchmarks/wan.py measure --out /tmp/toy --smoke
    python benchmarks/wan.py render results/wan/wan.jsonl --page docs/results/speed.md

Every measurement is a line of wan.jsonl as soon as it is there; what is there is not measured again, so a run that was
cut off goes on. Parts come in order of importance, each within a budget of seconds after which nothing new is begun.
"""

from __future__ import annotations

import gc
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from motionbench.methods.backbones import float8 as rounding
from motionbench.methods.backbones.backbone import Backbone
from motionbench.methods.backbones.execution import PLAIN, PRESETS, Execution
from motionbench.methods.backbones.wan_models import WAN_1_3B, WAN_14B, WanModel
from motionbench.methods.followyourmotion.adapter import MotionAdapter
from motionbench.methods.followyourmotion.config import Config
from motionbench.methods.followyourmotion.heads import score_heads
from motionbench.methods.followyourmotion.method import FollowYourMotion
from wan_baselines import BenchBackbone, measure_baseline, names
from wan_float8 import gradient_errors, loss_distances
from wan_flops import forward_flops
from wan_measure import Bench, RandomBackbone, Step, describe_machine, seconds_of, synchronize, time_step
from wan_page import write_page
from wan_without import LEFT_OUT, left_out

from motionbench.clip import Clip
from motionbench.errors import MotionBenchError
from motionbench.fallbacks import execution
from motionbench.method import Runtime

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
# Seconds after which a part begins nothing new; together they fill two calls of less than ten minutes.
SECONDS = {
    "steps": 200,
    "heads": 60,
    "float8": 120,
    "without": 90,
    "large": 120,
    "job": 200,
    "baselines": 300,
    "later": 60,
    "scaling": 120,
}
PAPER = Config()
DENSE, SPARSE = 81, 17
QUICK = replace(PLAIN, quick_attention=True, fixed_text=True)
FAST = replace(QUICK, compiler="inductor", checkpoint_share=None, replay=True)


@app.command()
def measure(
    out: Annotated[Path, typer.Option("--out", help="Folder for wan.jsonl.")],
    part: Annotated[list[str] | None, typer.Option("--part", help=f"One of {', '.join(SECONDS)}; repeatable.")] = None,
    seconds: Annotated[list[str] | None, typer.Option("--seconds", metavar="PART=N", help="Budget of a part.")] = None,
    spatial_batch: Annotated[int, typer.Option("--spatial-batch", help="Single frames in an optimized step.")] = 16,
    full_job: Annotated[bool, typer.Option("--full-job", help="The whole schedule for real: about 9 minutes.")] = False,
    quick_attention: Annotated[bool, typer.Option(help="cuDNN's attention first, on Hopper cards.")] = True,
    compiling: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile what is optimized.")] = True,
    baseline: Annotated[list[str] | None, typer.Option("--baseline", help="Of part baselines; repeatable.")] = None,
    without: Annotated[list[str] | None, typer.Option("--without", help=f"One of {', '.join(LEFT_OUT)}.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="All parts at toy size on the CPU; no result.")] = False,
) -> None:
    """Measure what is missing in --out."""
    if not smoke and not torch.cuda.is_available():
        raise typer.BadParameter("no GPU: only --smoke runs here")
    budgets = SECONDS | {name: int(n) for name, _, n in (pair.partition("=") for pair in seconds or [])}
    unknown = sorted({*(part or []), *budgets} - set(SECONDS))
    if unknown:
        raise typer.BadParameter(f"unknown parts {unknown}; there are {', '.join(SECONDS)}")
    # So that a new folder's first steps find nothing compiled.
    os.environ |= {"MOTIONBENCH_CACHE": str(out / "cache"), "TRITON_CACHE_DIR": str(out / "cache" / "triton")}
    bench = Bench(out, "cpu" if smoke else "cuda", smoke, quick_attention, compiling and not smoke)
    bench.done.discard(("machine", "machine"))  # its matrix rate belongs to this very call
    machine = bench.keep("machine", "machine", **describe_machine(bench), spatial_batch=spatial_batch)
    bench.matmul_tflops = machine["matmul_tflops"]
    work = {
        "steps": lambda: steps(bench, spatial_batch),
        "heads": lambda: heads(bench),
        "float8": lambda: float8(bench),
        "without": lambda: parts_without(bench),
        "large": lambda: large(bench),
        "job": lambda: job(bench, full=full_job),
        "baselines": lambda: baselines(bench, baseline or []),
        "later": lambda: later(bench),
        "scaling": lambda: scaling(bench),
    }
    with ExitStack() as leaving:
        for name in without or []:
            leaving.enter_context(left_out(name))
        for name in part or list(work):
            bench.deadline = time.perf_counter() + budgets[name]
            work[name]()
            free(bench)


def sizes(bench: Bench) -> tuple[int, int]:
    """Frames of the dense and of the sparse clip."""
    return (17, 9) if bench.smoke else (DENSE, SPARSE)


def allowed(bench: Bench, execution: Execution) -> Execution:
    """The choices, less what this run does without; at toy size compiling would take longer than all the rest."""
    return replace(
        execution,
        quick_attention=execution.quick_attention and bench.quick_attention,
        compiler=execution.compiler if bench.compiles else None,
    )


def optimized_steps(sparse: int) -> list[Step]:
    """Those of both stages as the preset `paper` takes them."""
    return [
        Step("spatial, batch 1, optimized", "spatial", 1, FAST, repeats=20, profiled=True),
        Step("temporal, optimized", "temporal", sparse, FAST, repeats=10, profiled=True),
    ]


def steps(bench: Bench, spatial_batch: int) -> None:
    """(a) One training step of each kind on 1.3B: what is compared first, then what each optimization brings."""
    dense, sparse = sizes(bench)
    two_stage: Any = {"all_heads": True, "save_memory": True}
    dense_quick, launched = replace(PLAIN, quick_attention=True), replace(FAST, replay=False)
    wanted = [
        Step("spatial, batch 1, optimized", "spatial", 1, FAST, repeats=20, profiled=True),
        Step("temporal, optimized", "temporal", sparse, FAST, repeats=10, profiled=True),
        Step(
            "dense two-stage, clip, quick attention",
            "temporal",
            dense,
            dense_quick,
            **two_stage,
            repeats=2,
            profiled=True,
        ),
        Step("dense two-stage, frame, quick attention", "spatial", 1, dense_quick, **two_stage, repeats=5),
        Step("spatial, batch 1, launched", "spatial", 1, launched, repeats=10),
        Step("temporal, launched", "temporal", sparse, launched, repeats=10),
        Step("spatial, optimized", "spatial", 1, FAST, batch=spatial_batch, repeats=5),
        Step("dense two-stage, frame", "spatial", 1, PLAIN, **two_stage, repeats=5),
        Step("dense two-stage, clip", "temporal", dense, PLAIN, **two_stage, repeats=2),
        Step("temporal, plain", "temporal", sparse, PLAIN),
        Step("temporal, plain, recomputed", "temporal", sparse, PLAIN, save_memory=True),
        Step("temporal, + fixed text", "temporal", sparse, replace(PLAIN, fixed_text=True)),
        Step("temporal, + quick attention", "temporal", sparse, QUICK),
        Step("spatial, plain, batch 1", "spatial", 1, PLAIN),
        Step("spatial, plain, batch 8", "spatial", 1, PLAIN, batch=8),
        Step("spatial, uncompiled", "spatial", 1, QUICK, batch=spatial_batch),
    ]
    measure_steps(bench, "steps", WAN_1_3B, wanted)


def float8(bench: Bench) -> None:
    """(g) Frozen weights in float8: what a step gains over the same one of this run, and what its numbers lose."""
    _, sparse = sizes(bench)
    if bench.smoke:
        rounding.LARGE = 1  # every product
    backbone = None
    for step in optimized_steps(sparse):
        backbone = measure_steps(bench, "steps", WAN_1_3B, [step], backbone)
        rounded = replace(step, frozen_weights="float8")
        backbone = measure_steps(bench, "float8", WAN_1_3B, [rounded], backbone)
    backbone = None
    free(bench)
    # What rounding does to numbers, it does at any size. Other kernels: torch's attention, and nothing compiled.
    checks = {
        "losses": lambda: loss_distances(bench, allowed(bench, FAST), replace(PLAIN, replay=True)),
        "gradients": lambda: gradient_errors(bench, allowed(bench, QUICK), PLAIN),
    }
    for name, check in checks.items():
        if bench.missing("rounding", name):
            bench.keep("rounding", name, **check())
            free(bench)


def large(bench: Bench) -> None:
    """(a) The same on 14B, as far as one GPU goes: recomputing as many blocks as memory asks for."""
    _, sparse = sizes(bench)
    auto = replace(QUICK, checkpoint_share=None, limit_bytes=PRESETS["80"].limit_bytes)
    within_60, within_80 = (replace(FAST, limit_bytes=PRESETS[name].limit_bytes) for name in ("60", "80"))
    wanted = [
        Step(
            "14B temporal, optimized, 60 GB", "temporal", sparse, within_60, save_memory=True, repeats=4, profiled=True
        ),
        Step("14B temporal, optimized", "temporal", sparse, within_80, save_memory=True, repeats=4),
        Step("14B temporal, uncompiled", "temporal", sparse, auto, save_memory=True, repeats=3),
        Step("14B temporal, all recomputed", "temporal", sparse, QUICK, save_memory=True, repeats=3),
        Step("14B spatial, uncompiled", "spatial", 1, auto, batch=4, save_memory=True, repeats=3),
    ]
    measure_steps(bench, "large", WAN_14B, wanted)


def later(bench: Bench) -> None:
    """(e) The first steps of a later job, in a process of its own that finds what another one compiled."""
    _, sparse = sizes(bench)
    wanted = [replace(step, repeats=3, profiled=False) for step in optimized_steps(sparse)]
    backbone = measure_steps(bench, "later", WAN_1_3B, wanted)
    if bench.missing("later", "sampling"):
        backbone = RandomBackbone(WAN_1_3B, bench, allowed(bench, FAST)) if backbone is None else backbone
        config = Config(sparse_frames=sparse, spatial_steps=1, temporal_steps=1, head_times=(0.5,))
        method = FollowYourMotion(config, Runtime(WAN_1_3B.name, bench.device), backbone)
        adapter = method.fit(random_clip(bench), "caption", seed=0)
        bench.keep("later", "sampling", **one_step_clips(bench, method, adapter))


def parts_without(bench: Bench) -> None:
    """(h) The temporal step without each of what makes its passes over memory few."""
    _, sparse = sizes(bench)
    backbone = None
    for name in LEFT_OUT:
        step = Step(f"temporal, {name}", "temporal", sparse, FAST, repeats=10, profiled=True)
        with left_out(name):
            backbone = measure_steps(bench, "without", WAN_1_3B, [step], backbone)


def random_clip(bench: Bench) -> Clip:
    """A dense clip of noise."""
    dense, _ = sizes(bench)
    shape = (17, 64, 64, 3) if bench.smoke else (dense, 480, 832, 3)
    generator = torch.Generator().manual_seed(0)
    return Clip(torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).numpy(), 16.0)


def one_step_clips(bench: Bench, method: FollowYourMotion, adapter: MotionAdapter) -> dict[str, Any]:
    """Seconds of a clip of one step: the first, in which sampling is compiled, and the next."""
    config, method.config = method.config, replace(method.config, sample_steps=1)
    found = seconds_of(bench, lambda: method.generate(adapter, "prompt", seed=1), warmup=0, repeats=1)
    method.config = config
    return {"one_step_seconds": found["first_seconds"], "one_step_again_seconds": found["seconds"]}


def baselines(bench: Bench, which: list[str]) -> None:
    """(f) Fit and clip of each baseline, on a dense clip, within the memory of a card of 80 GB."""
    clip = random_clip(bench)
    limit = PRESETS["80"].limit_bytes
    ways = {"plain": PLAIN, "optimized": replace(FAST, limit_bytes=limit)}
    backbone = None
    for name in names(which):
        for way in ("optimized", "plain"):
            if not bench.missing("baselines", f"{name}, {way}"):
                continue
            execution = allowed(bench, ways[way])
            backbone = BenchBackbone(WAN_1_3B, bench, execution) if backbone is None else backbone
            free(bench)
            if bench.device != "cpu":
                torch.cuda.reset_peak_memory_stats()
            try:
                found = measure_baseline(bench, backbone, name, execution, clip, smoke=bench.smoke)
            except (RuntimeError, MotionBenchError) as error:  # a lack of memory, or a NaN of random weights
                found = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            bench.keep("baselines", f"{name}, {way}", **found)


def measure_steps(
    bench: Bench, part: str, model: WanModel, wanted: list[Step], backbone: RandomBackbone | None = None
) -> RandomBackbone | None:
    """Times steps one after the other on one model; one that runs out of memory is written down as such."""
    for step in wanted:
        if not bench.missing(part, step.name):
            continue
        step = replace(step, execution=allowed(bench, step.execution))
        backbone = RandomBackbone(model, bench, step.execution) if backbone is None else backbone
        try:
            found = time_step(bench, model, step, backbone=backbone)
        except torch.OutOfMemoryError as error:
            found = {"error": f"out of memory: {str(error)[:200]}", "peak_bytes": torch.cuda.max_memory_allocated()}
        choices: dict[str, Any] = {"compiled": bool(step.execution.compiler)}
        choices["quick_attention"] = step.execution.quick_attention
        choices |= execution()
        bench.keep(part, step.name, model=model.name, **choices, **found)
        free(bench)
    return backbone


def free(bench: Bench) -> None:
    """Gives memory back between measurements."""
    gc.collect()
    if bench.device != "cpu":
        torch.cuda.empty_cache()


def heads(bench: Bench) -> None:
    """(b) Head classification of the whole 1.3B model on a dense clip, at the three times of the paper's preset."""
    if not bench.missing("heads", "1.3B"):
        return
    dense, _ = sizes(bench)
    backbone = RandomBackbone(WAN_1_3B, bench, allowed(bench, QUICK))
    latents = torch.randn(1, *backbone.latent_shape(dense), device=bench.device)
    clips = [(latents, backbone.encode_text(["caption"]))]
    before = torch.cuda.memory_allocated() if bench.device != "cpu" else 0

    def work(times: tuple[float, ...] = PAPER.head_times) -> None:
        with backbone.computing(looking_inside=True):
            score_heads(backbone, clips, times, 1, torch.Generator().manual_seed(0))

    work((0.5,))
    found = seconds_of(bench, work, warmup=1, repeats=1)
    extra = None if found["peak_bytes"] is None else found["peak_bytes"] - before
    layers, tokens = len(backbone.transformer.blocks), backbone.shape(dense).tokens
    facts = {"layers": layers, "tokens": tokens, "maps": len(PAPER.head_times), "extra_bytes": extra}
    bench.keep("heads", "1.3B", model=WAN_1_3B.name, **facts, **found)


def job(bench: Bench, *, full: bool) -> None:
    """(c) Classify, tune and generate by the method itself, and what the VAE takes of it."""
    _, sparse = sizes(bench)
    clip = random_clip(bench)
    backbone = RandomBackbone(WAN_1_3B, bench, allowed(bench, FAST))
    short = {"spatial_steps": 3, "temporal_steps": 3} if bench.smoke else {"spatial_steps": 100, "temporal_steps": 40}
    if full:
        short = {"spatial_steps": PAPER.spatial_steps, "temporal_steps": PAPER.temporal_steps}
    config = Config(sparse_frames=sparse, **short)
    if bench.smoke:
        config = replace(config, rank=4, sample_steps=2)
    name = "whole schedule" if full else "short schedule"
    if bench.missing("job", name):
        run_job(bench, name, backbone, config, clip)
    if bench.missing("job", "encode"):
        encode(bench, backbone, clip, sparse)


def run_job(bench: Bench, name: str, backbone: RandomBackbone, config: Config, clip: Clip) -> None:
    """One fit and one generation, timed apart; clips of one step go first, in which sampling is compiled."""
    method = FollowYourMotion(config, Runtime(WAN_1_3B.name, bench.device), backbone)
    start = time.perf_counter()
    adapter = method.fit(clip, "caption", seed=0)
    synchronize(bench)
    fit = time.perf_counter() - start
    found: dict[str, Any] = {"fit_seconds": fit} | one_step_clips(bench, method, adapter)
    start = time.perf_counter()
    method.generate(adapter, "prompt", seed=1)
    found["generate_seconds"] = time.perf_counter() - start
    found["peak_bytes"] = torch.cuda.max_memory_allocated() if bench.device != "cpu" else None
    steps_taken = config.sample_steps or backbone.steps
    found["sample_flops"] = 2 * steps_taken * forward_flops(backbone.shape(len(clip), rank=0))
    schedule = {"spatial_steps": config.spatial_steps, "temporal_steps": config.temporal_steps}
    schedule |= {"spatial_batch": config.spatial_batch, "sample_steps": steps_taken}
    bench.keep("job", name, temporal_share=float(adapter.temporal.mean()), **schedule, **found)


def encode(bench: Bench, backbone: RandomBackbone, clip: Clip, sparse: int) -> None:
    """Seconds of the VAE: the dense clip, the sparse one, one frame (of which a fit encodes all), and decoding."""
    parts = {"dense": clip, "sparse": Clip(clip.frames[:sparse], clip.fps), "frame": Clip(clip.frames[:1], clip.fps)}
    found: dict[str, float] = {}
    for name, frames in parts.items():
        work = partial(Backbone.encode, backbone, frames)  # past the cache
        found[f"{name}_seconds"] = seconds_of(bench, work, warmup=1, repeats=2)["seconds"]
    latents = torch.randn(1, *backbone.latent_shape(len(clip)), device=bench.device)
    found["decode_seconds"] = seconds_of(bench, lambda: backbone.decode(latents), warmup=1, repeats=2)["seconds"]
    bench.keep("job", "encode", frames=len(clip), **found)


def scaling(bench: Bench) -> None:
    """(d) The temporal step over the number of frames that it sees, of a dense clip or sampled from a longer one.

    A step on 17 frames sampled from 81 costs what a step on a clip of 17 frames costs, so one curve serves for both.
    Uncompiled: compiling each size would take longer than measuring it.
    """
    counts = (5, 9, 17) if bench.smoke else (17, 81, 5, 33, 9, 49, 161, 65, 113)
    auto = replace(QUICK, checkpoint_share=None)
    wanted = [
        Step(f"{n:03d} frames", "temporal", n, auto, save_memory=True, repeats=2 if n > 33 else 5) for n in counts
    ]
    measure_steps(bench, "scaling", WAN_1_3B, wanted)


@app.command()
def render(
    lines: Annotated[Path, typer.Argument(help="wan.jsonl that `measure` wrote.")],
    page: Annotated[Path, typer.Option("--page", help="Markdown page to write; plots go beside it.")],
) -> None:
    """Write the results page and its plots from measurements."""
    for path in write_page(lines, page):
        print(path)


if __name__ == "__main__":
    app()
