"""Two-pass attention flow: a coarse look per tile places a window, and cells look only inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..guidance.attention_flow import ELEMENTS, cell_positions, soft_displacements, stream_pairs
from ..taps.token_grid import TokenGrid

TileQuery = Literal["center", "mean"]


@dataclass(frozen=True)
class Windows:
    """Tiles of `tile` (rows, columns) cells, each with a window of `side` cells squared in the other frame.

    query: what looks first for a tile, its `center` cell or the `mean` of its cells' scores. A grid that tiles do not
    fill has smaller ones at its end; a grid smaller than the window is the window. temperature multiplies scores.
    Everything is computed on the device of what comes in: a copy from the host would wait for the device's queue.
    """

    grid: TokenGrid
    tile: tuple[int, int]
    side: int
    temperature: float = 1.0
    query: TileQuery = "center"

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of a window."""
        return min(self.side, self.grid.height), min(self.side, self.grid.width)

    def tile_of_cell(self, device: torch.device) -> Tensor:
        """(n,) index of the tile that each cell is in, row by row."""
        rows, columns = self._rows_and_columns(device)
        across = -(-self.grid.width // self.tile[1])
        return rows // self.tile[0] * across + columns // self.tile[1]

    def center_of_tile(self, device: torch.device) -> Tensor:
        """(M,) index of the cell in the middle of each tile, of the later one where there are two."""
        centers = []
        for size, tile in ((self.grid.height, self.tile[0]), (self.grid.width, self.tile[1])):
            starts = torch.arange(0, size, tile, device=device)
            centers.append(starts + (torch.full_like(starts, size).minimum(starts + tile) - starts) // 2)
        return (centers[0][:, None] * self.grid.width + centers[1]).flatten()

    @torch.no_grad()
    def corners(self, scores: Tensor) -> Tensor:
        """(p, M, 2) int64 first row and column of each tile's window, from scores (p, n, n); always inside the frame.

        The window is centered on the mean place that the tile looks at, to whole cells, and pushed inside as a whole.
        """
        attention = (self.temperature * self._of_tiles(scores)).softmax(-1)  # (p, M, n)
        columns, rows = (attention @ cell_positions(self.grid, attention)).round().long().unbind(-1)
        axes = zip((rows, columns), self.size, (self.grid.height, self.grid.width), strict=True)
        return torch.stack([(middle - size // 2).clamp(0, whole - size) for middle, size, whole in axes], dim=-1)

    def displacements(self, scores: Tensor) -> Tensor:
        """(p, n, 2) mean offset (x, y) of each cell inside its tile's window, from scores (p, n, n)."""
        rows, columns = self._rows_and_columns(scores.device)
        first = self.corners(scores)[:, self.tile_of_cell(scores.device)]  # (p, n, 2)
        down, across = rows - first[..., :1], columns - first[..., 1:]  # (p, n, n)
        inside = (down >= 0) & (down < self.size[0]) & (across >= 0) & (across < self.size[1])
        attention = (self.temperature * scores).masked_fill(~inside, -torch.inf).softmax(-1)
        places = cell_positions(self.grid, scores)
        return attention @ places - places

    def flow(self, query: Tensor, key: Tensor, own: Tensor, others: Tensor, *, elements: int = ELEMENTS) -> Tensor:
        """(P, n, 2) displacements: of frames to themselves over the whole frame, then of `others` in windows."""
        whole = soft_displacements(query, key, self.grid, own, self.temperature, elements=elements)
        return torch.cat([whole, stream_pairs(query, key, others, self.displacements, elements=elements)])

    def key_means(self, query: Tensor, key: Tensor, pairs: Tensor, *, elements: int = ELEMENTS) -> Tensor:
        """(P, M, D) mean key inside each tile's window in frame j; the choice of the window has no gradient."""
        with torch.no_grad():
            first = stream_pairs(query, key, pairs, self.corners, elements=elements)  # (P, M, 2)
        keys = key.transpose(1, 2).unflatten(2, (self.grid.height, self.grid.width))  # (F, D, H, W)
        means = F.avg_pool2d(keys, self.size, stride=1)  # of all windows, by their first row and column
        return means.permute(0, 2, 3, 1)[pairs[:, 1, None], first[..., 0], first[..., 1]]

    def _of_tiles(self, scores: Tensor) -> Tensor:
        if self.query == "center":
            return scores[:, self.center_of_tile(scores.device)]
        tiles = F.one_hot(self.tile_of_cell(scores.device)).to(scores)  # (n, M)
        return (tiles / tiles.sum(0)).T @ scores

    def _rows_and_columns(self, device: torch.device) -> tuple[Tensor, Tensor]:
        cells = torch.arange(self.grid.cells, device=device)
        return cells // self.grid.width, cells % self.grid.width
