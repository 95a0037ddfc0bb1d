"""Whether what an entry point names is what its group asks for: said when it is loaded, not where it first breaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from motionbench.backbone import BackboneEntry
from motionbench.errors import PluginError
from motionbench.method import InputContract
from motionbench.metric import MetricInfo

# What a class of each group must have, and of which type; None: something that can be called.
MEMBERS: dict[str, dict[str, type | None]] = {
    "methods": {
        "name": str, "contract": InputContract, "Config": type, "presets": Mapping,
        "create": None, "fit": None, "generate": None, "load_adapter": None,
    },
    "metrics": {"info": MetricInfo, "create": None, "measure": None},
    "trackers": {"name": str, "version": int, "create": None, "track": None},
}  # fmt: skip
DOCUMENTED = {
    "methods": "motionbench.method.Method",
    "metrics": "motionbench.metric.Metric",
    "trackers": "motionbench.tracks.Tracker",
    "backbones": "motionbench.backbone.BackboneEntry",
}


def check_plugin(group: str, name: str, where: str, plugin: Any) -> None:
    """Raises PluginError saying what was expected of a loaded entry point, what came, and how to mend it."""
    fault = _fault(group, plugin)
    if fault is not None:
        raise PluginError(
            f"{group[:-1]} {name!r} ({where}): expected what {DOCUMENTED[group]} describes, got {fault}; "
            "mend the class or the entry point that names it"
        )


def _fault(group: str, plugin: Any) -> str | None:
    if group == "backbones":
        return None if isinstance(plugin, BackboneEntry) else f"{_described(plugin)}, which is no BackboneEntry"
    members = MEMBERS.get(group)
    if members is None:
        return None
    if not isinstance(plugin, type):
        return f"{_described(plugin)}, which is no class"
    for member, kind in members.items():
        fault = _member_fault(plugin, member, kind)
        if fault is not None:
            return f"{plugin.__name__} {fault}"
    return None


def _member_fault(plugin: type, member: str, kind: type | None) -> str | None:
    if not hasattr(plugin, member):
        return f"without {member!r}"
    value = getattr(plugin, member)
    if kind is None:
        return None if callable(value) else f"whose {member!r} cannot be called"
    if not isinstance(value, kind):
        return f"whose {member!r} is {value!r}, no {kind.__name__}"
    if member == "Config" and not is_dataclass(value):
        return f"whose Config {value!r} is no dataclass"
    return None


def _described(plugin: Any) -> str:
    name = getattr(plugin, "__name__", "")
    return f"the {type(plugin).__name__} {name}" if name else f"a {type(plugin).__name__}"
