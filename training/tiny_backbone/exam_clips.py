"""The clips of the backbone's exam: held-out prompts, what the backbone makes of them, and what the renderer does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from motionbench.clip import nearest_indices

from .content_probe import round_trip

logger = logging.getLogger(__name__)
HELD_OUT_SEED = 999_001  # training seeds start at 1,000,000 (VAE) and 10,000,000 (transformer)
BATCH = 50
Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Prompts:
    """Held-out captions with their labels and the renderer's own clips (B, T, 3, H, W)."""

    captions: list[str]
    labels: list[dict[str, Any]]
    rendered: torch.Tensor

    def rows(self, wanted: Callable[[int], bool]) -> list[int]:
        return [i for i in range(len(self.captions)) if wanted(i)]


def held_out(world: Any, count: int) -> Prompts:
    """`count` captions that no training run has seen as clips."""
    batch = world.sample(count, seed=HELD_OUT_SEED, device="cpu")
    return Prompts(batch.captions, batch.labels, batch.frames)


def generate(backbone: Any, captions: Sequence[str]) -> list[Frames]:
    """One clip a caption with the backbone's defaults, in batches whose seed is the place of their first clip."""
    clips = []
    for start in range(0, len(captions), BATCH):
        text = backbone.encode_text(captions[start : start + BATCH])
        latents = backbone.sample(text, seed=start)
        clips += [backbone.decode(one[None]).frames for one in latents]
        logger.info("%d of %d clips generated", len(clips), len(captions))
    return clips


def read_strips(path: Path, backbone: Any, count: int) -> list[Frames]:
    """Clips from an npz of encoded strips (lossless WebP, frames one below the other), keys `0`, `1`, …"""
    import cv2

    shape = (backbone.frames, backbone.height, backbone.width, 3)
    with np.load(path) as strips:
        bgr: list[Any] = [cv2.imdecode(strips[str(i)], cv2.IMREAD_COLOR) for i in range(count)]
    return [strip[..., ::-1].reshape(shape) for strip in bgr]


def decoded_truth(prompts: Prompts, backbone: Any, count: int, looks: int) -> list[Frames]:
    """`looks` frames of the renderer's clips of the first `count` prompts, through the backbone's VAE: its best."""
    at = nearest_indices(prompts.rendered.shape[1], looks)
    clips = [round_trip(backbone, clip[at]) for clip in prompts.rendered[:count]]
    return [(c.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy() for c in clips]
