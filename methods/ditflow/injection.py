"""Keys and values of a reference in the place of a clip's own, in one self-attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..backbones.backbone import Backbone
from ..taps.features import StopForward, until_stopped


class Injection:
    """A switch: while `active`, the attention gets the reference's keys and values."""

    def __init__(self, kept: dict[str, Tensor]) -> None:
        self.kept = kept
        self.active = False

    def _replace(self, name: str, module: Any, inputs: Any, output: Tensor) -> Tensor | None:
        if not self.active:
            return None
        return self.kept[name].expand_as(output)


@contextmanager
def injection(backbone: Backbone, block: int, reference: Tensor) -> Iterator[Injection]:
    """Inside, a block's self-attention can be switched to keys and values of clean latents (1, C, F, h, w).

    They are exchanged as the projections give them, before norm and rotary embedding, which come to the same for the
    same places. The reference is read at time 0 with an empty prompt.
    """
    attention = backbone.transformer.blocks[block].attn1
    switch = Injection(_keys_and_values(backbone, attention, reference))
    modules = {"key": attention.to_k, "value": attention.to_v}
    handles = [module.register_forward_hook(partial(switch._replace, name)) for name, module in modules.items()]
    try:
        yield switch
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _keys_and_values(backbone: Backbone, attention: Any, reference: Tensor) -> dict[str, Tensor]:
    """What the key and value projections give on a reference: each (1, N, D)."""
    inputs: list[Tensor] = []

    def catch(module: Any, given: tuple[Tensor, ...]) -> None:
        inputs.append(given[0])
        raise StopForward

    handle = attention.to_k.register_forward_pre_hook(catch)
    try:
        with until_stopped():
            backbone.velocity(reference, torch.zeros(1, device=reference.device), backbone.encode_text([""]))
    finally:
        handle.remove()
    return {"key": attention.to_k(inputs[0]), "value": attention.to_v(inputs[0])}
