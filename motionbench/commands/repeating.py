"""The command line that does a run again, made from what its run.json says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from motionbench import registry
from motionbench.config import build_config
from motionbench.job import NO_BACKBONE, resolve_dtype
from motionbench.plan import config_to_json
from motionbench.store import ResultStore


def retry_command(store: ResultStore, verb: str) -> str:
    """What tries the failed cases of a results folder again. verb: `run` or `eval`."""
    run = store.read_run()
    words = ["motionbench", verb, *configuration_words(run["configuration"]), *selection_words(run["selection"])]
    return shlex.join([*words, "--out", str(store.folder), "--retry-failed"])


def configuration_words(configuration: Mapping[str, Any]) -> list[str]:
    """The options that give this method, these settings, this backbone and number type; defaults are left out."""
    method, backbone = registry.load("methods", configuration["method"]), str(configuration["backbone"])
    words = ["--method", method.name]
    if backbone != NO_BACKBONE:
        words += ["--backbone", backbone, "--device", configuration["device_type"]]
        if configuration["dtype"] != resolve_dtype("auto", backbone):
            words += ["--dtype", configuration["dtype"]]
        if "threads" in configuration:
            words += ["--threads", str(configuration["threads"])]
    usual = config_to_json(build_config(method, backbone=backbone))
    for key, value in configuration["config"].items():
        if value != usual.get(key):
            words += ["--set", f"{key}={_text(value)}"]
    return words


def selection_words(selection: Mapping[str, Any]) -> list[str]:
    """The options that choose these cases."""
    words = ["--split", selection["split"]]
    for option, name in (("--category", "categories"), ("--level", "levels"), ("--seed", "seeds")):
        words += [word for value in selection.get(name, []) for word in (option, str(value))]
    return words + (["--limit", str(selection["limit"])] if selection["limit"] else [])


def _text(value: Any) -> str:
    """A setting as `--set` takes it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)
