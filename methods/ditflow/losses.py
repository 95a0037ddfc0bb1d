"""The loss of DiTFlow: attention motion flow of the clip being made against that of the reference."""

from __future__ import annotations

from torch import Tensor


def flow_loss(flow: Tensor, reference: Tensor, *, still: bool = False) -> Tensor:
    """Mean squared gap of displacements (P, n, 2), tokens squared, over the cells that the reference moves.

    A cell moves in a frame pair if its reference displacement is not zero; the others count only if `still` is set.
    Without them (the released rule) nothing holds the background: a camera may drift for free. With no moving cell
    the loss is 0 and so is its gradient.
    Source: arXiv:2412.07776; the threshold as released (`threshloss`).
    """
    gap = (flow - reference).square().mean(-1)
    if still:
        return gap.mean()
    moving = (reference != 0).any(-1)
    return (gap * moving).sum() / moving.sum().clamp_min(1)
