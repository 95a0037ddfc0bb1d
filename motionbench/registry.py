"""Plugins by entry point: the same door for ours and for anybody's. Listing names imports nothing."""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from motionbench.errors import PluginError, UnknownNameError
from motionbench.loading import loading

if TYPE_CHECKING:
    from motionbench.backbone import BackboneEntry

Group = Literal["methods", "metrics", "backbones", "trackers", "commands", "worlds", "pages"]
CHECKED = ("methods", "metrics", "trackers", "backbones")  # by `plugin_check`, when they are loaded


def canonical(name: str) -> str:
    """The name as plugins spell it: `-` is accepted for `_`."""
    return name.strip().lower().replace("-", "_")


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"motionbench.{group}"):
        earlier = points.get(point.name)
        if earlier is not None and earlier.value != point.value:
            raise PluginError(
                f"two packages offer {group[:-1]} {point.name!r}: {earlier.value} and {point.value}; uninstall one"
            )
        points[point.name] = point
    return points


def names(group: Group) -> list[str]:
    """Names of the installed plugins of a group, sorted."""
    return sorted(_points(group))


def unknown(kind: str, name: str, known: Sequence[str]) -> UnknownNameError:
    """The error for a name that nobody offers: the closest names, and all of them."""
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    installed = f"Installed: {', '.join(known) or 'none'} (after a new entry point: pip install -e .)"
    return UnknownNameError(f"unknown {kind} {name!r}.{hint} {installed}")


def resolve(group: Group, name: str) -> str:
    """The installed plugin's name that `name` means. Raises UnknownNameError with suggestions; imports nothing."""
    points = _points(group)
    wanted = name if name in points else canonical(name)
    if wanted not in points:
        raise unknown(group[:-1], name, sorted(points))
    return wanted


@overload
def load(group: Literal["backbones"], name: str) -> BackboneEntry: ...


@overload
def load(group: Group, name: str) -> Any: ...


def load(group: Group, name: str) -> Any:
    """The object behind a plugin's entry point: a class of `Method`, `Metric` or `Tracker`, a `BackboneEntry`, or what
    else its group asks for.

    Raises UnknownNameError with suggestions, or PluginError if importing it fails, or if it lacks what its group asks
    for: what was expected, what came, and how to mend it.
    """
    wanted = resolve(group, name)
    point = _points(group)[wanted]
    try:
        with loading():
            plugin = point.load()
    except Exception as error:  # what another package does when it is imported may fail in any way
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"{group[:-1]} {wanted!r} ({point.value}) cannot be loaded: {cause}") from error
    if group in CHECKED:
        from motionbench.plugin_check import check_plugin

        check_plugin(group, wanted, point.value, plugin)
    return plugin


def summary(group: Group, name: str) -> str:
    """First paragraph of a plugin's docstring, as one line, read from its source: importing it could load torch.

    For a `typer.Typer(help=...)` it is that of the help. "" where there is no such plugin, no source or no
    word of it.
    """
    point = _points(group).get(name)
    if point is None:
        return ""
    module, _, attribute = point.value.partition(":")
    return _docline(module, attribute.split(".")[0])


def license_of(group: Group, name: str) -> str | None:
    """The license that the package of an installed plugin declares; None if there is none."""
    point = _points(group).get(name)
    about: dict[str, Any] = {} if point is None or point.dist is None else dict(point.dist.metadata.json)
    stated = about.get("license_expression") or about.get("license")
    return None if stated is None else str(stated)


def folders(group: Group, name: str) -> list[Path]:
    """The folder of a plugin's module and those of the packages around it, nearest first, found without importing them.

    Empty if there is no such plugin, or no source.
    """
    point = _points(group).get(name)
    module = "" if point is None else point.value.partition(":")[0]
    path = _source(module) if module else None
    return [] if path is None else list(path.parents[: module.count(".")])


def _docline(module: str, name: str) -> str:
    path = _source(module)
    if path is None:
        return ""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            text = ast.get_docstring(node)
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            text = _help(node.value)
        else:
            continue
        return " ".join((text or "").strip().partition("\n\n")[0].split())
    return ""


def _help(call: ast.expr) -> str | None:
    keywords = call.keywords if isinstance(call, ast.Call) else []
    values = [k.value for k in keywords if k.arg == "help"]
    return (
        values[0].value if values and isinstance(values[0], ast.Constant) and isinstance(values[0].value, str) else None
    )


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its parents (`importlib.util.find_spec` would import them)."""
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth in range(len(parts)):
        inside = None if spec is None else spec.submodule_search_locations
        specs = (finder.find_spec(".".join(parts[: depth + 1]), inside) for finder in sys.meta_path)
        spec = next((s for s in specs if s is not None), None)
        if spec is None:
            return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.suffix == ".py" and path.is_file() else None
