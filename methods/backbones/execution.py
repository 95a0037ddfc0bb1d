"""How a large model computes on its device: memory presets, attention kernels, compiled blocks.

Nothing here changes a result beyond rounding, so none of it is part of a run's configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from motionbench.gpu_memory import choose_preset

HOPPER = 9  # compute capability from which cuDNN's attention is preferred to PyTorch's own flash attention


@dataclass(frozen=True)
class Execution:
    """Choices of one backbone instance.

    limit_bytes: device memory to stay below, None: nine tenths of the card. text_encoder_on_device: else it embeds on
    the CPU. stream_blocks: transformer blocks that do not fit are kept in host memory and brought when they are needed.
    joint_guidance: both sides of classifier-free guidance in one batch. compiler: backend of torch.compile for the
    blocks, None: not compiled. checkpoint_share: of the blocks that training recomputes, None: as few as fit.
    fixed_text: in training, the caption's keys and values are computed once.
    fused: LoRAs are tuned on whole attentions instead of on one projection for each kind of head. quick_attention: the
    kernels of `fast_attention`, else those that torch prefers by itself. replay: training steps are recorded in CUDA
    graphs.
    """

    limit_bytes: int | None = None
    text_encoder_on_device: bool = True
    stream_blocks: bool = False
    joint_guidance: bool = True
    compiler: str | None = "inductor"
    checkpoint_share: float | None = None
    fixed_text: bool = True
    fused: bool = True
    quick_attention: bool = True
    replay: bool = True


# Limits leave room for the CUDA context and for what the allocator cannot use. The text encoder takes 11 GB.
PRESETS: dict[str, Execution] = {
    "none": Execution(),
    "80": Execution(limit_bytes=75 * 10**9, stream_blocks=True),
    "40": Execution(limit_bytes=37 * 10**9, stream_blocks=True, text_encoder_on_device=False, joint_guidance=False),
    "24": Execution(limit_bytes=21 * 10**9, stream_blocks=True, text_encoder_on_device=False, joint_guidance=False),
}
# Without compiling, splitting, or anything else that a plain implementation would lack: what speed is compared with.
PLAIN = Execution(
    compiler=None, checkpoint_share=1.0, fixed_text=False, fused=False, quick_attention=False, replay=False
)


def execution_for(gpu_memory: str, device: torch.device) -> Execution:
    """The choices of a preset on a device: `auto` takes the largest that fits the card; a CPU offloads nothing."""
    if device.type != "cuda":
        return replace(PRESETS["none"], compiler=None)
    total = torch.cuda.get_device_properties(device).total_memory
    return PRESETS[choose_preset(total) if gpu_memory == "auto" else gpu_memory]


@contextmanager
def fast_attention(device: torch.device, wanted: bool = True) -> Iterator[None]:
    """The quickest exact attention kernels of a GPU first, for `F.scaled_dot_product_attention` inside the block."""
    if device.type != "cuda" or not wanted:
        yield
        return
    order = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    if torch.cuda.get_device_capability(device)[0] >= HOPPER:
        order.insert(0, SDPBackend.CUDNN_ATTENTION)
    with sdpa_kernel(order, set_priority=True):
        yield


@contextmanager
def compiled_blocks(transformer: Any, compiler: str | None) -> Iterator[None]:
    """The transformer's blocks behind one compiled function inside the block.

    All blocks have the same code and shapes, so it is compiled once for each size of input. A fault of the compiler
    falls back to uncompiled code with a warning of torch's own.
    """
    if compiler is None or any("forward" in vars(block) for block in transformer.blocks):
        yield
        return
    import torch._dynamo as dynamo

    forward = torch.compile(type(transformer.blocks[0]).forward, backend=compiler, dynamic=False)
    limit = "recompile_limit" if hasattr(dynamo.config, "recompile_limit") else "cache_size_limit"
    for block in transformer.blocks:
        block.forward = MethodType(forward, block)
    try:
        # Each of: sizes, training or not, with which LoRAs, streamed or not, is a variant of its own.
        with dynamo.config.patch({limit: 64, "suppress_errors": True}):
            yield
    finally:
        for block in transformer.blocks:
            vars(block).pop("forward", None)
