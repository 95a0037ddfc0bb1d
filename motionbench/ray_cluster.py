"""The Ray cluster: how it is reached, what its nodes have, and whether each of them would give the same numbers."""

from __future__ import annotations

import logging
import os
import re
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import motionbench
from motionbench import registry
from motionbench.errors import ConfigError, MissingExtra, MotionBenchError
from motionbench.files import make_folder, write_atomically
from motionbench.job import NO_BACKBONE, Job
from motionbench.plan import SHARED
from motionbench.ray_node import Questions, account
from motionbench.store import ResultStore

logger = logging.getLogger(__name__)

REACH_SECONDS = 5.0  # for the head of the cluster to accept a connection
ACCOUNT_SECONDS = 120.0  # for a node to start a process, import this package and look for its weights
LOCAL, AUTO = "local", "auto"  # addresses: a cluster of this machine for this run; the one that runs here


def require_ray() -> Any:
    """The ray module. Raises MissingExtra if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtra("engine ray needs ray; pip install 'motionbench-transfer[ray]'") from error
    return ray


@contextmanager
def connected(engine: str, address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster until the block ends; None for other engines. Blocks may be nested.

    Without an address (nor $RAY_ADDRESS) a cluster of this machine is started, and ends with the block.
    Raises MissingExtra, MotionBenchError if the cluster cannot be reached or has another version of Ray.
    """
    if engine != "ray":
        yield None
        return
    ray = require_ray()
    if ray.is_initialized():
        yield ray
        return
    connect(ray, address or os.environ.get("RAY_ADDRESS") or LOCAL)
    try:
        yield ray
    finally:
        ray.shutdown()


def connect(ray: Any, address: str) -> None:
    """Connects to a cluster. Raises ConfigError, MotionBenchError."""
    quiet = {"log_to_driver": False, "logging_level": logging.WARNING, "configure_logging": False}
    if address == LOCAL:
        ray.init(address=LOCAL, include_dashboard=False, **quiet)
        return
    if address != AUTO:
        reach(address)
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # of many types, by the version of ray
        cause = error.__cause__ if isinstance(error, ConnectionError) and error.__cause__ else error
        said = " ".join(str(cause).split())
        if "ersion mismatch" in said:
            raise MotionBenchError(
                f"the cluster at {address} has another version of Ray or Python than this machine, which has Ray "
                f"{ray.__version__}: {said[:400]}; install the same on both"
            ) from error
        raise MotionBenchError(
            f"the cluster at {address} cannot be joined ({type(error).__name__}: {said[-400:]}); this command "
            "has to run on one of its machines: `ray start --address HOST:PORT` there makes it one"
        ) from error


def reach(address: str) -> None:
    """Raises ConfigError if the address is none, MotionBenchError if nobody answers there."""
    match = re.fullmatch(r"\[?([^\[\]/]+?)\]?:(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 65536:
        raise ConfigError(f"--address takes HOST:PORT of the cluster's head, `auto` or `local`, got {address!r}")
    try:
        socket.create_connection((match[1], int(match[2])), REACH_SECONDS).close()
    except OSError as error:
        raise MotionBenchError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); check the address, and that "
            "`ray start --head --port PORT` runs there"
        ) from error


@dataclass(frozen=True)
class Share:
    """What one worker takes of a node."""

    cpus: float
    gpus: float = 0.0

    @classmethod
    def of(cls, job: Job) -> Share:
        """For a job: its threads on a CPU; on a GPU what the backbone says that it needs of one, or how many."""
        if job.device == "cpu":
            return cls(job.threads or 1)
        return cls(1, registry.load("backbones", job.plan.backbone).gpus)

    def fits(self, resources: Mapping[str, float]) -> int:
        """How many workers a node with these resources has room for."""
        room = [resources.get(name, 0.0) / part for name, part in (("CPU", self.cpus), ("GPU", self.gpus)) if part]
        return int(min(room) + 1e-9)

    def __str__(self) -> str:
        return f"{self.cpus:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")


