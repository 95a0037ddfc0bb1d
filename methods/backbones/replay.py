"""Replayed steps: what a training step gives to the GPU is recorded once, and then given to it as one piece.

A step on a single frame launches thousands of small kernels, and a GPU waits for the host that launches them. Recorded
in a CUDA graph, with gradient clipping and the optimizer, a step is one launch: 33 ms in place of 105 on 1.3B (H100).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from motionbench.fallbacks import fall_back

from .draws import Draw

WARMUP = 3  # plain steps before a recording: kernels are compiled and chosen, and the optimizer has its moments
MOST_RECORDINGS = 8  # variants of a step; each keeps its own launches, all share one pool of memory

Step = Callable[[Draw], None]


class Recorder(Protocol):
    """Records what a step does on a draw, without doing it; the result does it on another draw of the same shapes."""

    def record(self, step: Step, draw: Draw) -> Step: ...


class CudaRecorder:
    """Records steps in CUDA graphs. What a step reads besides its draw must keep its place in memory."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self.stream = stream
        self._pool: Any = None

    def record(self, step: Step, draw: Draw) -> Step:
        """The replay of a step. Raises RuntimeError where the step cannot be recorded, or memory does not suffice."""
        recorded = Draw(tuple(tensor.clone() for tensor in draw.tensors), draw.variant)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self.stream, capture_error_mode="thread_local"):
            step(recorded)
        self._pool = graph.pool()

        def replay(new: Draw) -> None:
            for kept, value in zip(recorded.tensors, new.tensors, strict=True):
                kept.copy_(value)
            graph.replay()

        return replay


class ReplayedSteps:
    """A step that runs as it is at first, and is replayed from then on, each variant of its draws for itself.

    recorder: None never replays. If a recording fails, that is told once and the steps go on as they are.
    """

    def __init__(self, step: Step, recorder: Recorder | None) -> None:
        self.step, self.recorder = step, recorder
        self._seen: dict[Hashable, int] = {}
        self._replays: dict[Hashable, Step] = {}

    @property
    def replaying(self) -> bool:
        """Whether any variant is replayed by now."""
        return bool(self._replays)

    def __call__(self, draw: Draw) -> None:
        """Takes one step on a draw."""
        replay = self._replays.get(draw.variant) or self._record(draw)
        if replay is not None:
            replay(draw)
            return
        self._seen[draw.variant] = self._seen.get(draw.variant, 0) + 1
        self.step(draw)

    def _record(self, draw: Draw) -> Step | None:
        due = self._seen.get(draw.variant, 0) >= WARMUP and len(self._replays) < MOST_RECORDINGS
        if self.recorder is None or not due:
            return None
        try:
            self._replays[draw.variant] = self.recorder.record(self.step, draw)
        except RuntimeError as error:  # CUDA's errors and a lack of memory are such, too
            self.recorder = None
            fall_back("replaying training steps", "every step is launched by the host", error)
            return None
        return self._replays[draw.variant]


@contextmanager
def recorder_on(device: torch.device, wanted: bool) -> Iterator[Recorder | None]:
    """A recorder on a stream of its own, on which all inside is computed; None, and no other stream, if not wanted."""
    if not wanted or device.type != "cuda":
        yield None
        return
    stream, outer = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    stream.wait_stream(outer)
    try:
        with torch.cuda.stream(stream):
            yield CudaRecorder(stream)
    finally:
        outer.wait_stream(stream)
