"""The ray engine: the runner's own units of work, spread over GPUs and hosts that share the results folder."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from motionbench.attempt import Failure
from motionbench.environment import threads
from motionbench.errors import MissingExtra, MotionBenchError
from motionbench.plan import Job, RunPlan, Unit, resolve
from motionbench.record import Record
from motionbench.store import ResultStore
from motionbench.worker import Observer, SilentObserver, Worker, kept_method


def require_ray() -> Any:
    """The ray module. Raises MissingExtra if it is not installed."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("engine ray needs ray; pip install 'motionbench-transfer[ray]'") from error
    return ray


def run_with_ray(job: Job, store: ResultStore, run_id: str, units: list[Unit], observer: Observer) -> None:
    """Works on units in ray tasks, one GPU each where the job runs on GPUs.

    The folder and the split must be seen by all hosts at the same path. A task that ray itself loses fails its cases.
    Raises MissingExtra, and MotionBenchError as `Worker.work`.
    """
    ray = require_ray()
    ours = not ray.is_initialized()
    if ours:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        gpus = 1 if job.device.startswith("cuda") else 0
        task = ray.remote(num_cpus=1, num_gpus=gpus)(work_unit)
        plan = replace(job.plan, split=job.selection(store.folder)["split"], device=job.device.partition(":")[0])
        folder = str(store.folder.resolve())
        waiting = {task.remote(plan, folder, run_id, unit, threads()): unit for unit in units}
        while waiting:
            (ready,), _ = ray.wait(list(waiting), num_returns=1)
            for record in collect(ray, ready, waiting.pop(ready), Worker(job, store, run_id, SilentObserver())):
                observer.finished(record)
    finally:
        if ours:
            ray.shutdown()


def collect(ray: Any, ready: Any, unit: Unit, worker: Worker) -> list[Record]:
    """The records of a task that ended. What ray lost (a killed or overfull worker) becomes failed records here."""
    try:
        return list(ray.get(ready))
    except MotionBenchError:  # ray hands on the task's own error, as both types
        raise
    except Exception as error:
        failure = Failure.of(error)
    on_record = {record.key for record in worker.store.records()}
    left = tuple(case for case in unit.cases if worker.job.key(case, unit.seed) not in on_record)
    return worker.fail(replace(unit, cases=left), failure)


def work_unit(plan: RunPlan, folder: str, run_id: str, unit: Unit, compute_threads: int | None) -> list[Record]:
    """The task: what the local engine does with one unit."""
    job = resolve(plan)
    if compute_threads is not None and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(compute_threads)  # ray sets 1; the last bits of a float sum depend on it
    return Worker(job, ResultStore(Path(folder)), run_id, SilentObserver(), kept_method).work([unit])
