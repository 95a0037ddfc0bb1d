"""Feature taps: what chosen blocks of a Wan-type transformer hand on, with a way to skip the blocks after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from motionbench.errors import ConfigError, ShapeError

from ..backbones.backbone import Backbone


class StopForward(Exception):
    """Raised inside a forward pass by a tap that has all it wants; `until_stopped` ends there quietly."""


@contextmanager
def until_stopped() -> Iterator[None]:
    """A block that a `StopForward` ends early: what stands behind the forward pass in it is then not reached."""
    with suppress(StopForward):
        yield


class Taps:
    """The features caught in a forward pass, by block: `taps[3]` is (B, T, h, w, D) float32, a grid of tokens."""

    def __init__(self) -> None:
        self._tokens: dict[int, Tensor] = {}
        self._grid: tuple[int, int, int] | None = None

    def __getitem__(self, block: int) -> Tensor:
        """The features of a tapped block. Raises ShapeError if no forward pass has reached it."""
        if block not in self._tokens or self._grid is None:
            raise ShapeError(f"no features of block {block}; run the transformer inside the tap first")
        t, h, w = self._grid
        return rearrange(self._tokens[block].float(), "b (t h w) d -> b t h w d", t=t, h=h, w=w)

    def _see_grid(self, module: Any, inputs: Any, output: Tensor) -> None:
        self._grid = (int(output.shape[2]), int(output.shape[3]), int(output.shape[4]))

    def _catch(self, block: int, last: bool, module: Any, inputs: tuple[Tensor, ...]) -> None:
        if block in self._tokens:  # gradient checkpointing runs blocks a second time, in the backward pass
            return
        self._tokens[block] = inputs[0]
        if last:
            raise StopForward


@contextmanager
def tap_blocks(transformer: Any, blocks: Sequence[int], *, stop: bool = False) -> Iterator[Taps]:
    """Catch the output hidden states of blocks (0-based) in the first forward pass inside; gradients flow through them.

    stop: end the block of code once the last of them is caught, so that the blocks after it cost nothing:

        with tap_blocks(transformer, [4], stop=True) as taps:
            backbone.velocity(latents, t, text)  # nothing behind this line is reached
        taps[4]

    Raises ConfigError naming the blocks there are.
    """
    taps, count = Taps(), len(transformer.blocks)
    check_blocks(blocks, count)
    followers = [*transformer.blocks, transformer.norm_out][1:]
    handles = [transformer.patch_embedding.register_forward_hook(taps._see_grid)]
    for block in sorted(set(blocks)):
        # What a block hands on is what the next module takes. Caught there it lies outside the block's own gradient
        # checkpoint, so that stopping leaves no checkpoint half done.
        catch = partial(taps._catch, block, stop and block == max(blocks))
        handles.append(followers[block].register_forward_pre_hook(catch))
    try:
        with until_stopped():
            yield taps
    finally:
        for handle in handles:
            handle.remove()


def block_features(backbone: Backbone, latents: Tensor, t: Tensor, text: Tensor, block: int) -> Tensor:
    """Hidden states (B, T, h, w, D) float32 that a block hands on; latents (B, C, F, h, w), t (B,), text (B, L, D)."""
    with tap_blocks(backbone.transformer, [block], stop=True) as taps:
        backbone.velocity(latents, t, text)
    return taps[block]


def check_blocks(blocks: Sequence[int], count: int) -> None:
    """Raises ConfigError unless there is a block and all are in 0 ... count - 1."""
    if not blocks or not all(0 <= block < count for block in blocks):
        raise ConfigError(f"block must be in 0 ... {count - 1} on this backbone, got {list(blocks)}")


def middle_block(backbone: Backbone, block: int | None) -> int:
    """The block that was asked for, or if none was, the one in the middle: 15 of 30, 20 of 40. Raises ConfigError."""
    count = len(backbone.transformer.blocks)
    chosen = count // 2 if block is None else block
    check_blocks([chosen], count)
    return chosen


def spatial_mean(features: Tensor) -> Tensor:
    """(B, T, D) means over the places of features (B, T, h, w, D)."""
    return torch.mean(features, dim=(2, 3))
