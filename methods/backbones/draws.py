"""Random draws of training steps: made on the CPU in a fixed order, and on the device before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

AHEAD = 3  # steps whose draws are on their way while an earlier one is computed


@dataclass(frozen=True, eq=False)
class Draw:
    """What one step draws: tensors of fixed shapes, and a `variant` by which steps differ beyond the numbers in them.

    Steps of one variant run the same operations; which frames an excerpt has, say, is a variant.
    """

    tensors: tuple[Tensor, ...]
    variant: Hashable = None


@dataclass(eq=False)
class _Slot:
    """Pinned and device memory of one draw, used again and again; events say when it may be."""

    pinned: tuple[Tensor, ...]
    device: tuple[Tensor, ...]
    copied: torch.cuda.Event = field(default_factory=torch.cuda.Event)
    used: torch.cuda.Event = field(default_factory=torch.cuda.Event)


class DrawsAhead:
    """The draws of `count` steps, in order; on a GPU, each is copied there while earlier steps are computed.

    `draw` is called `count` times and no more, so a generator that others share ends where it would have anyway.
    Copies go from pinned memory on a stream of their own, and no copy makes the host wait for the device's work.
    """

    def __init__(self, draw: Callable[[], Draw], count: int, device: torch.device) -> None:
        self.draw, self.left, self.device = draw, count, device
        self._on_gpu = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if self._on_gpu else None
        self._ready: deque[tuple[Draw, _Slot | None]] = deque()
        self._free: deque[_Slot] = deque()
        self._taken: _Slot | None = None

    def take(self) -> Draw:
        """The next draw, on the device; the one taken before is given up. Raises IndexError past the last one."""
        self._give_up()
        if not self._ready:
            self._fetch()
        draw, self._taken = self._ready.popleft()
        if self._taken is not None:
            torch.cuda.current_stream(self.device).wait_event(self._taken.copied)
        return draw

    def look_ahead(self) -> None:
        """Draws for the steps to come; to be called when a step has been given to the device."""
        self._give_up()
        while self._on_gpu and self.left and len(self._ready) < AHEAD:
            self._fetch()

    def _give_up(self) -> None:
        if self._taken is not None:
            self._taken.used.record(torch.cuda.current_stream(self.device))
            self._free.append(self._taken)
            self._taken = None

    def _fetch(self) -> None:
        if not self.left:
            raise IndexError("all draws have been taken")
        self.left -= 1
        drawn = self.draw()
        slot = self._slot(drawn.tensors) if self._on_gpu else None
        self._ready.append((drawn if slot is None else replace(drawn, tensors=slot.device), slot))

    def _slot(self, tensors: tuple[Tensor, ...]) -> _Slot:
        shapes = [(t.shape, t.dtype) for t in tensors]
        slot = next((s for s in self._free if [(t.shape, t.dtype) for t in s.pinned] == shapes), None)
        if slot is None:
            pinned = tuple(torch.empty_like(t, pin_memory=True) for t in tensors)
            slot = _Slot(pinned, tuple(torch.empty_like(t, device=self.device) for t in tensors))
            slot.used.record(torch.cuda.current_stream(self.device))  # the memory was other tensors' before
        else:
            self._free.remove(slot)
            slot.copied.synchronize()  # of a copy that a step has used since: no wait, but for a host far ahead
        for kept, new in zip(slot.pinned, tensors, strict=True):
            kept.copy_(new)
        assert self._stream is not None
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(slot.used)
            for there, here in zip(slot.device, slot.pinned, strict=True):
                there.copy_(here, non_blocking=True)
            slot.copied.record(self._stream)
        return slot
