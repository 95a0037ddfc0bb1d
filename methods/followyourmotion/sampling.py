"""Sparse motion sampling: which frames of the clip the temporal stage sees."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from motionbench.clip import Clip, nearest_indices
from motionbench.errors import ShapeError

from ..backbones.backbone import Backbone
from .config import Config
from .rope import paper_positions, true_positions

FrameChoice = Literal["uniform", "offset", "stratified"]


@dataclass(frozen=True)
class Excerpt:
    """Some frames of a clip as latents (1, C, f, h, w), and their places (f,) on the time axis that RoPE sees."""

    latents: Tensor
    positions: tuple[float, ...]


def choose_frames(total: int, keep: int, choice: FrameChoice, generator: torch.Generator) -> list[int]:
    """Rising indices of `keep` out of `total` frames.

    `uniform`: both ends and equal strides between (81 -> 17 is every fifth frame); `offset`: floor((i + u) *
    total / keep) with one random u in [0, 1); `stratified`: any one frame of each stretch i * total // keep ...
    (i + 1) * total // keep - 1.
    Raises ShapeError unless 1 < keep <= total.
    """
    if not 1 < keep <= total:
        raise ShapeError(f"cannot choose {keep} of {total} frames; set sparse_frames between 2 and {total}")
    if choice == "uniform":
        return [int(i) for i in nearest_indices(total, keep)]
    u = torch.rand(keep, generator=generator, dtype=torch.float64).tolist()
    if choice == "offset":
        return [int((i + u[0]) * total / keep) for i in range(keep)]
    edges = [i * total // keep for i in range(keep + 1)]
    return [low + int(u[i] * (high - low)) for i, (low, high) in enumerate(pairwise(edges))]


def excerpts(backbone: Backbone, clip: Clip, config: Config, generator: torch.Generator) -> list[Excerpt]:
    """The excerpts of a prepared clip among which the temporal stage draws, encoded once.

    Frames are dropped *before* the VAE, as in the paper (81 -> 17 frames, 21 -> 5 latents): each latent then spans a
    longer time, and sparse latents could not be cut out of dense ones. Where the VAE sees each frame by itself they are
    the same, and are. One excerpt unless frames are chosen at random.
    """
    dense = backbone.latent_shape(len(clip))[1]
    if not config.sparse or config.sparse_frames >= len(clip):
        return [Excerpt(backbone.encode(clip), tuple(float(i) for i in range(dense)))]
    draws = 1 if config.frame_choice == "uniform" else config.frame_draws
    result = []
    whole = backbone.encode(clip) if draws > 1 and backbone.frames_apart else None
    for _ in range(draws):
        kept = choose_frames(len(clip), config.sparse_frames, config.frame_choice, generator)
        latents = backbone.encode(Clip(clip.frames[kept], clip.fps)) if whole is None else whole[:, :, kept]
        result.append(Excerpt(latents, _positions(config, kept, len(clip), dense, latents.shape[2])))
    return result


def _positions(config: Config, kept: list[int], total: int, dense: int, sparse: int) -> tuple[float, ...]:
    if not config.adaptive_rope:
        return tuple(float(i) for i in range(sparse))
    if config.rope_positions == "paper":
        return paper_positions(dense, sparse)
    return true_positions(kept, total, dense, sparse)
