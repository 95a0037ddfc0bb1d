"""The grid of a transformer's tokens: how many frames, rows and columns a clip's latents fall into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from motionbench.errors import ShapeError


@dataclass(frozen=True)
class TokenGrid:
    """How the tokens of a clip lie: frame-major, then rows, then columns."""

    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, transformer: Any, sizes: Sequence[int]) -> Self:
        """The grid of latents of sizes F, h, w in a transformer. Raises ShapeError where patches do not tile them."""
        patch = tuple(int(side) for side in transformer.config.patch_size)
        if any(size % side for size, side in zip(sizes, patch, strict=True)):
            raise ShapeError(f"latents of {tuple(sizes)} frames, rows and columns are not tiled by patches of {patch}")
        return cls(*(size // side for size, side in zip(sizes, patch, strict=True)))

    def __str__(self) -> str:
        return f"({self.frames}, {self.height}, {self.width})"

    @property
    def cells(self) -> int:
        """Tokens of one frame."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Tokens of the clip."""
        return self.frames * self.cells


class CurrentGrid:
    """The grid of a transformer's current forward pass, noted by a hook; remove `handle` when done."""

    def __init__(self, transformer: Any) -> None:
        self.grid = TokenGrid(0, 0, 0)
        self.handle = transformer.register_forward_pre_hook(self._note, with_kwargs=True)

    def _note(self, transformer: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        latents = inputs[0] if inputs else named["hidden_states"]  # (B, C, F, h, w)
        self.grid = TokenGrid.of(transformer, latents.shape[2:])
