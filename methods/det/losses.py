"""DeT's dense point tracking loss: what is predicted for a point should look alike from frame to frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def features_at(features: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples (N, F, C) of features (1, C, F, h, w) at points (N, F, 2): x, y in cells, centers at integers.

    Outside the frame the border's value is taken; such points should not be visible.
    """
    height, width = features.shape[-2:]
    scale = torch.tensor([width, height], dtype=points.dtype, device=points.device)
    grid = (2 * points + 1) / scale - 1  # centers at integers: cell 0 spans -1/2 to 1/2
    maps = rearrange(features, "1 c f h w -> f c h w")
    places = rearrange(grid, "n f xy -> f n 1 xy").to(features.dtype)
    sampled = F.grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=False)
    return rearrange(sampled, "f c n 1 -> n f c")


def tracking_loss(clean: Tensor, points: Tensor, visible: Tensor) -> Tensor:
    """Mean squared change of the predicted clean latents (1, C, F, h, w) along tracks, from frame to frame.

    points (N, F, 2) in cells, visible (N, F): a change counts if its point is visible in both frames. The mean is over
    these changes and over channels, so that the weight means the same for any number of points; 0 if there are none.
    Source: DeT, arXiv:2503.17350, dense point tracking loss. There it is a sum.
    """
    change = features_at(clean, points).diff(dim=1).square().mean(-1)  # (N, F-1)
    both = (visible[:, 1:] & visible[:, :-1]).to(change.dtype)
    return (change * both).sum() / both.sum().clamp_min(1)
