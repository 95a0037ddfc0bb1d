"""MOFT: features without their mean over time, in the channels in which they move, compared place by place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def content_free(features: Tensor) -> Tensor:
    """Features (B, T, h, w, D) less their mean over time: what does not change is gone.

    Source: Xiao et al., arXiv:2405.14864, Section 3.1 (content correlation removal).
    """
    return features - features.mean(dim=1, keepdim=True)


def motion_channels(features: Tensor, count: int, components: int = 1) -> Tensor:
    """The `count` channels, rising, that weigh most in the leading principal components of content-free features.

    features: (B, T, h, w, D). A channel's weight is its part of the variance along these components, sum_k s_k^2
    V_kd^2; with one component that orders channels by |V_1d|, as in Xiao et al., Section 3.2; with all by variance.
    """
    rows = content_free(features).flatten(0, 3).double()  # (B T h w, D)
    values, vectors = torch.linalg.eigh(rows.T @ rows)  # rising; D x D, however many rows there are
    weights = (vectors[:, -components:].square() * values[-components:]).sum(1)
    chosen: Tensor = weights.topk(count).indices.sort().values
    return chosen


def moft_loss(generated: Tensor, reference: Tensor, channels: Tensor) -> Tensor:
    """1 - cos over the chosen channels of content-free features, averaged over frames and places, in [0, 2].

    generated, reference: (B, T, h, w, D). A place that moves is compared with the same place of the reference, so the
    two layouts must agree.
    """
    a, b = (content_free(features)[..., channels] for features in (generated, reference))
    return (1 - F.cosine_similarity(a, b, dim=-1)).mean()
