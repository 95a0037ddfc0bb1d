"""Plugins by entry point: the same door for ours and for anybody's. Listing names imports nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from motionbench.errors import PluginError, UnknownNameError

Group = Literal["methods", "metrics", "backbones", "trackers", "commands", "worlds"]


def canonical(name: str) -> str:
    """The name as plugins spell it: `-` is accepted for `_`."""
    return name.strip().lower().replace("-", "_")


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"motionbench.{group}"):
        held = found.get(point.name)
        if held is not None and held.value != point.value:
            raise PluginError(f"two packages offer {group[:-1]} {point.name!r}: {held.value} and {point.value}; uninstall one")
        found[point.name] = point
    return found


def names(group: Group) -> list[str]:
    """Names of the installed plugins of a group, sorted."""
    return sorted(_points(group))


def unknown(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error for a name that nobody offers: the closest names, and all of them."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    return UnknownNameError(
        f"unknown {kind} {name!r}.{hint} Installed: {', '.join(known) or 'none'} (after a new entry point: pip install -e .)"
    )


def load(group: Group, name: str) -> Any:
    """The object behind a plugin's entry point.

    Raises UnknownNameError with suggestions, or PluginError naming package and cause if importing it fails.
    """
    points = _points(group)
    wanted = name if name in points else canonical(name)
    if wanted not in points:
        raise unknown(group[:-1], name, sorted(points))
    point = points[wanted]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{group[:-1]} {wanted!r} ({point.value}) cannot be loaded: {error}") from error
