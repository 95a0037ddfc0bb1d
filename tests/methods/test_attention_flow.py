"""Attention flow against plain loops, streamed or not, and where its answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.guidance.attention_flow import (
    best_displacements,
    cell_positions,
    frame_pairs,
    score_factors,
    soft_displacements,
    stream_pairs,
)
from motionbench.methods.taps.attention import QueryKey
from motionbench.methods.taps.token_grid import TokenGrid

GRID = TokenGrid(3, 2, 4)


def random_tap(grid=GRID, heads=2, width=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape = (1, heads, grid.tokens, width)
    return QueryKey(*(torch.randn(shape, generator=g, dtype=torch.float64) for _ in range(2)))


def numpy_scores(tap, i, j, grid, heads="scores"):
    """(n, n) scores of frame i's cells with frame j's, in loops over cells and heads."""
    query, key = tap.query[0].numpy(), tap.key[0].numpy()
    count, _, width = query.shape
    n = grid.height * grid.width
    scores = np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            q, k = query[:, i * n + a], key[:, j * n + b]
            if heads == "scores":
                scores[a, b] = np.mean([q[h] @ k[h] / np.sqrt(width) for h in range(count)])
            else:
                scores[a, b] = q.mean(0) @ k.mean(0) / np.sqrt(width)
    return scores


def numpy_flow(tap, i, j, grid, temperature=None, heads="scores"):
    """(n, 2): soft offsets at a temperature, or those of the best match."""
    scores = numpy_scores(tap, i, j, grid, heads)
    places = np.array([(c % grid.width, c // grid.width) for c in range(len(scores))], float)
    flow = np.zeros((len(scores), 2))
    for a, row in enumerate(scores):
        if temperature is None:
            flow[a] = places[row.argmax()] - places[a]
        else:
            weights = np.exp(temperature * (row - row.max()))
            for weight, place in zip(weights / weights.sum(), places, strict=True):
                flow[a] += weight * (place - places[a])
    return flow


@pytest.mark.parametrize("heads", ["scores", "features"])
@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_flow_equals_plain_numpy_for_any_number_of_frames(heads, frames):
    grid = TokenGrid(frames, 2, 4)
    tap = random_tap(grid)
    query, key = score_factors(tap, grid, heads)
    pairs = frame_pairs(frames)
    soft = soft_displacements(query, key, grid, pairs, 2.0)
    best = best_displacements(query, key, grid, pairs)
    assert soft.shape == best.shape == (frames**2, 8, 2)
    for p, (i, j) in enumerate(pairs.tolist()):
        assert np.allclose(soft[p], numpy_flow(tap, i, j, grid, 2.0, heads), atol=1e-12)
        assert np.array_equal(best[p].numpy(), numpy_flow(tap, i, j, grid, None, heads))


def test_pairs_are_ordered_and_within_reach():
    assert frame_pairs(3).tolist() == [[i, j] for i in range(3) for j in range(3)]
    assert frame_pairs(4, 2).tolist() == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3]]
    assert len(frame_pairs(5, 9)) == 15


def test_streaming_changes_no_number_and_no_gradient():
    tap = random_tap()
    pairs = frame_pairs(GRID.frames)

    def run(elements):
        query, key = (x.clone().requires_grad_(True) for x in score_factors(tap, GRID))
        flow = soft_displacements(query, key, GRID, pairs, 2.0, elements=elements)
        return [flow.detach(), *torch.autograd.grad(flow.square().sum(), [query, key])]

    whole = run(1 << 20)
    for elements in (1, 2 * 64, 5 * 64):
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(run(elements), whole, strict=True))


def test_streaming_keeps_one_chunk_of_scores_at_a_time():
    """What autograd keeps does not grow with the number of pairs, but for the inputs and the results."""
    query, key = (x.clone().requires_grad_(True) for x in score_factors(random_tap(), GRID))
    sizes, chunks = [], []

    def pack(x):
        sizes.append(x.numel())
        return x

    def reduce(scores):
        chunks.append(scores.shape)
        return scores.softmax(-1)[..., 0]

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        stream_pairs(query, key, frame_pairs(3), reduce, elements=2 * 64)
    assert set(chunks) == {(2, 8, 8), (1, 8, 8)}
    assert max(sizes) <= query.numel()  # never the (2, 8, 8) of a chunk, let alone the (9, 8, 8) of all


def test_gradients_equal_finite_differences():
    grid = TokenGrid(2, 2, 2)
    query, key = score_factors(random_tap(grid, seed=3), grid)

    def flow(q, k):
        return soft_displacements(q, k, grid, frame_pairs(2), 2.0)

    assert torch.autograd.gradcheck(flow, (query.requires_grad_(True), key.requires_grad_(True)))


def test_a_pattern_that_shifts_gives_its_shift():
    """Each cell has a code of its own; frame j holds frame 0's codes j columns to the right."""
    grid = TokenGrid(3, 3, 6)
    codes = torch.eye(18, dtype=torch.float64).view(3, 6, 18)
    frames = torch.stack([codes.roll(j, dims=1) for j in range(3)]).flatten(0, 2)  # (N, 18)
    tap = QueryKey(frames[None, None] * 100, frames[None, None] * 100)
    query, key = score_factors(tap, grid)
    pairs = frame_pairs(3)
    soft = soft_displacements(query, key, grid, pairs, 2.0)
    assert torch.allclose(soft, best_displacements(query, key, grid, pairs))
    for p, (i, j) in enumerate(pairs.tolist()):
        flow = soft[p].view(3, 6, 2)
        seen = flow[:, i : 6 - max(0, j - i)] if j > i else flow[:, max(i - j, 0) :]  # what does not wrap around
        assert torch.allclose(seen[..., 0], torch.full_like(seen[..., 0], j - i))
        assert torch.allclose(seen[..., 1], torch.zeros_like(seen[..., 1]), atol=1e-9)


def test_positions_run_along_rows_first():
    assert cell_positions(GRID, torch.zeros(1)).tolist()[:5] == [[0, 0], [1, 0], [2, 0], [3, 0], [0, 1]]
