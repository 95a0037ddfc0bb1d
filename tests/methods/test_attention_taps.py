"""Attention taps: queries and keys are those that the attention compares, gradients flow, and the pass ends early."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from motionbench.methods.backbones.recompute import recomputed
from motionbench.methods.taps.attention import queries_and_keys, tap_attentions
from motionbench.methods.taps.self_attention import rotate
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn

from motionbench.errors import ConfigError, ShapeError

LATENTS = torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(0))
TIME = torch.tensor([0.6])


def plain_pass(backbone, latents, text):
    return backbone.velocity(latents, TIME, text)


@pytest.fixture
def backbone():
    return StandIn(layers=3)


@pytest.fixture
def text(backbone):
    return backbone.encode_text(["a ball"])


def test_shapes_are_heads_tokens_width_on_the_grid_of_the_latents(backbone, text):
    taps = queries_and_keys(backbone, LATENTS, TIME, text, [2, 0])
    grid = TokenGrid.of(backbone.transformer, LATENTS.shape[2:])
    assert (grid.frames, grid.height, grid.width, grid.cells, grid.tokens) == (3, 2, 3, 6, 18)
    assert sorted(taps) == [0, 2]
    assert all(x.shape == (1, 4, 18, 12) for tap in taps.values() for x in (tap.query, tap.key))
    with pytest.raises(ShapeError, match="not tiled"):
        TokenGrid.of(backbone.transformer, (3, 5, 6))


def test_attention_by_tapped_queries_and_keys_is_the_attention_of_the_model(backbone, text):
    attention = backbone.transformer.blocks[1].attn1
    seen = {}
    handle = attention.register_forward_hook(lambda m, i, o: seen.update(x=i[0], out=o))
    plain_pass(backbone, LATENTS, text)
    handle.remove()
    tap = queries_and_keys(backbone, LATENTS, TIME, text, [1])[1]
    value = attention.to_v(seen["x"]).unflatten(2, (4, -1)).transpose(1, 2)
    weights = (tap.query @ tap.key.transpose(2, 3) / 12**0.5).softmax(-1)
    out = attention.to_out[0]((weights @ value).transpose(1, 2).flatten(2))
    assert torch.allclose(out, seen["out"], atol=1e-5)


def test_tokens_are_frame_major(backbone, text):
    """Another last frame leaves the first block's queries of the other frames alone."""
    other = LATENTS.clone()
    other[:, :, -1] += 1
    a, b = (queries_and_keys(backbone, x, TIME, text, [0])[0].query for x in (LATENTS, other))
    assert torch.equal(a[:, :, :12], b[:, :, :12])
    assert not torch.allclose(a[:, :, 12:], b[:, :, 12:])


def test_the_pass_ends_before_the_last_block_attends(backbone, text):
    ran = []
    for i, block in enumerate(backbone.transformer.blocks):
        block.attn2.register_forward_pre_hook(lambda m, inputs, i=i: ran.append(i))
    queries_and_keys(backbone, LATENTS, TIME, text, [0, 1])
    assert ran == [0]


def test_without_stop_the_pass_goes_on_and_its_result_is_the_same(backbone, text):
    plain = plain_pass(backbone, LATENTS, text)
    with tap_attentions(backbone.transformer, [0, 2]) as taps:
        assert torch.equal(plain_pass(backbone, LATENTS, text), plain)
    alone = queries_and_keys(backbone, LATENTS, TIME, text, [2])[2]
    assert torch.equal(taps[2].query, alone.query)
    assert torch.equal(taps[2].key, alone.key)
    assert torch.equal(plain_pass(backbone, LATENTS, text), plain)
    with pytest.raises(ShapeError, match="no queries of block 1"):
        taps[1]


def test_gradients_reach_the_latents_and_agree_with_finite_differences(backbone, text):
    def value(x):
        taps = queries_and_keys(backbone, x, TIME, text, [0, 2])
        return sum((tap.query * tap.key).mean() for tap in taps.values())

    x = LATENTS.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(value(x), x)
    step = 3e-3 * slope / slope.norm()  # the model casts to float32, so only a whole direction stands out of rounding
    with torch.no_grad():
        numeric = (value(LATENTS + step) - value(LATENTS - step)).item() / 6e-3
    assert numeric == pytest.approx(slope.norm().item(), rel=1e-2)


def test_gradient_checkpointing_changes_no_number(backbone, text):
    def slope(wanted):
        x = LATENTS.clone().requires_grad_(True)
        with recomputed(backbone.transformer, 99 * wanted):
            taps = queries_and_keys(backbone, x, TIME, text, [1, 2])
            return torch.autograd.grad((taps[1].query * taps[2].key).sum(), x)[0]

    assert torch.equal(slope(True), slope(False))


@pytest.mark.parametrize("blocks", [[3], [-1], [0, 7], []])
def test_a_block_that_is_not_there_is_refused_and_valid_ones_named(backbone, text, blocks):
    with pytest.raises(ConfigError, match=r"0 \.\.\. 2"):
        queries_and_keys(backbone, LATENTS, TIME, text, blocks)


def test_an_error_inside_leaves_the_model_as_it_was(backbone, text):
    own = [block.attn1.processor for block in backbone.transformer.blocks]
    with pytest.raises(RuntimeError, match="mine"), tap_attentions(backbone.transformer, [1]):
        raise RuntimeError("mine")
    queries_and_keys(backbone, LATENTS, TIME, text, [1])
    assert [block.attn1.processor for block in backbone.transformer.blocks] == own
    assert not any(block._forward_pre_hooks for block in backbone.transformer.blocks)


def test_the_rotary_embedding_is_in(backbone, text):
    tap = queries_and_keys(backbone, LATENTS, TIME, text, [0])[0]
    attention = backbone.transformer.blocks[0].attn1
    seen = {}
    handle = attention.register_forward_hook(lambda m, i, o: seen.update(x=i[0]))
    plain_pass(backbone, LATENTS, text)
    handle.remove()
    flat = F.rms_norm(attention.to_q(seen["x"]), (48,), attention.norm_q.weight, 1e-6)
    bare = flat.unflatten(2, (4, -1))
    turned = rotate(bare, *backbone.transformer.rope(LATENTS)).transpose(1, 2)
    assert np.allclose(tap.query.numpy(), turned.numpy(), atol=1e-5)
    assert not np.allclose(tap.query.numpy(), bare.transpose(1, 2).numpy(), atol=1e-2)
