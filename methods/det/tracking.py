"""Tracks of the reference on the grid of its latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingInputError
from motionbench.tracks import Tracks, grid_queries


@dataclass(frozen=True, eq=False)
class LatentTracks:
    """points (N, F, 2): x, y in latent cells, centers at integers; visible (N, F) bool."""

    points: Tensor
    visible: Tensor


def track_latents(clip: Clip, latents: Tensor, tracker: str, per_side: int, device: str) -> LatentTracks:
    """Tracks of a grid of the first frame's points, on the grid of the clip's latents (1, C, F, h, w).

    Raises MissingInputError if no point is seen in two latent frames in a row, UnknownNameError for the tracker's name.
    """
    loaded = registry.load("trackers", tracker).create(device)
    tracks = loaded.track(clip, grid_queries(clip.height, clip.width, per_side))
    result = to_latent_grid(tracks, latents)
    if not bool((result.visible[:, 1:] & result.visible[:, :-1]).any()):
        raise MissingInputError(
            f"det with tracking_loss needs the input tracks: tracker {tracker} sees no point of the reference in two "
            "frames in a row; choose another with --set tracker=NAME, or --set tracking_loss=no"
        )
    return result


def to_latent_grid(tracks: Tracks, latents: Tensor) -> LatentTracks:
    """Tracks (N, T) in pixels as tracks (N, F) in cells: of the frames packed into a latent, the last one counts."""
    frames, height, width = latents.shape[2:]
    stride = (tracks.points.shape[1] - 1) // max(1, frames - 1)
    picks = np.arange(frames) * stride
    scale = np.array([width / tracks.width, height / tracks.height])
    points = (tracks.points[:, picks] + 0.5) * scale - 0.5
    inside = ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(-1)
    return LatentTracks(
        torch.from_numpy(points.astype(np.float32)).to(latents.device),
        torch.from_numpy(tracks.visible[:, picks] & inside).to(latents.device),
    )
