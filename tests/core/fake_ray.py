"""ray's face as the engine uses it, in one process: nodes that say what a test wants, and actors that can be lost."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any


class RayError(Exception):
    """As ray.exceptions.RayError."""


class RayTaskError(RayError):
    """What a task raised."""


class NodeDiedError(RayError):
    """A node is gone."""


class ActorDiedError(RayError):
    """An actor is gone."""


@dataclass
class Node:
    """A node: what it has, and how its account of itself differs from the truth."""

    name: str
    resources: dict[str, float] = field(default_factory=lambda: {"CPU": 2.0})
    says: Callable[[dict[str, Any]], dict[str, Any]] = lambda said: said


class FakeRay(ModuleType):
    """lose(order): whether the actor with that order is lost after the first part that it hands over."""

    def __init__(self, nodes: list[Node] | None = None, lose: Callable[[Any], bool] = lambda order: False) -> None:
        super().__init__("ray")
        self.listed = [Node("10.0.0.1")] if nodes is None else nodes
        self.lose = lose
        self.__version__ = "0.0"
        self.started: list[dict[str, Any]] = []  # the options of each actor
        self.killed = 0
        self.addresses: list[str] = []
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        there = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        self.util = SimpleNamespace(scheduling_strategies=there)

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"GPU": sum(node.resources.get("GPU", 0.0) for node in self.listed)}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": node.name, "NodeManagerAddress": node.name, "Alive": True, "Resources": node.resources}
            for node in self.listed
        ]

    def remote(self, kind: Any = None, **options: Any) -> Any:
        if kind is None:
            return lambda function: _Function(self, function)
        return _Class(self, kind)

    def put(self, value: Any) -> Any:
        return pickle.loads(pickle.dumps(value))  # a node has a copy

    def get(self, token: Any) -> Any:
        return token()

    def wait(self, tokens: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        return tokens[-num_returns:], tokens[:-num_returns]  # last first: the order of ends must not matter

    def kill(self, actor: Any) -> None:
        self.killed += 1


class _Function:
    def __init__(self, ray: FakeRay, function: Callable[..., Any]) -> None:
        self.ray, self.function = ray, function

    def options(self, scheduling_strategy: str) -> Any:
        node = next(node for node in self.ray.listed if node.name == scheduling_strategy)
        return SimpleNamespace(remote=lambda question: lambda: node.says(self.function(question)))


class _Class:
    def __init__(self, ray: FakeRay, kind: type) -> None:
        self.ray, self.kind = ray, kind

    def options(self, **options: Any) -> Any:
        def remote(*arguments: Any) -> Any:
            self.ray.started.append(options)
            actor = self.kind(*arguments)
            work = SimpleNamespace(options=lambda num_returns: SimpleNamespace(remote=self._stream(actor)))
            return SimpleNamespace(hello=SimpleNamespace(remote=lambda: lambda: actor.hello()), work=work)

        return SimpleNamespace(remote=remote)

    def _stream(self, actor: Any) -> Callable[..., Iterator[Any]]:
        def stream(order: Any, *rest: Any) -> Iterator[Any]:
            order, *rest = pickle.loads(pickle.dumps([order, *rest]))
            for part in actor.work(order, *rest):
                yield lambda part=part: pickle.loads(pickle.dumps(part))
                if self.ray.lose(order):
                    yield _die

        return stream


def _die() -> None:
    raise ActorDiedError("its process ended")
