"""How a large model computes on its device: memory presets, and which of the quicker paths it takes.

Nothing here changes a result beyond rounding, so none of it is part of a run's configuration.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import torch

from motionbench.gpu_memory import choose_preset


@dataclass(frozen=True)
class Execution:
    """Choices of one backbone instance.

    limit_bytes: device memory to stay below, None: nine tenths of the card. text_encoder_on_device: else it embeds on
    the CPU. stream_blocks: transformer blocks that do not fit are kept in host memory and brought when they are needed.
    joint_guidance: both sides of classifier-free guidance in one batch. compiler: backend of torch.compile for the
    blocks, None: not compiled. checkpoint_share: of the blocks that training recomputes, None: as few as fit.
    fixed_text: in training, the caption's keys and values are computed once.
    quick_attention: the kernels of `fast_attention`, else those that torch prefers by itself. replay: training steps
    are recorded in CUDA graphs. deterministic: attention by kernels whose gradients have the same bits each time; they
    are slower.
    """

    limit_bytes: int | None = None
    text_encoder_on_device: bool = True
    stream_blocks: bool = False
    joint_guidance: bool = True
    compiler: str | None = "inductor"
    checkpoint_share: float | None = None
    fixed_text: bool = True
    quick_attention: bool = True
    replay: bool = True
    deterministic: bool = False


# Limits leave room for the CUDA context and for what the allocator cannot use. The text encoder takes 11 GB.
PRESETS: dict[str, Execution] = {
    "none": Execution(),
    "80": Execution(limit_bytes=75 * 10**9, stream_blocks=True),
    "60": Execution(limit_bytes=57 * 10**9, stream_blocks=True),
    "40": Execution(limit_bytes=37 * 10**9, stream_blocks=True, text_encoder_on_device=False, joint_guidance=False),
    "24": Execution(limit_bytes=21 * 10**9, stream_blocks=True, text_encoder_on_device=False, joint_guidance=False),
}
# Without compiling or anything else that a plain implementation would lack: what speed is compared with.
PLAIN = Execution(compiler=None, checkpoint_share=1.0, fixed_text=False, quick_attention=False, replay=False)


def execution_for(gpu_memory: str, device: torch.device) -> Execution:
    """The choices of a preset on a device: `auto` takes the largest that fits the card; a CPU offloads nothing.

    `MOTIONBENCH_DETERMINISTIC=1` in the environment asks for deterministic kernels.
    """
    if device.type != "cuda":
        return replace(PRESETS["none"], compiler=None)
    total = torch.cuda.get_device_properties(device).total_memory
    chosen = PRESETS[choose_preset(total) if gpu_memory == "auto" else gpu_memory]
    return replace(chosen, deterministic=os.environ.get("MOTIONBENCH_DETERMINISTIC", "0") not in ("", "0"))
