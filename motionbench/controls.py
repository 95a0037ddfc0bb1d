"""Floors and ceilings: the control methods of a run, kept beside it as results folders of their own.

`results/<name>/controls/<control>/` holds the same files as `results/<name>/`, so any of them can be scored, compared
or published like a run. Controls cost no backbone, and their clips do not depend on the seed: the run's first serves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from motionbench import registry
from motionbench.config import build_config
from motionbench.errors import PluginError, UnknownNameError
from motionbench.metric import MetricInfo
from motionbench.plan import RunPlan
from motionbench.record import Record
from motionbench.runner import Observer, run
from motionbench.store import ResultStore

logger = logging.getLogger(__name__)

FOLDER = "controls"


def control_stores(store: ResultStore) -> dict[str, ResultStore]:
    """The controls that lie beside a run, by method name."""
    folders = sorted((store.folder / FOLDER).glob("*/run.json"))
    return {path.parent.name: ResultStore(path.parent) for path in folders}


def run_controls(plan: RunPlan, store: ResultStore, infos: Iterable[MetricInfo], observer: Observer) -> list[Record]:
    """Generates the controls that the metrics name as floor and ceiling, for the same cases as `plan`.

    Of a metric's ceilings the first that yields a clip is taken: `oracle` where the motion is known, else `copy`.
    A control that the plan itself runs is not run twice. Returns the controls' records for the plan's cases.
    """
    made: dict[str, list[Record]] = {}
    for info in infos:
        for names in ((info.floor,), info.ceiling):
            for name in names:
                if name == plan.method:
                    break
                if name not in made:
                    made[name] = _run_control(plan, store, name, observer)
                if any(record.status == "ok" for record in made[name]):
                    break
    return [record for records in made.values() for record in records]


def _run_control(plan: RunPlan, store: ResultStore, name: str, observer: Observer) -> list[Record]:
    try:
        config = build_config(registry.load("methods", name), backbone=plan.backbone)
    except (UnknownNameError, PluginError) as error:  # a broken plugin costs a column of the table, not the run
        logger.warning("control %s is left out: %s", name, error)
        return []
    logger.info("control %s", name)
    control = replace(plan, method=name, config=config, seeds=plan.seeds[:1], keep_adapters=False)
    return list(run(control, ResultStore(store.folder / FOLDER / name), observer=observer).records)
