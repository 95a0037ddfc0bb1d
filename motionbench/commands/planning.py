"""From command-line words to a plan of generation, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path

from motionbench import registry
from motionbench.commands.options import to_categories, to_choice, to_levels
from motionbench.config import build_config
from motionbench.files import hash_json
from motionbench.offload import CHOICES
from motionbench.plan import RunPlan, parse_shard, resolve
from motionbench.progress import Bars
from motionbench.record import Record
from motionbench.runner import run
from motionbench.store import ResultStore


def make_plan(
    *,
    method: str,
    split: str,
    category: list[str] | None,
    level: list[str] | None,
    limit: int | None,
    seed: list[int],
    backbone: str,
    settings: list[str] | None,
    preset: str | None,
    device: str,
    dtype: str,
    offload: str,
    retry_failed: bool,
    shard: str,
    engine: str,
    adapters: bool,
) -> RunPlan:
    """The plan that the words stand for, with every name in it looked up. Raises MotionBenchError."""
    method_class = registry.load("methods", method)
    backbone = registry.resolve("backbones", backbone)
    plan = RunPlan(
        method=method_class.name,
        config=build_config(method_class, backbone=backbone, preset=preset, settings=settings or ()),
        backbone=backbone,
        split=split,
        categories=to_categories(category),
        levels=to_levels(level),
        limit=limit,
        seeds=tuple(dict.fromkeys(seed)),
        device=device,
        dtype=dtype,
        offload=to_choice("--offload", offload, CHOICES),
        shard=parse_shard(shard),
        engine=to_choice("--engine", engine, ("local", "ray")),
        retry_failed=retry_failed,
        keep_adapters=adapters,
    )
    resolve(plan)
    return plan


def default_folder(plan: RunPlan) -> Path:
    """`results/METHOD-SPLIT-HASH`: the hash is of what must agree within a folder, so other settings go elsewhere."""
    job = resolve(plan)
    return Path("results") / f"{plan.method}-{job.split.name}-{hash_json(job.configuration)[:8]}"


def generate(plan: RunPlan, store: ResultStore) -> list[Record]:
    """Runs the plan behind a progress bar and returns its records, old and new."""
    with Bars(plan.method) as bars:
        return list(run(plan, store, observer=bars).records)
