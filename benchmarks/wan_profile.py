"""Where a step's seconds go on a GPU: those of its kernels, by what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity

# Parts of the kernels' names, the first kind that fits.
KINDS = {
    "compiled passes over memory": ("triton_", "_norm_rope"),  # first: their names say what they stand beside
    "attention, backward": (
        "_attend_gradient",
        "flashattentionbackward",
        "flash_bwd",
        "bprop",
        "attn_bwd",
        "bwd_preprocess",
    ),
    "attention, forward": ("_attend", "flashattentionforward", "flash_fwd", "fprop", "attn_fwd", "sdpa"),
    "matrix products": ("gemm", "nvjet", "cutlass", "cublas", "xmma", "scaled_mm"),
    "optimizer": ("adam", "multi_tensor", "lpnorm"),
    "copies": ("memcpy", "memset"),
}


def profile(work: Callable[[], Any]) -> dict[str, Any]:
    """Seconds of the device's kernels in one run, by kind, and of the ten that take longest."""
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
        torch.cuda.synchronize()
    kernels = {e.key: e.self_device_time_total / 1e6 for e in seen.key_averages() if e.self_device_time_total}
    kinds: dict[str, float] = {}
    for name, seconds in kernels.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + seconds
    longest = sorted(kernels.items(), key=lambda item: -item[1])[:10]
    return {"kinds": kinds, "longest": {name[:120]: seconds for name, seconds in longest}}


def kind_of(kernel: str) -> str:
    """What a kernel of this name does."""
    lower = kernel.lower()
    return next((kind for kind, parts in KINDS.items() if any(part in lower for part in parts)), "others")
