"""RunPlan: what a run is asked to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Literal

from motionbench.arguments import choice, parse_shard, to_names, to_seeds, to_settings, to_workers
from motionbench.case import Category, Level
from motionbench.errors import ConfigError
from motionbench.files import hash_json
from motionbench.gpu_memory import CHOICES

Engine = Literal["local", "ray"]
Storage = Literal["sent", "shared"]
SHARED = "shared"
AUTO = "auto"


@dataclass(frozen=True)
class RunPlan:
    """One method on one split: the argument list of `mb.generate` and `mb.evaluate`, and of the commands `run`, `eval`.

    config: an instance of the method's Config; without one it is built from `preset` (default: the one for the
    backbone, see `config.build_config`) and `settings`, a mapping or words `key=value`. categories, levels (of
    prompts): one or several, by name; empty = all. limit: references per category. seeds: one or several.
    device: `auto`, `cpu`, `cuda[:i]`. shard: (i, n) or `i/n`, the i-th of n parts, 1-based. timeout_seconds: for one
    fit or one generation. dtype: `auto` is what the backbone's weights are made for. gpu_memory: the GPU-memory preset
    (`motionbench.gpu_memory`). workers: processes that references are spread over; `auto`: one a GPU, and for small
    backbones on a CPU as many as have `threads` cores each. retries: how often a reference is begun again whose worker
    was lost. retry_oom: what runs out of memory is begun again within the next preset of `gpu_memory`. engine: `ray`
    spreads references over a cluster. address: `HOST:PORT` of its head, `auto` for the one that runs here, `local` (the
    default, after $RAY_ADDRESS) for one of this machine's own. storage: clips are `sent` to its nodes and results back,
    or nodes read and write in folders that are `shared`, at the same paths.
    Results depend on method, config, backbone, split, device type, dtype, and on a CPU the threads of one attempt; the
    rest only says which cases, and how.
    Raises ConfigError for values out of range, before anything is looked up.
    """

    method: str = "followyourmotion"
    config: Any = None
    backbone: str = "tiny"
    split: str = "mini"
    preset: str | None = None
    settings: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    levels: tuple[Level, ...] = ()
    limit: int | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    dtype: str = "auto"
    shard: tuple[int, int] = (1, 1)
    engine: Engine = "local"
    address: str | None = None
    storage: Storage = "sent"
    retry_failed: bool = False
    keep_adapters: bool = True
    timeout_seconds: float | None = None
    gpu_memory: str = "auto"
    workers: int | str = AUTO
    threads: int = 1
    retries: int = 2
    retry_oom: bool = False

    def __post_init__(self) -> None:
        for name, convert in _CONVERTERS.items():
            object.__setattr__(self, name, convert(getattr(self, name)))
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit must be at least 1, got {self.limit}")
        if self.engine != "ray" and (self.address is not None or self.storage == SHARED):
            raise ConfigError("address and storage are for engine ray; add --engine ray")
        if self.retries < 0:
            raise ConfigError(f"retries must be at least 0, got {self.retries}")
        if self.threads < 1:
            raise ConfigError(f"threads must be at least 1, got {self.threads}")
        if self.config is not None and (self.settings or self.preset is not None):
            raise ConfigError("a plan takes a config, or a preset and settings to build one from, not both")

    @property
    def config_hash(self) -> str:
        """16 hex digits that change with any field of the method's configuration."""
        return hash_json(config_to_json(self.config))


check_engine = choice("engine", ("local", "ray"))
# What RunPlan's fields take besides their own types, so that Python and the command line can say it in words.
_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "split": str,
    "settings": to_settings,
    "categories": partial(to_names, Category),
    "levels": partial(to_names, Level),
    "seeds": to_seeds,
    "shard": parse_shard,
    "engine": check_engine,
    "storage": choice("storage", ("sent", "shared")),
    "gpu_memory": choice("gpu_memory", CHOICES),
    "workers": to_workers,
}


def config_to_json(config: Any) -> Any:
    """A method's configuration as JSON values: dataclasses become objects, enums their values, paths strings.

    Settings that came later are left out at their defaults (`config.setting`).
    """
    if config is None:
        return {}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {
            f.name: _value_to_json(getattr(config, f.name))
            for f in dataclasses.fields(config)
            if _is_written(f, config)
        }
    if isinstance(config, Enum):
        return config.value
    if isinstance(config, Path):
        return str(config)
    if isinstance(config, dict):
        return {str(key): _value_to_json(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_value_to_json(value) for value in config]
    return config


def _is_written(field: dataclasses.Field[Any], config: Any) -> bool:
    """Whether a field is written: all are, but for a later one at its default (`config.setting`)."""
    return not field.metadata.get("later") or getattr(config, field.name) != field.default


def _value_to_json(value: Any) -> Any:
    return None if value is None else config_to_json(value)
