"""What methods need of a transformer: blocks with a self-attention of Wan's parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from motionbench.errors import ConfigError

PARTS = ("to_q", "to_k", "to_v", "to_out")
WAN = ("tiny", "wan2.1-1.3b", "wan2.1-14b")


def self_attentions(transformer: Any) -> list[Any]:
    """The self-attention of every block (`blocks[i].attn1`), or an empty list if the transformer is not built so."""
    found = [getattr(block, "attn1", None) for block in getattr(transformer, "blocks", ())]
    return found if all(hasattr(attention, part) for attention in found for part in PARTS) else []


def require_self_attentions(method: str, backbone: Any) -> None:
    """Raises ConfigError naming the backbones that a method can run on, unless this is one of their kind."""
    if not self_attentions(backbone.transformer):
        raise ConfigError(
            f"{method} cannot run on backbone {backbone.name}: it works on the self-attentions of a Wan-type "
            f"transformer (blocks[i].attn1 with {', '.join(PARTS)}), and this is a "
            f"{type(backbone.transformer).__name__}; it runs on {', '.join(WAN)} and other Wan-type backbones"
        )


@contextmanager
def frozen(transformer: Any) -> Iterator[None]:
    """No gradient for any weight inside the block; what asked for one before asks again afterwards."""
    asked = [p for p in transformer.parameters() if p.requires_grad]
    transformer.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in asked:
            parameter.requires_grad_(True)


@contextmanager
def hooked(modules: nn.ModuleList, handles: list[Any]) -> Iterator[nn.ModuleList]:
    """The modules while their hooks are in place; on leaving, the hooks are gone."""
    try:
        yield modules
    finally:
        for handle in handles:
            handle.remove()


class Grid:
    """Frames, rows and columns of the tokens of a transformer's current forward pass, frame-major."""

    def __init__(self, transformer: Any) -> None:
        self.shape = (0, 0, 0)
        self._patch = tuple(int(p) for p in transformer.config.patch_size)
        self.handle = transformer.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, module: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        latents = inputs[0] if inputs else named["hidden_states"]  # (B, C, F, h, w)
        f, h, w = (n // p for n, p in zip(latents.shape[2:], self._patch, strict=True))
        self.shape = (f, h, w)
