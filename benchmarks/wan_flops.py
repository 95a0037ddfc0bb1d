"""Floating-point operations of a Wan transformer, counted from its shapes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """What a count needs. tokens: of one sample; text: tokens of its prompt; rank: of the LoRA on q, k, v and o."""

    layers: int
    width: int
    ffn_width: int
    tokens: int
    text: int
    batch: int = 1
    rank: int = 0


def linear_flops(shape: Shape) -> float:
    """Products with weights in one forward pass: q, k, v, o; q and o of the cross-attention; the feed-forward part."""
    per_token = 2 * (6 * shape.width**2 + 2 * shape.width * shape.ffn_width)
    return float(shape.layers * shape.batch * shape.tokens * per_token)


def text_flops(shape: Shape) -> float:
    """Keys and values of the prompt in one forward pass."""
    return float(shape.layers * shape.batch * shape.text * 2 * 2 * shape.width**2)


def attention_flops(shape: Shape) -> float:
    """q k^T and the product with v in one forward pass, of both attentions."""
    return float(shape.layers * shape.batch * 4 * shape.tokens * (shape.tokens + shape.text) * shape.width)


def lora_flops(shape: Shape) -> float:
    """Both products of four LoRAs in one forward pass."""
    return float(shape.layers * shape.batch * shape.tokens * 4 * 2 * 2 * shape.width * shape.rank)


def forward_flops(shape: Shape) -> float:
    """One pass without gradients."""
    return linear_flops(shape) + text_flops(shape) + attention_flops(shape) + lora_flops(shape)


def training_flops(shape: Shape) -> float:
    """What a training step must do: a forward pass, and the gradients of activations and of the LoRA.

    Frozen weights need no gradient, so a linear layer costs twice its forward pass. Attention costs 3.5 times its own:
    its gradient has five products where the forward pass has two, since the maps are never stored. The text is a
    constant. Recomputed blocks are not counted: that work is not useful.
    """
    return 2 * linear_flops(shape) + text_flops(shape) + 3.5 * attention_flops(shape) + 3 * lora_flops(shape)
