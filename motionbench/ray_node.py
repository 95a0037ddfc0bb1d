"""What runs on the nodes of a Ray cluster: the account that a node gives of itself, and the worker.

A node needs this package and the backbone's weights. It gets the files of each unit with the order, and hands back what
it made: nothing of the user's disk is read or written there, unless the plan says that the folders are shared.
"""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import motionbench
import motionbench.cpu_threads  # before torch is loaded
from motionbench import registry
from motionbench.device import describe_device, resolve_device
from motionbench.environment import versions
from motionbench.errors import MotionBenchError
from motionbench.files import scratch_folder
from motionbench.inputs import Inputs
from motionbench.job import NO_BACKBONE, Job
from motionbench.outcome import Order, Outcome
from motionbench.plan import RunPlan
from motionbench.split import Split, read_split, split_names
from motionbench.store import ResultStore
from motionbench.worker import MethodCache, Worker
from motionbench.worker_process import LOGGER, SentLog

Reply = tuple[str, Any]  # "outcome", "log" or "refused", and what it is about
# What makes numbers; what draws pages does not.
PACKAGES = ("motionbench", "motionbench.methods", "motionbench.metrics", "motionbench.data_cards")


@dataclass(frozen=True)
class Questions:
    """What a node is asked before anything is computed.

    split: name or path. shared: the results folder, if node and user share their folders; mark: a file in it.
    """

    method: str
    backbone: str
    device: str
    split: str
    shared: str | None = None
    mark: str = ""


def account(questions: Questions) -> dict[str, Any]:
    """What a node says of itself: code, versions, weights, split and device; `faults`: sentences on what it lacks."""
    said: dict[str, Any] = {
        "motionbench": f"{motionbench.__version__}, source {source_hash()}",
        "versions": versions(),
        "faults": [],
    }
    if questions.shared is not None and not (Path(questions.shared) / questions.mark).is_file():
        said["faults"].append(f"it does not see the results folder {questions.shared}")
    try:
        registry.load("methods", questions.method)
        if questions.backbone != NO_BACKBONE:
            entry = registry.load("backbones", questions.backbone)
            if entry.check is not None:
                entry.check()
            said["weights"] = entry.revision()
        if questions.shared is not None or questions.split in split_names():
            said["split"] = read_split(questions.split).revision
        if questions.device == "cpu":
            said["device"] = describe_device("cpu")
    except MotionBenchError as error:
        said["faults"].append(str(error))
    return said


@cache
def source_hash() -> str:
    """8 hex digits of the code that makes numbers: the version of a checkout says little."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        for place in sorted((spec and spec.submodule_search_locations) or []):
            for path in sorted(Path(place).rglob("*.py")):
                digest.update(path.relative_to(place).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:8]


@dataclass(frozen=True)
class NodeTask:
    """A job as nodes get it: what the user's machine looked up, so that all of them do the same.

    folder: the results folder, where nodes write videos and adapters because it is shared; else None.
    """

    plan: RunPlan
    split: Split
    configuration: dict[str, Any]
    run_id: str
    folder: str | None
    log_level: int

    def job(self) -> Job:
        """The job, on this node's device."""
        method_class = registry.load("methods", self.plan.method)
        uses_backbone = bool(method_class.contract.uses_backbone)
        device = resolve_device(self.plan.device, needs_torch=uses_backbone)
        return Job(self.plan, self.split, method_class, device, self.configuration)


class RemoteWorker:
    """A worker in a process of its own on a node, which keeps its method: an actor, in Ray's words."""

    def __init__(self, task: NodeTask) -> None:
        self.task = task
        self.methods = MethodCache()
        self.heard: SimpleQueue[Reply] = SimpleQueue()
        logging.getLogger().addHandler(SentLog(lambda kind, value: self.heard.put((kind, value))))
        logging.getLogger(LOGGER).setLevel(task.log_level)

    def hello(self) -> str:
        """The node's name, once the worker is ready."""
        return platform.node()

    def work(self, order: Order, inputs: Inputs | None) -> Iterator[Reply]:
        """What becomes of an order, each part as soon as it is known, and what is logged meanwhile."""
        try:
            yield from self._work(order, inputs)
        except MotionBenchError as error:  # weights missing, a full disk: the whole command's fault
            yield "refused", type(error)(f"node {platform.node()}: {error}")

    def _work(self, order: Order, inputs: Inputs | None) -> Iterator[Reply]:
        with scratch_folder() as folder:
            job = self.task.job() if inputs is None else inputs.unpack(self.task.job(), folder)
            worker = Worker(job, self.task.run_id, methods=self.methods)
            for outcome in worker.work(order):
                while not self.heard.empty():
                    yield self.heard.get()
                yield "outcome", self._sent(outcome, inputs, folder)
            plan = replace(self.task.plan, gpu_memory=worker.job.plan.gpu_memory)  # a smaller preset stands
            self.task = replace(self.task, plan=plan)

    def _sent(self, outcome: Outcome, inputs: Inputs | None, folder: Path) -> Outcome:
        """What the user's machine is told: all, or where folders are shared only what it has to write itself."""
        record = outcome.record
        if record is not None and record.error is not None and inputs is not None:
            record = replace(record, error=inputs.as_asked(record.error, folder))
        if self.task.folder is None:
            return replace(outcome, record=record)
        ResultStore(self.task.folder).take_files(outcome)
        return replace(outcome, adapter=None, video=None, record=record)
