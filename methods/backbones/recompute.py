"""Activation checkpointing of as many blocks as memory asks for, and of no more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from .streaming import is_streamed

# Activations that a block keeps for its gradient, in numbers of the model's type for each token: the hidden and the
# activated layer of the feed-forward part, and this many times the width for all the rest. An H100 kept at 7,800 tokens
# 20 widths in all with compiled blocks of 1.3B (2 * 5.83 + 8.3), 23 with plain ones, and 17.5 with compiled ones of 14B
# (2 * 2.7 + 12.1); with 10.5 here, plain blocks of 14B ran out of memory. LoRAs are in it, which weigh more on 14B.
# Compiled blocks of 14B took 56.1 GB of the 57 that an H200 was given, and 54.9 by 14 here.
_PLAIN_WIDTHS, _COMPILED_WIDTHS = 14.0, 12.5


def kept_bytes(transformer: Any, tokens: int, itemsize: int, *, compiled: bool = False) -> int:
    """Estimated bytes that one block keeps for its gradient, for `tokens` tokens of a whole batch."""
    config = transformer.config
    width = config.num_attention_heads * config.attention_head_dim
    widths = _COMPILED_WIDTHS if compiled else _PLAIN_WIDTHS
    kept: int = math.ceil(tokens * itemsize * (2 * config.ffn_dim + widths * width))
    return kept


def blocks_to_recompute(
    transformer: Any, tokens: int, itemsize: int, free_bytes: int, *, compiled: bool = False
) -> int:
    """How many blocks must be recomputed so that a training step fits in `free_bytes` beside model and optimizer.

    A recomputed block keeps its input only, and one block at a time is there in full.
    """
    config, count = transformer.config, len(transformer.blocks)
    block = kept_bytes(transformer, tokens, itemsize, compiled=compiled)
    own_input = tokens * itemsize * config.num_attention_heads * config.attention_head_dim
    missing = (count + 1) * block - free_bytes
    wanted: int = math.ceil(missing / (block - own_input))
    return min(count, max(0, wanted))


@contextmanager
def recomputed(transformer: Any, blocks: int, *, random: bool = False) -> Iterator[None]:
    """Gradient checkpointing of the first `blocks` blocks inside the block; the numbers are the same.

    The first ones, since their gradients come last: what the other blocks kept is gone by then, and the recomputed
    activations find room. random: blocks draw numbers (dropout), the same ones when they run again; else that state is
    not kept, which takes the host time.
    """
    if blocks <= 0 or transformer.gradient_checkpointing:
        yield
        return
    chosen = {id(block) for block in list(transformer.blocks)[:blocks]}

    def run(block: Any, *arguments: Any) -> Any:
        if id(block) not in chosen or is_streamed(block):  # streamed ones do so anyway
            return block(*arguments)
        return whole_checkpoint(block, arguments, random=random)

    transformer.enable_gradient_checkpointing(run)
    try:
        yield
    finally:
        transformer.disable_gradient_checkpointing()


def whole_checkpoint(block: Any, arguments: tuple[Any, ...], *, random: bool) -> Any:
    """The block's output, with its activations recomputed for the gradient. Raises what the block raises.

    Up to torch 2.11, a checkpoint that an exception leaves, such as a tap's that ends the forward pass, stays open as
    long as the traceback lives, and takes in what is computed meanwhile; so exceptions are carried around it.
    """
    raised: list[Exception] = []
    forward = True

    def contained(*given: Any) -> Any:
        try:
            return block(*given)
        except Exception as error:
            if not forward:  # it runs once more in the backward pass, where torch listens itself
                raise
            raised.append(error)

    out = checkpoint(contained, *arguments, use_reentrant=False, preserve_rng_state=random)
    forward = False
    if raised:
        raise raised.pop()
    return out


def free_device_bytes(device: torch.device, limit_bytes: int | None) -> int | None:
    """What a limit (None: nine tenths of the card) leaves beside what torch has allocated; None on the CPU."""
    if device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(device).total_memory * 9 // 10
    return int(min(total, limit_bytes or total) - torch.cuda.memory_allocated(device))
