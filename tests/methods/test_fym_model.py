"""Follow-Your-Motion inside the transformer: heads and adaptive RoPE."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.followyourmotion.heads import HeadScores, map_similarities, score_heads
from motionbench.methods.followyourmotion.rope import paper_positions, placed_rope, true_positions
from stand_in import StandIn, random_transformer

from motionbench.errors import ShapeError


def naive_similarities(q, k, frames):
    """The definition in plain loops over a dense map; q, k: (K, S, D) numpy float64."""
    heads, tokens, width = q.shape
    cells = tokens // frames
    block = min(128, cells)
    result = np.zeros((4, heads))
    for h in range(heads):
        logits = q[h] @ k[h].T / np.sqrt(width)
        a = np.exp(logits - logits.max(1, keepdims=True))
        a /= a.sum(1, keepdims=True)
        maps = np.zeros((4, tokens, tokens))
        for i in range(tokens):
            for j in range(tokens):
                fi, pi, fj, pj = i // cells, i % cells, j // cells, j % cells
                maps[0, i, j] = fi == fj
                maps[1, i, j] = pi == pj and fi != fj
                maps[2, i, j] = abs(i // block - j // block) < cells // block
                i_, j_ = pi * frames + fi, pj * frames + fj
                maps[3, i, j] = abs(i_ // block - j_ // block) < cells // block
        for m in range(2):
            result[m, h] = (a * maps[m]).sum() / np.sqrt((a**2).sum() * (maps[m] ** 2).sum())
        for m in (2, 3):
            result[m, h] = (a * maps[m]).sum() / a.sum()
    return result


@pytest.mark.parametrize("chunk", [1, 97, 1 << 24])
def test_streamed_similarities_equal_the_dense_definition(chunk):
    g = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 3, 24, 8, generator=g) * 2
    expected = naive_similarities(q.double().numpy(), k.double().numpy(), frames=4)
    found = map_similarities(q, k, 4, whole=0, chunk=chunk).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_head_that_attends_within_its_frame_is_spatial_and_one_along_time_is_temporal():
    frames, cells = 4, 6
    frame = torch.arange(24) // cells
    cell = torch.arange(24) % cells
    within = 30 * torch.nn.functional.one_hot(frame, 24).float()
    along = 30 * torch.nn.functional.one_hot(cell, 24).float()
    spatial, temporal, *_ = map_similarities(torch.stack([within, along]), torch.stack([within, along]), frames)
    # The first map *is* M_spatial / cells; the second one is M_temporal with its main diagonal: 3 of 4 cells.
    assert spatial[0] == pytest.approx(1, abs=1e-6)
    assert temporal[0] == 0
    assert temporal[1] == pytest.approx(np.sqrt(3 / 4), abs=1e-6)
    scores = HeadScores(*np.stack([spatial, temporal, spatial, temporal])[:, None])
    assert scores.is_temporal("paper").tolist() == [[False, True]]
    assert scores.is_temporal("released").tolist() == [[False, True]]


def test_rules_are_the_two_inequalities():
    scores = HeadScores(*(np.array([v]) for v in ([1.0, 1.3, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.3, 1.29, 9.0])))
    assert scores.is_temporal("paper").tolist() == [[True, False, True]]
    assert scores.is_temporal("paper", alpha=0.5).tolist() == [[False, False, True]]
    assert scores.is_temporal("released").tolist() == [[True, False, True]]


def test_the_controls_of_the_idea_invert_the_split_or_draw_as_many_heads_of_each_layer():
    rng = np.random.default_rng(0)
    scores = HeadScores(*rng.random((4, 6, 8)))
    paper = scores.is_temporal("paper")
    assert (scores.is_temporal("inverted") == ~paper).all()
    drawn = [scores.is_temporal("random", seed=seed) for seed in range(40)]
    assert all((one.sum(1) == paper.sum(1)).all() for one in drawn)
    assert (scores.is_temporal("random", seed=3) == drawn[3]).all()
    mean = np.mean(drawn, axis=0)  # every head as often as its layer's share says
    assert np.abs(mean - paper.mean(1, keepdims=True)).max() < 0.3
    assert not any((one == paper).all() for one in drawn)
    assert np.array_equal(HeadScores.from_json(scores.to_json()).spatial, scores.spatial)


def test_scores_of_the_model_are_those_of_its_own_attention_maps():
    backbone = StandIn()
    latents = torch.randn(1, 4, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    text = backbone.encode_text(["a ball"])
    seen = []

    def spy(attention, hidden, *rest):
        from motionbench.methods.taps.self_attention import rotate

        q = attention.norm_q(attention.to_q(hidden)).unflatten(2, (attention.heads, -1))
        k = attention.norm_k(attention.to_k(hidden)).unflatten(2, (attention.heads, -1))
        seen.append([rotate(x, *rest[-1])[0].transpose(0, 1).double().numpy() for x in (q, k)])
        return own(attention, hidden, *rest)

    attention = backbone.transformer.blocks[1].attn1
    scores = score_heads(backbone, [(latents, text)], (0.5,), 1, torch.Generator().manual_seed(7))
    assert type(attention.processor).__name__ == "WanAttnProcessor"  # the probes are gone
    own, attention.processor = attention.processor, spy
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        backbone.velocity(latents / 2 + noise / 2, torch.tensor([0.5]), text)
    expected = naive_similarities(*seen[0], frames=3)
    for row, name in enumerate(("spatial", "temporal", "mass_spatial", "mass_temporal")):
        np.testing.assert_allclose(getattr(scores, name)[1], expected[row], atol=1e-5)


def test_heads_of_a_single_frame_are_refused():
    with pytest.raises(ShapeError, match="two frames"):
        map_similarities(torch.zeros(1, 4, 2), torch.zeros(1, 4, 2), 1)


def test_integer_positions_give_wans_own_table_exactly():
    model = random_transformer()
    latents = torch.zeros(1, 4, 5, 4, 4)
    own = model.rope(latents)
    with placed_rope(model) as rope:
        rope.positions = (0.0, 1.0, 2.0, 3.0, 4.0)
        for found, expected in zip(model.rope(latents), own, strict=True):
            assert torch.equal(found, expected)
        rope.positions = (0.0, 4.0)
        for found, expected in zip(model.rope(latents[:, :, :2]), own, strict=True):
            assert torch.equal(found, expected.unflatten(1, (5, 4))[:, [0, 4]].flatten(1, 2))
    assert type(model.rope).__name__ == "WanRotaryPosEmbed"


def test_float_positions_turn_time_channels_by_position_times_frequency():
    model = random_transformer(width=12)  # t, h, w = 4, 4, 4 channels
    with placed_rope(model) as rope:
        rope.positions = (0.0, 1.5)
        cos, sin = model.rope(torch.zeros(1, 4, 2, 4, 4))
    for pair, frequency in enumerate((1.0, 10000 ** (-2 / 4))):
        assert float(cos[0, 4, 0, 2 * pair]) == pytest.approx(np.cos(1.5 * frequency), abs=1e-6)
        assert float(sin[0, 4, 0, 2 * pair + 1]) == pytest.approx(np.sin(1.5 * frequency), abs=1e-6)


def test_positions_by_the_paper_and_by_true_indices():
    assert paper_positions(21, 5) == pytest.approx([0, 4.2, 8.4, 12.6, 16.8])
    assert true_positions(range(0, 81, 5), 81, 21, 5) == pytest.approx([0, 5, 10, 15, 20])  # Wan: 4 frames a latent
    assert true_positions([0, 2, 4, 6, 8], 9, 9, 5) == pytest.approx([0, 2, 4, 6, 8])  # no temporal compression
    assert paper_positions(9, 9) == pytest.approx(range(9))
