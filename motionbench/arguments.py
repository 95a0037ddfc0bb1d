"""What people may write for an argument, in Python or on the command line, and what it stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, StrEnum
from typing import Any, TypeVar

from motionbench.errors import ConfigError
from motionbench.registry import canonical

Named = TypeVar("Named", bound=StrEnum)


def to_names(kind: type[Named], names: str | Iterable[str] | None) -> tuple[Named, ...]:
    """Categories or prompt levels by name; `-` is accepted for `_`. Raises ConfigError naming all there are."""
    chosen = [canonical(name) for name in ((names,) if isinstance(names, str) else names or ())]
    for name in chosen:
        if name not in list(kind):
            raise ConfigError(f"unknown {kind.__name__.lower()} {name!r}; there are {', '.join(kind)}")
    return tuple(map(kind, chosen))


def parse_shard(shard: str | tuple[int, int]) -> tuple[int, int]:
    """(i, n) from `i/n`, 1-based: `1/4` to `4/4`. Raises ConfigError."""
    match = re.fullmatch(r"(\d+)/(\d+)", shard.strip() if isinstance(shard, str) else "{}/{}".format(*shard))
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"shard must be i/n with 1 <= i <= n, such as 1/4, got {shard!r}")
    return int(match[1]), int(match[2])


def to_seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Seeds in the order given, each once. Raises ConfigError if there is none."""
    numbers = (seeds,) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    if not numbers:
        raise ConfigError("seeds must be given: at least one whole number")
    return numbers


def to_workers(workers: int | str) -> int | str:
    """`auto`, or a number of processes from 1. Raises ConfigError."""
    text = str(workers).strip().lower()
    if text != "auto" and not (text.isdecimal() and int(text)):
        raise ConfigError(f"workers must be auto or a number from 1, got {workers!r}")
    return text if text == "auto" else int(text)


def to_settings(settings: Mapping[str, Any] | Iterable[str] | str | None) -> tuple[str, ...]:
    """Settings as words `key=value`, which `build_config` types: a mapping from Python is held to the same rules."""
    if isinstance(settings, str):
        return (settings,)
    if not isinstance(settings, Mapping):
        return tuple(settings or ())
    return tuple(f"{key}={_to_word(value)}" for key, value in settings.items())


def _to_word(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_to_word(part) for part in value)
    return str(value.value if isinstance(value, Enum) else value)


def choice(name: str, choices: tuple[str, ...]) -> Callable[[str], str]:
    """A converter that lets the choices pass and raises ConfigError for anything else."""

    def check(value: str) -> str:
        if value not in choices:
            raise ConfigError(f"{name} takes one of {', '.join(choices)}, got {value!r}")
        return value

    return check