def live_nodes(ray: Any) -> list[dict[str, Any]]:
    """The nodes that are up, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def room(ray: Any, share: Share) -> int:
    """How many workers the cluster has room for now."""
    return sum(share.fits(node["Resources"]) for node in live_nodes(ray))


def check_nodes(ray: Any, job: Job, store: ResultStore) -> str:
    """Asks every node that will work whether it would give the same numbers; returns their devices in words.

    Raises MotionBenchError with a sentence on each fault of a node.
    """
    share = Share.of(job)
    nodes = [node for node in live_nodes(ray) if share.fits(node["Resources"])]
    if not nodes:
        raise MotionBenchError(f"no node of the cluster has room for a worker, which takes {share}")
    split = job.selection(store.folder)["split"]
    questions = Questions(job.plan.method, job.backbone, job.device.partition(":")[0], split)
    if job.plan.storage == SHARED:
        with shared_mark(store) as mark:
            said = ask(ray, nodes, replace(questions, shared=str(store.folder.resolve()), mark=mark))
    else:
        said = ask(ray, nodes, questions)
    if not said:
        raise MotionBenchError("no node of the cluster answers; wait until lost ones are back, then repeat the command")
    here = account(replace(questions, backbone=NO_BACKBONE, device="cpu"))
    here |= {"weights": job.configuration["backbone_revision"], "split": job.split.revision}
    faults = [fault for node, words in said.items() for fault in faults_of(node, words, here)]
    if faults:
        raise MotionBenchError("the cluster cannot do this run: " + "; ".join(faults))
    kinds = sorted({kind for node in nodes for kind in accelerators(node)}) if job.device != "cpu" else []
    devices = kinds or sorted({words["device"] for words in said.values() if "device" in words})
    return f"{len(said)} Ray nodes: {', '.join(devices)}"


def accelerators(node: Mapping[str, Any]) -> list[str]:
    """The kinds of GPUs of a node, as Ray calls them."""
    mark = "accelerator_type:"
    return [name.removeprefix(mark) for name in node["Resources"] if name.startswith(mark)]


def ask(ray: Any, nodes: Sequence[Mapping[str, Any]], questions: Questions) -> dict[str, dict[str, Any]]:
    """The account of each node that is there, by its address. One that has none to give has a fault."""
    task = ray.remote(num_cpus=0, max_retries=0)(account)
    asked = {}
    for node in nodes:
        there = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        name = f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"
        asked[name] = task.options(scheduling_strategy=there).remote(questions)
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=ACCOUNT_SECONDS)
    said: dict[str, dict[str, Any]] = {}
    for name, answer in asked.items():
        if answer not in ready:
            said[name] = {"faults": [f"it does not answer within {ACCOUNT_SECONDS:g} s"]}
            continue
        try:
            said[name] = ray.get(answer)
        except Exception as error:  # of any type: what is installed there decides
            if isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError):
                logger.warning("node %s is left out: it is gone (%s)", name, type(error).__name__)
                continue
            why = " ".join(str(error).split())[-200:]
            said[name] = {"faults": [f"motionbench {motionbench.__version__} cannot be loaded there ({why})"]}
    return said


def faults_of(node: str, said: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each way in which a node would give other numbers than this machine, or none."""
    for fault in said["faults"]:
        yield f"node {node}: {fault}"
    for key, what in (("motionbench", "motionbench"), ("weights", "weights"), ("split", "split revision")):
        if key in said and said[key] != here[key]:
            yield f"node {node} has {what} {said[key]}, this machine {here[key]}; install the same there"
    versions = said.get("versions", here["versions"])
    other = [f"{name} {versions[name]}" for name, version in here["versions"].items() if versions.get(name) != version]
    if other:
        logger.warning("node %s has %s, unlike this machine; last digits may differ", node, ", ".join(other))


@contextmanager
def shared_mark(store: ResultStore) -> Iterator[str]:
    """A file in the results folder by which nodes show that they see it; its name."""
    make_folder(store.folder)
    mark = store.folder / f".shared-{uuid.uuid4().hex}.tmp"
    write_atomically(mark, b"")
    try:
        yield mark.name
    finally:
        mark.unlink(missing_ok=True)
