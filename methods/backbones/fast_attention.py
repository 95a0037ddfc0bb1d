"""Which attention kernels a GPU computes with: the quickest exact ones that work there, chosen once a process.

FlashAttention-4 where the extra `[fa4]` is installed, else cuDNN's on Hopper cards and torch's own flash attention on
older ones. A kernel is chosen only if a small attention by it, forward and backward, agrees with float64.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from motionbench.disk_cache import cache_folder
from motionbench.fallbacks import chose, fall_back

Kernels = Literal["flash-attention-4", "cudnn", "flash", "torch"]
HOPPER, AMPERE = 9, 8  # compute capabilities: of FlashAttention-4 and cuDNN's kernels; of bfloat16
WIDTHS = (64, 96, 128)  # channels of a head that FlashAttention-4 is made for
TOLERANCE = 0.01  # relative, in bfloat16: all kernels are at 2.3e-3
_ORDER = {
    "flash-attention-4": [SDPBackend.FLASH_ATTENTION],
    "cudnn": [SDPBackend.CUDNN_ATTENTION],
    "flash": [SDPBackend.FLASH_ATTENTION],
    "torch": [],
}
_REST = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@cache
def attention_kernels(device: torch.device, deterministic: bool = False) -> Kernels:
    """The kernels for a device. deterministic: such as give the same bits each time, which cuDNN's do not."""
    if device.type != "cuda":
        return "torch"
    major = torch.cuda.get_device_capability(device)[0]
    if major < AMPERE:
        fall_back("quick attention in bfloat16", "torch's own choice", f"compute capability {major} has no bfloat16")
        return "torch"
    candidates: list[Kernels] = ["flash"]
    if major >= HOPPER and not deterministic:
        candidates.insert(0, "cudnn")
    if find_spec("flash_attn") is not None and find_spec("flash_attn.cute") is not None:
        candidates.insert(0, "flash-attention-4")
    following: list[Kernels] = [*candidates[1:], "torch"]
    for kernels, instead in zip(candidates, following, strict=True):
        try:
            error = attention_error(kernels, device, deterministic=deterministic)
        except (RuntimeError, ImportError, ValueError, TypeError, AssertionError, AttributeError) as fault:
            # What a compiler of kernels raises on a driver, or a torch, that it was not made for.
            fall_back(f"attention by {kernels}", instead, f"{type(fault).__name__}: {fault}")
            continue
        if error <= TOLERANCE:  # not so of NaN
            return kernels
        fall_back(f"attention by {kernels}", instead, f"its relative error is {error:.2g}")
    return "torch"


def attention_error(kernels: Kernels, device: torch.device, *, deterministic: bool = False) -> float:
    """The largest relative error of a small attention in bfloat16 and of its gradients, against float64 on the CPU.

    Raises what the kernels raise where they do not run.
    """
    generator = torch.Generator().manual_seed(0)
    q, k, v, g = (torch.randn(1, 2, 384, 128, generator=generator).bfloat16() for _ in range(4))
    with use_kernels(kernels, rest=False, deterministic=deterministic):
        results = _attention(*(x.to(device) for x in (q, k, v, g)))
    expected = _attention(*(x.double() for x in (q, k, v, g)))
    return max(float((a.cpu().double() - b).norm() / b.norm()) for a, b in zip(results, expected, strict=True))


def _attention(q: Tensor, k: Tensor, v: Tensor, gradient: Tensor) -> list[Tensor]:
    inputs = [x.requires_grad_(True) for x in (q, k, v)]
    with torch.enable_grad():
        out = F.scaled_dot_product_attention(q, k, v)
    return [out.detach(), *torch.autograd.grad(out, inputs, gradient)]


@contextmanager
def fast_attention(device: torch.device, width: int, *, deterministic: bool = False) -> Iterator[Kernels]:
    """The chosen kernels for `F.scaled_dot_product_attention` inside the block, on heads of `width` channels."""
    kernels = attention_kernels(device, deterministic)
    if device.type != "cuda":
        yield kernels
        return
    if kernels == "flash-attention-4" and width not in WIDTHS:
        kernels = "cudnn" if torch.cuda.get_device_capability(device)[0] >= HOPPER and not deterministic else "flash"
    chose("attention", f"{kernels}, deterministic" if deterministic else kernels)
    with use_kernels(kernels, rest=True, deterministic=deterministic):
        yield kernels


@contextmanager
def use_kernels(kernels: Kernels, *, rest: bool, deterministic: bool) -> Iterator[None]:
    """These kernels inside the block; rest: others behind them, for what they do not take."""
    order = [*_ORDER[kernels], *(_REST if rest or not _ORDER[kernels] else [])]
    with _deterministic(deterministic), _fourth(kernels), sdpa_kernel(list(dict.fromkeys(order)), set_priority=True):
        yield


@contextmanager
def _fourth(kernels: Kernels) -> Iterator[None]:
    """FlashAttention-4 in the place of torch's flash attention, if it is meant, and not there already."""
    if kernels != "flash-attention-4":
        yield
        return
    import torch.nn.attention as attention

    keep_what_is_compiled()
    switch: Any = attention  # torch 2.11 and later
    if switch.current_flash_attention_impl() == "FA4":
        yield
        return
    switch.activate_flash_attention_impl("FA4")
    try:
        yield
    finally:
        switch.restore_flash_attention_impl()


def keep_what_is_compiled() -> None:
    """Lets FlashAttention-4 keep its kernels under the user's cache, unless the user says otherwise.

    It reads this when it is loaded; by itself it compiles them in each process, which takes seconds.
    """
    os.environ.setdefault("FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED", "1")
    os.environ.setdefault("FLASH_ATTENTION_CUTE_DSL_CACHE_DIR", str(cache_folder() / "attention"))


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Deterministic gradients of flash attention; what has no deterministic form elsewhere only warns."""
    if not wanted:
        yield
        return
    former = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    filled = settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = False  # no result depends on it, and it takes time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(former[0], warn_only=former[1])
        settings.fill_uninitialized_memory = filled
