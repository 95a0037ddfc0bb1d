"""Floors and ceilings: the control methods of a run, kept beside it as results folders of their own.

`results/<name>/controls/<control>/` holds the same files as `results/<name>/`, so any of them can be scored, compared
or published like a run. Most of their clips do not depend on the seed: the run's first serves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from motionbench import registry
from motionbench.config import build_config
from motionbench.errors import ConfigError, PluginError, UnknownNameError
from motionbench.job import resolve
from motionbench.metric import MetricInfo
from motionbench.plan import RunPlan
from motionbench.record import Record
from motionbench.runner import Observer, run
from motionbench.store import ResultStore

logger = logging.getLogger(__name__)

FOLDER = "controls"
NONE = "none"  # the word for no control at all


def control_stores(store: ResultStore) -> dict[str, ResultStore]:
    """The controls that lie beside a run, by method name."""
    folders = sorted((store.folder / FOLDER).glob("*/run.json"))
    return {path.parent.name: ResultStore(path.parent) for path in folders}


def to_controls(words: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """The controls of `--controls a,b|none`; None: those that the metrics name. UnknownNameError, ConfigError."""
    if words is None:
        return None
    listed = words.split(",") if isinstance(words, str) else words
    names = [registry.canonical(word) for word in listed if word.strip()]
    if names == [NONE]:
        return ()
    for name in names:
        if not registry.load("methods", name).contract.is_control:
            raise ConfigError(f"--controls: {name} is no control but a method; see `motionbench list methods`")
    return tuple(dict.fromkeys(names))


def run_controls(
    plan: RunPlan,
    store: ResultStore,
    infos: Iterable[MetricInfo],
    observer: Observer,
    *,
    chosen: Sequence[str] | None = None,
) -> list[Record]:
    """Generates controls for the same cases as `plan`: those chosen, or those that the metrics name as both ends.

    Of a metric's ceilings the first that yields a clip is taken: `oracle` where the motion is known, else `copy`.
    A control that the plan itself runs is not run twice; one that cannot be had is left out with a line in the log.
    Returns the controls' records for the plan's cases.
    """
    named = [names for info in infos for names in ((info.floor,), info.ceiling)]
    made: dict[str, list[Record]] = {}
    for names in named if chosen is None else [(name,) for name in chosen]:
        for name in names:
            if name == plan.method:
                break
            if name not in made:
                made[name] = _run_control(plan, store, name, observer, wanted=chosen is not None)
            if any(record.status == "ok" for record in made[name]):
                break
    return [record for records in made.values() for record in records]


def _run_control(plan: RunPlan, store: ResultStore, name: str, observer: Observer, *, wanted: bool) -> list[Record]:
    try:
        hindrance = None if wanted else _needless(plan, name)
        config = build_config(registry.load("methods", name), backbone=plan.backbone)
    except (UnknownNameError, PluginError) as error:  # a broken plugin costs a column of the table, not the run
        logger.warning("control %s is left out: %s", name, error)
        return []
    control = replace(plan, method=name, config=config, seeds=plan.seeds[:1], keep_adapters=False)
    hindrance = hindrance or _lacking(control)
    if hindrance is not None:
        logger.info("control %s is left out: %s", name, hindrance)
        return []
    logger.info("control %s", name)
    return list(run(control, ResultStore(store.folder / FOLDER / name), observer=observer).records)


def _needless(plan: RunPlan, name: str) -> str | None:
    """Why a control that nobody asked for by name is not worth its cost here, or None."""
    needs, has = (registry.load("methods", method).contract.uses_backbone for method in (name, plan.method))
    return f"it needs a model and {plan.method} uses none; --controls {name} makes it" if needs and not has else None


def _lacking(control: RunPlan) -> str | None:
    """What a control would need and no case has, or None."""
    needed = resolve(control).sources.values()
    if not needed or any(all(path.is_file() for path in files) for files in needed):
        return None
    missing = next(path for files in needed for path in files if not path.is_file())
    return f"no case has the file that it reads beside the reference, such as {missing.name}"
