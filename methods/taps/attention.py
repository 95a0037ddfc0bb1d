"""Attention taps: queries and keys of chosen self-attentions, with gradients, and a forward pass that ends early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from motionbench.errors import ShapeError

from ..backbones.backbone import Backbone
from ..backbones.compiling import plain_forward
from .features import StopForward, check_blocks, until_stopped
from .self_attention import compared_heads


@dataclass(frozen=True, eq=False)
class QueryKey:
    """Queries and keys of one self-attention, after norm and rotary embedding: each (B, K, N, d), frame-major."""

    query: Tensor
    key: Tensor


class AttentionTaps:
    """What one forward pass brought to the tapped blocks; `taps[3]` works out their queries and keys from it."""

    def __init__(self, transformer: Any) -> None:
        self._blocks = transformer.blocks
        self._inputs: dict[int, tuple[Any, ...]] = {}

    def __getitem__(self, block: int) -> QueryKey:
        """Queries and keys of a tapped block. Raises ShapeError if no forward pass has reached it."""
        if block not in self._inputs:
            raise ShapeError(f"no queries of block {block}; run the transformer inside the tap first")
        return _attended(self._blocks[block], self._inputs[block])

    def _catch(self, block: int, last: bool, module: Any, inputs: tuple[Any, ...]) -> None:
        if block in self._inputs:  # gradient checkpointing runs blocks a second time, in the backward pass
            return
        self._inputs[block] = inputs
        if last:
            raise StopForward


@contextmanager
def tap_attentions(transformer: Any, blocks: Sequence[int], *, stop: bool = False) -> Iterator[AttentionTaps]:
    """Catch what the first forward pass inside hands to these blocks (0-based); gradients flow through it.

    stop: end the block of code there, as `tap_blocks` does: not even the attention of the last of them is computed.
    Raises ConfigError naming the blocks there are.
    """
    check_blocks(blocks, len(transformer.blocks))
    taps = AttentionTaps(transformer)
    handles = []
    for block in sorted(set(blocks)):
        # What goes into a block lies outside its gradient checkpoint; what happens inside would be lost with it.
        catch = partial(taps._catch, block, stop and block == max(blocks))
        handles.append(transformer.blocks[block].register_forward_pre_hook(catch))
    try:
        with until_stopped():
            yield taps
    finally:
        for handle in handles:
            handle.remove()


def queries_and_keys(
    backbone: Backbone, latents: Tensor, t: Tensor, text: Tensor, blocks: Sequence[int]
) -> dict[int, QueryKey]:
    """Queries and keys of blocks on latents (B, C, F, h, w) at times t (B,) with text (B, L, D), by block.

    Gradients reach the latents unless the caller turns them off. Nothing behind the last block's queries and keys is
    computed or kept in memory.
    """
    with tap_attentions(backbone.transformer, blocks, stop=True) as taps:
        backbone.velocity(latents, t, text)
    return {block: taps[block] for block in blocks}


def _attended(block: Any, inputs: tuple[Any, ...]) -> QueryKey:
    """What a block's self-attention compares: the block itself runs up to there, so its own norms and shifts apply."""
    catcher = _Catcher()
    processor = block.attn1.processor
    block.attn1.processor = catcher
    try:
        with until_stopped():
            plain_forward(block)(*inputs)
    finally:
        block.attn1.processor = processor
    if catcher.caught is None:
        raise ShapeError("a block ended without self-attention; taps need a Wan-type transformer")
    return catcher.caught


class _Catcher:
    """An attention processor that keeps what it would compare, and goes no further."""

    def __init__(self) -> None:
        self.caught: QueryKey | None = None

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        query, key = compared_heads(attention, hidden_states, rotary_emb)
        self.caught = QueryKey(query.transpose(1, 2), key.transpose(1, 2))
        raise StopForward
