"""Frozen weights in float8 while a LoRA is tuned: large products at twice the rate, for their rounding.

Weights are quantized once and activations in every product, row by row, each over its largest number; three bits of
mantissa are left, a relative error of 3.7% of a product where bfloat16 has 0.17%. Gradients go through the weights as
they are, in the model's own type: at 1.3B float8 gains nothing there, and its error would add to that of the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motionbench.fallbacks import chose, fall_back

from .streaming import is_streamed

# Weights of a product that pays. One of 1536 x 8960 at 7,800 tokens runs at twice the rate on an H200, some of which
# rounding after GELU takes back; one of 1536 x 1536 took five times as long as without on an H100.
LARGE = 12_000_000
OF_THE_TEXT = ("attn2.to_k", "attn2.to_v")  # few tokens, and none at all if the text is fixed
HIGHEST = 448.0  # of e4m3
CAPABILITY = (8, 9)  # of the first cards with such products
TOLERANCE = 0.02  # of a product on the card against the same rounding done in float32


def quantize_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (..., D) in e4m3, and what each row has to be multiplied by, (..., 1) float32."""
    highest = x.abs().amax(-1, keepdim=True).float()
    scales = highest.clamp_min(1e-12) / HIGHEST
    return (x.float() / scales).clamp(-HIGHEST, HIGHEST).to(torch.float8_e4m3fn), scales


def multiply(x: Tensor, weight: Tensor, scales: Tensor, bias: Tensor | None, *, native: bool) -> Tensor:
    """x (M, D) by quantized weights (N, D) with scales (1, N), in the type of x; native: by the card's own product.

    Else the same rounding is done by a product of x's type, in which all numbers of e4m3 are exact.
    """
    rows, row_scales = quantize_rows(x)
    if native:
        options: dict[str, Any] = {"out_dtype": x.dtype, "use_fast_accum": True}
        out: Tensor = torch._scaled_mm(rows, weight.t(), row_scales, scales, bias=bias, **options)
        return out
    product = F.linear(rows.to(x.dtype), weight.to(x.dtype)).float() * row_scales * scales
    return (product if bias is None else product + bias.float()).to(x.dtype)


class _Product(torch.autograd.Function):
    """`multiply`, with a gradient of x by the unquantized weights."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, own: Tensor, weight: Tensor, scales: Tensor, bias: Any, native: bool) -> Tensor:
        ctx.save_for_backward(own)
        return multiply(x, weight, scales, bias, native=native)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (own,) = ctx.saved_tensors
        below: Tensor = gradients[0] @ own
        return below, None, None, None, None, None


class Float8Linear(nn.Module):
    """A frozen linear layer whose products are of float8."""

    quantized: Tensor
    scales: Tensor

    def __init__(self, linear: nn.Linear, *, native: bool) -> None:
        super().__init__()
        self.native = native
        quantized, scales = quantize_rows(linear.weight.data)
        self.weight, self.bias = linear.weight, linear.bias  # diffusers asks the one for its number type
        self.register_buffer("quantized", quantized, persistent=False)
        self.register_buffer("scales", scales.reshape(1, -1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., N)."""
        flat = x.reshape(-1, x.shape[-1])
        out: Tensor = _Product.apply(flat, self.weight, self.quantized, self.scales, self.bias, self.native)
        return out.view(*x.shape[:-1], -1)


@contextmanager
def float8_weights(transformer: Any, device: torch.device) -> Iterator[int]:
    """Large products of the transformer's blocks in float8 inside the block; yields how many there are.

    Where the card cannot do it, the same rounding is computed in the model's own type, which is told once.
    """
    products = list(large_products(transformer))
    native = bool(products) and has_float8(device)
    if products:
        chose("frozen weights", f"{len(products)} products in float8" + ("" if native else ", as rounding only"))
    else:
        fall_back("frozen weights in float8", "weights as they are", "no product is large enough to gain by it")
    for parent, name, linear in products:
        setattr(parent, name, Float8Linear(linear, native=native))
    try:
        yield len(products)
    finally:
        for parent, name, linear in products:
            setattr(parent, name, linear)


def large_products(transformer: Any) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """The linear layers of the blocks that are worth it, with the modules that hold them and their names there."""
    for block in transformer.blocks:
        if is_streamed(block):
            fall_back("frozen weights in float8", "weights as they are", "blocks are streamed from host memory")
            continue
        for path, module in list(block.named_modules()):
            if type(module) is nn.Linear and module.weight.numel() >= LARGE and not path.endswith(OF_THE_TEXT):
                parent, _, name = path.rpartition(".")
                yield block.get_submodule(parent), name, module


@cache
def has_float8(device: torch.device) -> bool:
    """Whether products of float8 run on a device and are right; if not, that is told."""
    try:
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY:
            raise NotImplementedError("no such products before compute capability 8.9")
        error = float8_error(device)
        if not error <= TOLERANCE:
            raise ArithmeticError(f"its relative error is {error:.2g}")
    except (RuntimeError, ArithmeticError, TypeError, ValueError) as fault:  # NotImplementedError is a RuntimeError
        fall_back("products of float8", "the same rounding in the model's own type, which is no quicker", fault)
        return False
    return True


def float8_error(device: torch.device) -> float:
    """The relative error of a small product on a device against the same rounding done in float32 on the CPU."""
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(rows, 256, generator=generator).bfloat16() for rows in (96, 128))
    bias = torch.randn(128, generator=generator).bfloat16()
    weight, scales = quantize_rows(w)
    scales = scales.reshape(1, -1)
    expected = multiply(x.float(), weight, scales, bias.float(), native=False)
    found = multiply(*(y.to(device) for y in (x, weight, scales, bias)), native=True).cpu().float()
    return float((found - expected).norm() / expected.norm())
