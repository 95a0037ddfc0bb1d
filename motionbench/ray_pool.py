"""A pool of actors on a Ray cluster: as many as there is room for, each with one order at a time.

It does no work and knows no results: what is handed out, what comes back and what becomes of a lost order is the
`Work`'s to say. Actors that are lost, and nodes that join, are seen to as long as orders wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from motionbench.errors import MotionBenchError
from motionbench.pace import Pace
from motionbench.ray_cluster import Share, room

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # without news, before nodes and pace are looked at
LEAST_STARTS = 5  # actors that end before they are ready, and none that is
NO_ROOM_SECONDS = 300.0  # without a node for a single actor, before the command gives up


class Work(Protocol):
    """Orders of any kind, handed out one by one."""

    @property
    def pace(self) -> Pace:
        """How the orders come on."""

    def __len__(self) -> int:
        """How many wait."""

    def next(self) -> Any:
        """The next order; None if none waits."""

    def arguments(self, order: Any) -> tuple[Any, ...]:
        """What an actor's `work` gets for an order."""

    def hear(self, kind: str, value: Any) -> None:
        """Takes what an actor sent. Raises what ends the command."""

    def done(self, order: Any) -> None:
        """All of an order came back."""

    def lost(self, order: Any, why: str) -> None:
        """The actor with an order is gone; it waits again, or has failed."""


@dataclass
class Member:
    """An actor, and the order that it works on; None before it is ready, and while nothing waits."""

    actor: Any
    order: Any = None


class Pool:
    """Actors that `make` starts, at most `limit`, each with its share of a node."""

    def __init__(self, ray: Any, make: Callable[[], Any], share: Share, limit: int | None, work: Work) -> None:
        self.ray, self.make, self.share, self.limit, self.work = ray, make, share, limit, work
        self._news: dict[Any, Member] = {}  # what is waited for -> whose it is
        self._idle: list[Member] = []
        self._unready = 0
        self._room_seen = time.monotonic()

    def run(self) -> None:
        """Has all orders done. Raises what `Work.hear` raises, MotionBenchError if actors cannot be started."""
        try:
            while len(self.work) or any(member.order is not None for member in self._news.values()):
                self._engage()
                ready, _ = (
                    self.ray.wait(list(self._news), num_returns=1, timeout=LOOK_SECONDS) if self._news else ([], [])
                )
                if not self._news:
                    time.sleep(LOOK_SECONDS)
                for token in ready:
                    self._hear(token, self._news.pop(token))
                self.work.pace.tell()
        finally:
            for member in [*self._news.values(), *self._idle]:
                with suppress(Exception):  # it may be gone, and so may the cluster
                    self.ray.kill(member.actor)

    def _engage(self) -> None:
        """Gives orders to idle actors, and starts as many more as there is work and room for."""
        while self._idle and len(self.work):
            self._give(self._idle.pop())
        there = room(self.ray, self.share)
        if there or self._news:
            self._room_seen = time.monotonic()
        elif time.monotonic() - self._room_seen > NO_ROOM_SECONDS:
            raise MotionBenchError(
                f"no node of the cluster has had room for a worker, which takes {self.share}, for "
                f"{NO_ROOM_SECONDS:g} s; what is on record stays, and the same command goes on"
            )
        starting = sum(member.order is None for member in self._news.values())
        wanted = min(there, self.limit or there) - len(self._news)
        for _ in range(min(wanted, len(self.work) - starting)):
            member = Member(self.make())
            self._news[member.actor.hello.remote()] = member

    def _give(self, member: Member) -> None:
        member.order = self.work.next()
        if member.order is None:
            self._idle.append(member)
            return
        stream = member.actor.work.options(num_returns="streaming").remote(*self.work.arguments(member.order))
        self._news[stream] = member

    def _hear(self, token: Any, member: Member) -> None:
        """Takes one piece of news: that an actor is ready, a part of its order, the end of it, or its own end."""
        try:
            if member.order is None:
                self.ray.get(token)
                self._unready = 0
                self._give(member)
                return
            kind, value = self.ray.get(next(token))
        except StopIteration:
            self.work.done(member.order)
            self._give(member)
        except self.ray.exceptions.RayError as error:
            self._bury(member, error)
        else:
            self._news[token] = member
            self.work.hear(kind, value)

    def _bury(self, member: Member, error: Exception) -> None:
        with suppress(Exception):  # it is gone, as a rule
            self.ray.kill(member.actor)
        name = type(error).__name__
        if member.order is not None:
            self.work.lost(member.order, f"on the cluster was lost ({name})")
            return
        self._unready += 1
        if self._unready >= LEAST_STARTS:
            raise MotionBenchError(
                f"{self._unready} workers in a row ended before they were ready: {name}: {error}"
            ) from error
