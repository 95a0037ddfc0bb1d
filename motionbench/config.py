"""Configuration from the command line: `--set key=value`, typed by the method's frozen `Config` dataclass."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from motionbench.errors import ConfigError, UnknownNameError
from motionbench.registry import canonical

Value = TypeVar("Value")
BARE = "none"  # the preset that is no preset: the defaults of the dataclass
PUBLISHED = "paper"  # the preset with the published constants

_BOOLEANS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NONES = {"none", "null", ""}


def build_config(method: Any, *, backbone: str, preset: str | None = None, settings: Sequence[str] = ()) -> Any:
    """The method's `Config`: its defaults, then a preset, then `key=value` settings in order.

    Without `preset`, the method's preset named like the backbone applies (a method tuned for `tiny` takes other numbers
    than the paper's), else the one named `paper`, else none; the name `none` asks for the bare defaults.
    Raises ConfigError for an unknown key or a value of another type, UnknownNameError for an unknown preset.
    """
    chosen = dict(_preset(method, backbone, preset))
    chosen.update(parse_settings(method.Config, settings))
    try:
        return method.Config(**chosen)
    except (TypeError, ValueError) as error:  # the dataclass's own checks of ranges
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{method.name}: {error}") from error


def suited_config(method: Any, backbone: str, config: Any) -> Any:
    """The configuration as given; for None the one of the preset that suits the backbone."""
    return build_config(method, backbone=backbone) if config is None else config


def require(ok: bool, name: str, expected: str, value: object) -> None:
    """The check that a Config makes of a field in `__post_init__`. Raises ConfigError naming the field unless `ok`."""
    if not ok:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


def setting(default: Value, help: str, *, later: bool = False) -> Value:
    """A field of a Config with its default and, in a phrase, what it means: shown by `motionbench list settings`.

    later: it came when there were results already, and its default is what they were made with; at that it is left out
    of what is written and hashed, so that they stay results of the present configuration.
    """
    made: Value = field(default=default, metadata={"help": help, "later": later})
    return made


def preset_name(method: Any, backbone: str, preset: str | None) -> str:
    """The name of the preset that `build_config` takes: the one asked for, the backbone's own, `paper`, or `none`."""
    if preset is not None:
        return preset if preset in method.presets else canonical(preset)
    return next((name for name in (backbone, PUBLISHED) if name in method.presets), BARE)


def parse_settings(config: type, settings: Sequence[str]) -> dict[str, Any]:
    """`["rank=64", "sparse=no"]` -> `{"rank": 64, "sparse": False}`, by the annotations of a dataclass.

    `-` is accepted for `_` in keys. Values: int, float (finite), bool (true/false, yes/no, on/off, 1/0), str, Path,
    Literal, Enum, Optional (`none`), and tuples as comma-separated lists. Raises ConfigError.
    """
    hints = get_type_hints(config)
    known = [f.name for f in fields(config) if f.init]
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"--set takes key=value, got {setting!r}")
        if key not in known:
            raise ConfigError(_unknown_key(key, known))
        try:
            values[key] = parse_value(hints[key], text.strip())
        except ValueError as error:
            meant = meaning(config, key)
            raise ConfigError(f"--set {key}: {error}" + (f" ({key}: {meant})" if meant else "")) from None
    return values


def parse_value(annotation: Any, text: str) -> Any:
    """One value by its annotation. Raises ValueError saying what was expected and what came."""
    origin, options = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _parse_union(options, text)
    if origin is Literal:
        return _parse_choice({str(option): option for option in options}, text)
    if origin is tuple:
        return _parse_tuple(options, text)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _parse_choice({str(option.value): option for option in annotation}, text)
    if annotation is bool:
        return _parse_choice(_BOOLEANS, text.lower())
    if annotation in (int, float):
        return _parse_number(annotation, text)
    if annotation in (str, Path):
        return annotation(text)
    raise ValueError(f"a value of type {annotation} cannot be given on the command line; write a preset")


@dataclass(frozen=True)
class SettingInfo:
    """One field that `--set` takes: its key, its type, its default and its meaning in words ("" where none is said)."""

    key: str
    type: str
    default: str
    help: str


def describe(config: type) -> list[SettingInfo]:
    """Every field that `--set` takes, in the order of the dataclass."""
    hints = get_type_hints(config)
    rows = []
    for f in fields(config):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        shown = "required" if default is MISSING else str(default)
        rows.append(SettingInfo(f.name, _type_name(hints[f.name]), shown, meaning(config, f.name)))
    return rows


def meaning(config: type, key: str) -> str:
    """What a field means; where a subclass changes the default alone, as the class says that has it first."""
    declared = (vars(cls).get("__dataclass_fields__", {}).get(key) for cls in config.__mro__)
    return next((str(f.metadata["help"]) for f in declared if f is not None and "help" in f.metadata), "")


def _preset(method: Any, backbone: str, preset: str | None) -> dict[str, Any]:
    name = preset_name(method, backbone, preset)
    if name in method.presets:
        return dict(method.presets[name])
    if name == BARE:
        return {}
    known = ", ".join([*sorted(method.presets), BARE])
    raise UnknownNameError(f"unknown preset {preset!r} of method {method.name}. Known: {known}")


def _unknown_key(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return f"--set: unknown key {key!r}.{hint} Valid keys: {', '.join(known) or 'none, the method has no settings'}"


def _parse_union(options: tuple[Any, ...], text: str) -> Any:
    if type(None) in options and text.lower() in _NONES:
        return None
    problems = []
    for option in options:
        if option is not type(None):
            try:
                return parse_value(option, text)
            except ValueError as error:
                problems.append(str(error))
    raise ValueError("; or ".join(problems))


def _parse_choice(choices: dict[str, Any], text: str) -> Any:
    if text in choices:
        return choices[text]
    if canonical(text) in choices:
        return choices[canonical(text)]
    raise ValueError(f"expected one of {', '.join(choices)}, got {text!r}")


def _parse_tuple(options: tuple[Any, ...], text: str) -> tuple[Any, ...]:
    parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
    if len(options) == 2 and options[1] is Ellipsis:
        return tuple(parse_value(options[0], part) for part in parts)
    if len(parts) != len(options):
        raise ValueError(f"expected {len(options)} values with commas between, got {text!r}")
    return tuple(parse_value(option, part) for option, part in zip(options, parts, strict=True))


def _parse_number(kind: type[int] | type[float], text: str) -> int | float:
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"expected {kind.__name__}, got {text!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"expected a finite {kind.__name__}, got {text!r}")
    return value


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(str(option) for option in get_args(annotation))
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
