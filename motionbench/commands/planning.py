"""The options of a run on the command line: the fields of RunPlan, said once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from motionbench.commands import options
from motionbench.plan import RunPlan

# Field of RunPlan -> its option, in the order of `--help`. All but `config`, which is an object; `--set` makes one.
PLAN_OPTIONS: dict[str, Any] = {
    "method": options.Method,
    "split": options.Split,
    "categories": options.Categories,
    "levels": options.Levels,
    "limit": options.Limit,
    "seeds": options.Seeds,
    "backbone": options.Backbone,
    "preset": options.Preset,
    "settings": options.Settings,
    "device": options.Device,
    "dtype": options.Dtype,
    "gpu_memory": options.GpuMemory,
    "retry_failed": options.RetryFailed,
    "shard": options.Shard,
    "engine": options.Engine,
    "address": options.Address,
    "storage": options.Storage,
    "retries": options.Retries,
    "retry_oom": options.RetryOom,
    "keep_adapters": options.Adapters,
    "timeout_seconds": options.Timeout,
    "workers": options.Workers,
    "threads": options.Threads,
}


def takes_plan(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `plan` becomes the options of a RunPlan, with that class's defaults.

    The plan's own checks (ConfigError) take place before the command begins.
    """
    others = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "plan"]
    planned = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=PLAN_OPTIONS[name])
        for name, default in plan_defaults().items()
    ]

    def with_options(**words: Any) -> None:
        plan = RunPlan(**{name: words.pop(name) for name in PLAN_OPTIONS})
        command(plan=plan, **words)

    parameters = [*planned, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in others)]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    with_options.__annotations__ = {p.name: p.annotation for p in parameters}
    with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
    with_options.__module__ = command.__module__
    return with_options


def plan_defaults() -> dict[str, Any]:
    """RunPlan's defaults as options write them: lists that may be left out, and the shard as text."""
    defaults: dict[str, Any] = {f.name: f.default for f in fields(RunPlan) if f.name in PLAN_OPTIONS}
    written = {
        name: (list(default) or None) if isinstance(default, tuple) else default for name, default in defaults.items()
    }
    return {name: "/".join(map(str, defaults[name])) if name == "shard" else written[name] for name in PLAN_OPTIONS}
