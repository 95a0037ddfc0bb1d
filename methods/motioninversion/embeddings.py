"""Motion Inversion's embeddings: one of each frame for queries and keys, one of each place for values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from motionbench.errors import ShapeError

from ..taps.self_attention import frozen, hooked, self_attentions
from ..taps.token_grid import CurrentGrid, TokenGrid

ValueKind = Literal["place", "frame_place", "none"]


class MotionEmbedding(nn.Module):
    """The embeddings of one self-attention, added to what it reads; zero at first, and always float32.

    motion: (F, 1, 1, d), for queries and keys. value: (1, h, w, d) `place`, (F, h, w, d) `frame_place`, or absent.
    While sampling (`debias`) values take the differences of consecutive frames: what the frames share, that is how the
    clip looks, is gone. An embedding of places alone is shared by all frames, so nothing of it is left.
    """

    def __init__(self, grid: TokenGrid, width: int, value: ValueKind) -> None:
        super().__init__()
        self.grid = grid
        self.debias = False
        self.motion = nn.Parameter(torch.zeros(grid.frames, 1, 1, width))
        self.value: nn.Parameter | None = None
        if value != "none":
            over = grid.frames if value == "frame_place" else 1
            self.value = nn.Parameter(torch.zeros(over, grid.height, grid.width, width))

    def value_embedding(self) -> Tensor | None:
        """What is added before the values: (1 or F, h, w, d), or None for nothing."""
        if self.value is None or not self.debias:
            return self.value
        if len(self.value) == 1:
            return None
        return torch.cat([torch.zeros_like(self.value[:1]), self.value.diff(dim=0)])

    def add(self, tokens: Tensor, embedding: Tensor, grid: TokenGrid) -> Tensor:
        """Tokens (B, F*h*w, d), frame-major, each with its embedding. Raises ShapeError on a grid of another shape."""
        if grid != self.grid:
            raise ShapeError(f"motion embeddings of {self.grid} frames, rows and columns met tokens of {grid}")
        placed = embedding.to(tokens.dtype).expand(grid.frames, grid.height, grid.width, -1).flatten(0, 2)
        return tokens + placed


@contextmanager
def motion_embeddings(transformer: Any, grid: TokenGrid, value: ValueKind) -> Iterator[nn.ModuleList]:
    """A Wan transformer with embeddings on every self-attention, everything else frozen; on leaving, as it was.

    The embeddings are added before the projections to q, k and v, as in the paper:
    the same as adding the projected embeddings, without their biases, and before Wan's norm of q and k.
    """
    attentions = self_attentions(transformer)
    fresh = [MotionEmbedding(grid, a.to_q.in_features, value) for a in attentions]
    embeddings = nn.ModuleList(fresh).to(next(transformer.parameters()).device)
    now = CurrentGrid(transformer)

    def before(embedding: MotionEmbedding, of_values: bool) -> Any:
        def add(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            added = embedding.value_embedding() if of_values else embedding.motion
            return None if added is None else (embedding.add(inputs[0], added, now.grid), *inputs[1:])

        return add

    hooks = [
        getattr(attention, part).register_forward_pre_hook(before(embedding, part == "to_v"))
        for attention, embedding in zip(attentions, fresh, strict=True)
        for part in ("to_q", "to_k", "to_v")
    ]
    with frozen(transformer), hooked(embeddings, [now.handle, *hooks]):
        yield embeddings
