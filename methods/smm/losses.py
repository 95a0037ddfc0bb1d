"""SMM's loss: how the spatial means of features differ from frame to frame, compared over channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor


def smm_loss(generated: Tensor, reference: Tensor) -> Tensor:
    """mean_i [1 - mean_{j != i} cos(Phi_j - Phi_i, Phi'_j - Phi'_i)], in [0, 2]; spatial means (B, T, D), T >= 2.

    The cosine runs over the D channels, and each side is anchored in its own frame i; all frames are anchors in turn.
    Source: Yatim et al., arXiv:2311.17009, Section 4.2. Another project's port for video transformers anchors the
    generated side in the *reference's* frame and lets the cosine run over frames: that is another loss.
    """
    cosines = F.cosine_similarity(frame_differences(generated), frame_differences(reference), dim=-1)
    return (1 - cosines).mean()


def frame_differences(means: Tensor) -> Tensor:
    """(B, T, T - 1, D): entry i holds Phi_j - Phi_i for all j but i, whose difference to itself has no direction."""
    frames = means.shape[1]
    differences = means[:, None] - means[:, :, None]  # (B, i, j, D)
    other = ~torch.eye(frames, dtype=torch.bool, device=means.device)
    return rearrange(differences[:, other], "b (i j) d -> b i j d", i=frames)
