"""Head classification: which self-attention heads look within frames, and which along time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from motionbench.errors import ShapeError
from motionbench.fallbacks import fall_back, fallbacks
from motionbench.method import report_nothing

from ..backbones.backbone import Backbone
from ..backbones.flow import noised
from ..taps.self_attention import compared_heads
from ..taps.token_grid import TokenGrid
from .head_stream import BLOCK, CHUNK_ELEMENTS, stream_sums

HeadRule = Literal["paper", "released", "inverted", "random"]
_KERNEL, _STREAM = "classifying heads in one kernel", "maps in chunks"
ELEMENTS = 1 << 23  # attention maps of up to so many numbers (32 MiB in float32) are looked at whole


@dataclass(frozen=True)
class HeadScores:
    """What the maps of L layers and K heads look like: four arrays (L, K) float64, means over what was looked at.

    spatial, temporal: cosine similarity with M_spatial and M_temporal, in [0, 1].
    mass_spatial, mass_temporal: share of the attention under the released code's block bands, in [0, 1].
    """

    spatial: NDArray[np.float64]
    temporal: NDArray[np.float64]
    mass_spatial: NDArray[np.float64]
    mass_temporal: NDArray[np.float64]

    def is_temporal(
        self, rule: HeadRule, *, alpha: float = 1.25, ratio: float = 1.3, seed: int = 0
    ) -> NDArray[np.bool_]:
        """(L, K) bool: the heads that count as temporal.

        `paper`: S_spatial < alpha * S_temporal (arXiv:2506.05207, alpha 1.25 parts heads about evenly).
        `released`: w_t >= ratio * w_s on the masses (the code's own rule, which is another one).
        Two controls of the idea: `inverted`, which calls temporal what `paper` calls spatial; `random`, which draws by
        `seed` as many temporal heads in each layer as `paper` finds there.
        """
        if rule == "released":
            return np.asarray(self.mass_temporal >= ratio * self.mass_spatial)
        temporal = np.asarray(self.spatial < alpha * self.temporal)
        if rule == "inverted":
            return ~temporal
        return np.random.default_rng(seed).permuted(temporal, axis=1) if rule == "random" else temporal

    def to_json(self) -> dict[str, Any]:
        """Plain lists, rounded to nothing: `from_json` gives the same scores."""
        return {name: values.tolist() for name, values in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> HeadScores:
        """The scores that `to_json` wrote."""
        return cls(**{name: np.asarray(values[name], np.float64) for name in cls.__dataclass_fields__})


def pseudo_maps(rows: Tensor, frames: int, cells: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows (R,) of M_spatial, M_temporal and of the released code's two bands: bool (R, S), S = frames * cells.

    Tokens are frame-major. M_spatial: same frame. M_temporal: same place in another frame. Bands: |block_i -
    block_j| < cells // block in frame-major order (spatial) and in place-major order (temporal); block = 128, or
    `cells` if that is less (the released code has empty bands then).
    """
    columns = torch.arange(frames * cells, device=rows.device)
    same_frame = (rows // cells)[:, None] == columns // cells
    same_cell = (rows % cells)[:, None] == columns % cells
    block = min(BLOCK, cells)
    bands = []
    for place_major in (False, True):
        r, c = ((x % cells) * frames + x // cells if place_major else x for x in (rows, columns))
        bands.append(((r // block)[:, None] - c // block).abs() < cells // block)
    return same_frame, same_cell & ~same_frame, bands[0], bands[1]


def map_similarities(
    query: Tensor, key: Tensor, frames: int, *, whole: int = ELEMENTS, chunk: int = CHUNK_ELEMENTS
) -> Tensor:
    """(4, K) float64: cosine of softmax(q k^T / sqrt(d)) with M_spatial and M_temporal, and the mass under both bands.

    query, key: (K, S, D) after norm and RoPE, tokens frame-major, S = frames * cells, frames >= 2. All four are sums
    over query rows: maps of more than `whole` numbers exist only in chunks of `chunk`, O(S) memory, never K x S x S.
    """
    heads, tokens, _ = query.shape
    if frames < 2 or tokens % frames:
        raise ShapeError(f"heads are told apart on two frames or more, got {tokens} tokens in {frames} frames")
    grid = TokenGrid(frames, 1, tokens // frames)  # how a frame's cells lie makes no difference
    fits = heads * tokens * tokens <= whole
    sums = _whole_sums(query, key, grid) if fits else _large_sums(query, key, grid, chunk)
    inner, square = sums[:4], sums[4]
    ones = torch.tensor(
        [tokens * grid.cells, tokens * (frames - 1)], device=query.device
    ).sqrt()  # |M_spatial|, |M_temporal|
    return torch.cat([inner[:2] / (square.sqrt() * ones[:, None]), inner[2:] / tokens])  # rows of a softmax sum to one


def _large_sums(query: Tensor, key: Tensor, grid: TokenGrid, chunk: int) -> Tensor:
    """What `stream_sums` gives: on a GPU by a kernel that writes no maps, where it can be compiled."""
    if query.is_cuda and _KERNEL not in fallbacks():
        try:
            from .head_kernel import KERNEL_ERRORS, kernel_sums
        except ImportError as error:
            fall_back(_KERNEL, _STREAM, error)
            return stream_sums(query, key, grid, chunk)
        try:
            return kernel_sums(query, key, grid)
        except KERNEL_ERRORS as error:
            fall_back(_KERNEL, _STREAM, f"{type(error).__name__}: {error}")
    return stream_sums(query, key, grid, chunk)


def _whole_sums(query: Tensor, key: Tensor, grid: TokenGrid) -> Tensor:
    """What `stream_sums` gives, from the whole maps: one product with all four masks, for small clips."""
    keys = key.float().transpose(1, 2) / query.shape[2] ** 0.5
    attention = (query.float() @ keys).softmax(-1).flatten(1)  # (K, S * S)
    maps = _all_maps(grid.frames, grid.cells, query.device)
    return torch.cat([(maps @ attention.T).double(), attention.square().sum(1).double()[None]])


@lru_cache(maxsize=1)  # the same for all layers and times; at most 4 * ELEMENTS numbers
def _all_maps(frames: int, cells: int, device: torch.device) -> Tensor:
    """All rows of the four `pseudo_maps`, float32 (4, S * S)."""
    rows = torch.arange(frames * cells, device=device)
    return torch.stack(pseudo_maps(rows, frames, cells)).flatten(1).float()


class _Probe:
    """An attention processor that also adds up the similarities of what it attends to."""

    def __init__(self, processor: Any, frames: int) -> None:
        self.processor = processor
        self.frames = frames
        self.scores: list[Tensor] = []

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        query, key = compared_heads(attention, hidden_states, rotary_emb)
        for q, k in zip(query, key, strict=True):  # (S, K, D)
            self.scores.append(map_similarities(q.transpose(0, 1), k.transpose(0, 1), self.frames))
        return self.processor(attention, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)


@contextmanager
def _probed(transformer: Any, frames: int) -> Iterator[list[_Probe]]:
    attentions = [block.attn1 for block in transformer.blocks]
    processors = [attention.processor for attention in attentions]
    probes = [_Probe(processor, frames) for processor in processors]
    for attention, probe in zip(attentions, probes, strict=True):
        attention.processor = probe
    try:
        yield probes
    finally:
        for attention, processor in zip(attentions, processors, strict=True):
            attention.processor = processor


@torch.no_grad()
def score_heads(
    backbone: Backbone,
    clips: Sequence[tuple[Tensor, Tensor]],
    times: Sequence[float],
    draws: int,
    generator: torch.Generator,
    report: Callable[[str, int, int], None] = report_nothing,
) -> HeadScores:
    """Mean similarities over clips x times x noise draws; clips are (latents (1, C, F, h, w), text (1, L, D)).

    The cosines themselves are averaged, not the maps: the mean of many sharp maps is a blurred one.
    """
    jobs = [(clip, t) for clip in clips for t in times for _ in range(draws)]
    means = []
    for done, ((latents, text), t) in enumerate(jobs):
        noise = torch.randn(latents.shape, generator=generator).to(latents.device)
        time = torch.full((1,), t, device=latents.device)
        with _probed(backbone.transformer, TokenGrid.of(backbone.transformer, latents.shape[2:]).frames) as probes:
            backbone.velocity(noised(latents, noise, time), time, text)
        means.append(torch.stack([torch.stack(probe.scores).mean(0) for probe in probes], dim=1))  # (4, L, K)
        report("heads", done + 1, len(jobs))
    return HeadScores(*torch.stack(means).mean(0).cpu().numpy())
