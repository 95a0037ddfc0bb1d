"""When MotionClone guides: more steps where noise is high, and a strength that fades in and out."""

from __future__ import annotations

import torch
from torch import Tensor

from motionbench.errors import ConfigError

from ..backbones.flow import shift_times


def uneven_times(steps: int, dense: int, share: float, shift: float) -> Tensor:
    """(steps + 1,) times from 1 to 0, `dense` of the steps on the top `share` of the axis before the shift.

    With share 0 or dense 0 all steps are even. Raises ConfigError if the rest of the axis is left without a step.
    """
    if not share or not dense:
        return shift_times(torch.linspace(1, 0, steps + 1), shift)
    if dense >= steps:
        raise ConfigError(f"guided_steps must be below sample_steps ({steps}) with a guided_range, got {dense}")
    top = torch.linspace(1, 1 - share, dense + 1)
    rest = torch.linspace(1 - share, 0, steps - dense + 1)
    return shift_times(torch.cat([top, rest[1:]]), shift)


def ramp(index: int, guided: int, length: int) -> float:
    """Strength of a guided step, in (0, 1]: (i + 1) / length at first, and likewise falling over the last steps."""
    if not 0 <= index < guided:
        return 0.0
    return min(1.0, (index + 1) / max(1, length), (guided - index) / max(1, length))
