"""Study: an experiment as a small file, checked before anything is computed.

A study file is TOML: what all variants share (method, split, seeds, metrics), a table for each variant with what it
sets, sweeps (one setting over many values), and contrasts. docs/studies.md tells every key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motionbench.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=,+-]{0,79}")  # a folder's name, that leaves no folder
SECONDS = "seconds"  # beside metrics in published numbers: of fit and clip together


@dataclass(frozen=True)
class Variant:
    """One line of the experiment: a method with settings as `--set` takes them.

    title: what tables call it. published: metric (or `seconds`) -> the number that a paper gives for it.
    """

    name: str
    method: str
    title: str
    settings: tuple[str, ...] = ()
    preset: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """One setting over many values: `variants` in the order of `values`, as texts. settings: what all of them share."""

    key: str
    title: str
    values: tuple[str, ...]
    variants: tuple[str, ...]


@dataclass(frozen=True)
class Contrast:
    """The paired difference a - b of two variants, by name; question: what it is to answer."""

    a: str
    b: str
    question: str = ""


@dataclass(frozen=True)
class Study:
    """A whole experiment. baseline: the variant that all others are contrasted with. source: of published numbers.

    text: the file as it stands, for the page. metrics empty: the usual ones. limit: references per category.
    """

    name: str
    title: str
    about: str
    backbone: str
    split: str
    categories: tuple[str, ...]
    levels: tuple[str, ...]
    limit: int | None
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    tracker: str
    baseline: str
    variants: dict[str, Variant]
    sweeps: tuple[Sweep, ...]
    contrasts: tuple[Contrast, ...]
    source: str
    text: str


def read_study(path: Path) -> Study:
    """The study in a TOML file. Raises ConfigError naming the file and the key that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
        return parse_study(path.stem, text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: expected TOML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


SHARED = {
    "title": str, "about": str, "method": str, "preset": str, "backbone": str, "split": str, "categories": list,
    "levels": list, "limit": int, "seeds": list, "metrics": list, "tracker": str, "baseline": str,
    "variants": dict, "sweeps": list, "contrasts": list, "published": dict,
}  # fmt: skip
VARIANT = {"title": str, "method": str, "preset": str, "set": list}
SWEEP = {"key": str, "title": str, "values": list, "set": list}
CONTRAST = {"a": str, "b": str, "question": str}
PUBLISHED = {"source": str, "values": dict}


def parse_study(name: str, text: str) -> Study:
    """The study of that name in a TOML text. Raises ConfigError naming the key, TOMLDecodeError."""
    value = _checked(tomllib.loads(text), SHARED, "the study")
    published = _checked(value.get("published", {}), PUBLISHED, "[published]")
    numbers = published.get("values", {})
    variants = {
        key: _variant(key, _checked(one, VARIANT, f"[variants.{key}]"), value, numbers.get(key, {}))
        for key, one in value.get("variants", {}).items()
    }
    sweeps = []
    for one in value.get("sweeps", []):
        sweep, members = _sweep(_checked(one, SWEEP, "[[sweeps]]"), value)
        sweeps.append(sweep)
        variants |= {member.name: member for member in members if member.name not in variants}
    if not variants:
        raise ConfigError("it has no variants: write [variants.NAME] tables, or [[sweeps]]")
    baseline = value.get("baseline", next(iter(variants)))
    _known(baseline, variants, "baseline")
    for variant in numbers:
        _known(variant, variants, "[published.values]")
    contrasts = _contrasts(value.get("contrasts"), variants, baseline)
    return Study(
        name=name,
        title=value.get("title", name),
        about=value.get("about", "").strip(),
        backbone=value.get("backbone", "tiny"),
        split=value.get("split", "mini"),
        categories=_texts(value, "categories"),
        levels=_texts(value, "levels"),
        limit=value.get("limit"),
        seeds=_seeds(value.get("seeds", [0])),
        metrics=_texts(value, "metrics"),
        tracker=value.get("tracker", "auto"),
        baseline=baseline,
        variants=variants,
        sweeps=tuple(sweeps),
        contrasts=contrasts,
        source=published.get("source", ""),
        text=text,
    )


def _variant(name: str, one: dict[str, Any], shared: dict[str, Any], numbers: Any) -> Variant:
    if not NAME.fullmatch(name):
        raise ConfigError(f"variant {name!r}: a name is letters, digits and _ . = , + - (it names a folder)")
    method = one.get("method", shared.get("method"))
    if method is None:
        raise ConfigError(f"variant {name!r} has no method, and the study has none for all")
    bad = [key for key, number in _table(numbers).items() if isinstance(number, bool | str | list | dict)]
    if bad:
        raise ConfigError(f"[published.values.{name}]: {bad[0]} must be a number")
    preset = one.get("preset", shared.get("preset"))
    return Variant(name, method, one.get("title", name), _texts(one, "set"), preset, dict(numbers))


def _sweep(one: dict[str, Any], shared: dict[str, Any]) -> tuple[Sweep, list[Variant]]:
    if "key" not in one or not one.get("values"):
        raise ConfigError("[[sweeps]] needs a key and its values")
    key, extra = one["key"], _texts(one, "set")
    values = tuple(_setting(value) for value in one["values"])
    if len(set(values)) < len(values):
        raise ConfigError(f"sweep {key}: a value stands twice")
    made = []
    for value in values:
        settings = (*extra, f"{key}={value}")
        name = ",".join(setting.replace(",", "+") for setting in settings)
        made.append(_variant(name, {"set": list(settings), "title": f"{key} = {value}"}, shared, {}))
    return Sweep(key, one.get("title", key), values, tuple(variant.name for variant in made)), made


def _setting(value: Any) -> str:
    """A TOML value as `--set` takes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(map(_setting, value))
    if isinstance(value, str | int | float):
        return str(value)
    raise ConfigError(f"expected text, a number, true or false, got {type(value).__name__}")


def _contrasts(declared: list[Any] | None, variants: Mapping[str, Variant], baseline: str) -> tuple[Contrast, ...]:
    """The declared contrasts, or every other variant against the baseline."""
    if declared is None:
        return tuple(Contrast(name, baseline) for name in variants if name != baseline)
    made = []
    for one in declared:
        checked = _checked(one, CONTRAST, "[[contrasts]]")
        if "a" not in checked:
            raise ConfigError("[[contrasts]] needs a")
        made.append(Contrast(checked["a"], checked.get("b", baseline), checked.get("question", "")))
        for name in (made[-1].a, made[-1].b):
            _known(name, variants, "[[contrasts]]")
    return tuple(made)


def _seeds(value: list[Any]) -> tuple[int, ...]:
    if not value or any(isinstance(seed, bool) or not isinstance(seed, int) or seed < 0 for seed in value):
        raise ConfigError(f"seeds must be whole numbers from 0 on, got {value}")
    return tuple(dict.fromkeys(value))


def _texts(value: Mapping[str, Any], key: str) -> tuple[str, ...]:
    texts = value.get(key, [])
    if any(not isinstance(one, str) for one in texts):
        raise ConfigError(f"{key} must be a list of texts, got {texts}")
    return tuple(texts)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"expected a table, got {type(value).__name__}")
    return value


def _checked(value: Any, kinds: Mapping[str, type], where: str) -> dict[str, Any]:
    """The table, if it has these keys only, each of its type. Raises ConfigError with the closest key."""
    for key, entry in _table(value).items():
        if key not in kinds:
            close = difflib.get_close_matches(key, kinds, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{where}: unknown key {key!r}.{hint} Keys: {', '.join(kinds)}")
        if not isinstance(entry, kinds[key]) or isinstance(entry, bool):
            raise ConfigError(f"{where}: {key} must be {kinds[key].__name__}, got {entry!r}")
    return dict(value)


def _known(name: str, variants: Mapping[str, Variant], where: str) -> None:
    if name not in variants:
        close = difflib.get_close_matches(name, variants, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(f"{where}: no variant {name!r}.{hint} Variants: {', '.join(variants)}")
