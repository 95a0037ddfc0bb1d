"""FastVMT: windows, both losses and the reuse of gradients against plain loops, and where it starts from."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, shift_times
from motionbench.methods.fastvmt.losses import distance_weights, successions, tracking_loss, windowed_flow_loss
from motionbench.methods.fastvmt.method import FastVmt
from motionbench.methods.fastvmt.windows import Windows
from motionbench.methods.guidance.attention_flow import frame_pairs, score_factors
from motionbench.methods.guidance.sampling import InnerSchedule, Step, optimize
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn, moving_square
from test_attention_flow import numpy_flow, numpy_scores, random_tap

from motionbench.method import Runtime
from motionbench.seeds import derive_seed


def softmax(row):
    weights = np.exp(row - row.max())
    return weights / weights.sum()


def numpy_corner(scores, windows, top, left):
    """First row and column of the window of the tile that begins at a row and a column."""
    grid, (rows, columns) = windows.grid, windows.tile
    cells = [
        (r, c) for r in range(top, min(top + rows, grid.height)) for c in range(left, min(left + columns, grid.width))
    ]
    if windows.query == "center":
        height, width = cells[-1][0] - top + 1, cells[-1][1] - left + 1
        look = scores[(top + height // 2) * grid.width + left + width // 2]
    else:
        look = np.mean([scores[r * grid.width + c] for r, c in cells], axis=0)
    place = np.zeros(2)
    for cell, weight in enumerate(softmax(windows.temperature * look)):
        place += weight * np.array([cell // grid.width, cell % grid.width])
    sides = min(windows.side, grid.height), min(windows.side, grid.width)
    first = [round(place[axis]) - sides[axis] // 2 for axis in (0, 1)]
    last = grid.height - sides[0], grid.width - sides[1]
    return [min(max(first[axis], 0), last[axis]) for axis in (0, 1)], sides


def numpy_windowed(tap, i, j, windows, heads="features"):
    """(n, 2) displacements and (M, D) mean keys of a frame pair, tile by tile and cell by cell."""
    grid = windows.grid
    scores = numpy_scores(tap, i, j, grid, heads)
    keys = tap.key[0].numpy()[:, j * grid.cells : (j + 1) * grid.cells].mean(0)
    flow, means = np.zeros((grid.cells, 2)), []
    for top in range(0, grid.height, windows.tile[0]):
        for left in range(0, grid.width, windows.tile[1]):
            (row, column), (down, across) = numpy_corner(scores, windows, top, left)
            inside = [r * grid.width + c for r in range(row, row + down) for c in range(column, column + across)]
            means.append(keys[inside].mean(0))
            for r in range(top, min(top + windows.tile[0], grid.height)):
                for c in range(left, min(left + windows.tile[1], grid.width)):
                    own = r * grid.width + c
                    for cell, weight in zip(inside, softmax(windows.temperature * scores[own, inside]), strict=True):
                        flow[own] += weight * np.array([cell % grid.width - c, cell // grid.width - r])
    return flow, np.stack(means)


def split_pairs(pairs):
    same = pairs[:, 0] == pairs[:, 1]
    return pairs[same], pairs[~same]


CASES = [
    (TokenGrid(3, 4, 6), (2, 3), 3, "center"),
    (TokenGrid(3, 4, 6), (2, 2), 3, "mean"),
    (TokenGrid(2, 5, 7), (3, 4), 3, "center"),  # tiles that do not fill the grid
    (TokenGrid(2, 3, 5), (2, 2), 4, "center"),  # a window higher than the grid
    (TokenGrid(4, 2, 2), (3, 4), 21, "mean"),  # one tile, one window
]


@pytest.mark.parametrize(("grid", "tile", "side", "query"), CASES)
@pytest.mark.parametrize("elements", [1, 1 << 20])
def test_windowed_flow_and_mean_keys_equal_plain_numpy(grid, tile, side, query, elements):
    tap = random_tap(grid, heads=2, width=5)
    windows = Windows(grid, tile, side, 3.0, query)
    factors = score_factors(tap, grid, "features")
    own, others = split_pairs(frame_pairs(grid.frames, 4))
    pairs = torch.cat([own, others])
    flow = windows.flow(*factors, own, others, elements=elements)
    means = windows.key_means(*factors, pairs, elements=elements)
    for p, (i, j) in enumerate(pairs.tolist()):
        expected, keys = numpy_windowed(tap, i, j, windows)
        if i == j:
            expected = numpy_flow(tap, i, j, grid, 3.0, "features")  # a frame with itself sees all of it
        assert np.allclose(flow[p], expected, atol=1e-10)
        assert np.allclose(means[p], keys, atol=1e-10)


def test_every_window_lies_inside_the_frame_as_a_whole():
    grid = TokenGrid(2, 5, 7)
    scores = torch.full((1, 35, 35), -50.0)
    scores[..., 0] = 0  # all look at the first corner
    assert Windows(grid, (3, 4), 3).corners(scores).unique().tolist() == [0]
    scores = torch.full((1, 35, 35), -50.0)
    scores[..., -1] = 0
    assert Windows(grid, (3, 4), 3).corners(scores)[0].tolist() == [[2, 4]] * 4


def test_a_window_counts_its_place_in_the_frame():
    """The released code measures inside the window only, and so loses how far the window itself has moved."""
    grid = TokenGrid(2, 1, 12)
    codes = 100 * torch.eye(12, dtype=torch.float64)
    query, key = torch.stack([codes, codes]), torch.stack([codes, codes.roll(6, dims=0)])
    flow = Windows(grid, (1, 2), 3).flow(query, key, torch.empty(0, 2, dtype=int), torch.tensor([[0, 1]]))
    assert torch.allclose(flow[0, 1:5], torch.tensor([[6.0, 0.0]], dtype=torch.float64).expand(4, 2), atol=1e-6)


def test_weights_fall_from_one_with_the_distance():
    pairs = frame_pairs(4, 3)
    expected = [1 - 0.2 * (j - i) / 2 for i, j in pairs.tolist()]
    assert distance_weights(pairs, 3).tolist() == pytest.approx(expected)
    assert distance_weights(frame_pairs(3, 1), 1).tolist() == [1, 1, 1]


def losses_of(seed=0):
    g = torch.Generator().manual_seed(seed)
    pairs = frame_pairs(4, 3)
    flow, reference = (torch.randn(len(pairs), 6, 2, generator=g, dtype=torch.float64) for _ in range(2))
    return pairs, flow, reference, torch.randn(len(pairs), 2, 5, generator=g, dtype=torch.float64)


def test_the_flow_loss_equals_plain_numpy():
    pairs, flow, reference, _ = losses_of()
    total = 0.0
    for p, (i, j) in enumerate(pairs.tolist()):
        for cell in range(6):
            total += [1, 0.9, 0.8][j - i] * math.dist(flow[p, cell].tolist(), reference[p, cell].tolist()) ** 2
    loss = windowed_flow_loss(flow, reference, distance_weights(pairs, 3))
    assert loss.item() == pytest.approx(total / len(pairs), rel=1e-6)


def test_the_tracking_loss_equals_plain_numpy():
    pairs, *_, means = losses_of()
    by_frame = []
    for i in range(4):
        rows = [means[p].numpy() for p, (a, _) in enumerate(pairs.tolist()) if a == i]
        steps = [np.linalg.norm(b[m] - a[m]) for a, b in pairwise(rows) for m in range(2)]
        if steps:
            by_frame.append(np.mean(steps))
    assert tracking_loss(means, *successions(pairs)).item() == pytest.approx(np.mean(by_frame), rel=1e-12)
    assert len(by_frame) == 3  # the last frame has one partner
    assert tracking_loss(means[:1], *successions(pairs[:1])) == 0
    assert tracking_loss(torch.ones_like(means), *successions(pairs)) == 0


def test_gradients_equal_finite_differences():
    pairs, flow, reference, means = losses_of(1)
    weights = distance_weights(pairs, 3)
    assert torch.autograd.gradcheck(lambda x: windowed_flow_loss(x, reference, weights), flow.requires_grad_(True))
    assert torch.autograd.gradcheck(lambda x: tracking_loss(x, *successions(pairs)), means.requires_grad_(True))
    grid = TokenGrid(2, 2, 4)
    query, key = (x.requires_grad_(True) for x in score_factors(random_tap(grid, seed=2), grid))
    windows = Windows(grid, (1, 2), 2, 2.0)
    assert torch.autograd.gradcheck(lambda q, k: windows.flow(q, k, *split_pairs(frame_pairs(2))), (query, key))
    assert torch.autograd.gradcheck(lambda k: windows.key_means(query.detach(), k, frame_pairs(2)), (key,))


def make(backbone=None, **changes):
    values = {"block": 1, "tile": (1, 2), "window": 2, "iterations": 4, "guided_share": 0.7} | changes
    return FastVmt(FastVmt.Config(**values), Runtime(backbone="stand_in"), backbone or StandIn())


def test_it_starts_from_the_noised_reference_at_its_strength_or_from_noise():
    made = make(strength=0.5)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    first = shift_times(torch.tensor(0.5), 3.0)
    noise = gaussian((1, 4, 9, 4, 4), derive_seed(2, "sample"), "cpu")
    times = made.times()
    assert times[0] == first == 0.75
    assert (times[-1], len(times)) == (0, 4)
    assert bool((times.diff() < 0).all())
    assert torch.allclose(made.start(adapter, seed=2), (1 - first) * adapter.tensors["reference"] + first * noise)
    noisy = make(start="noise")
    assert noisy.times()[0] == 1
    assert torch.equal(noisy.start(adapter, seed=2), noise)
    clips = [m.generate(adapter, "a star", seed=2).frames for m in (made, noisy)]
    assert not np.array_equal(*clips)


def test_the_guides_loss_is_the_sum_of_both_by_weight():
    made = make(flow_weight=5.0, tracking_weight=2.0, reach=3)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    text, step = made.backbone.encode_text(["a star"]), Step(0, 3, torch.tensor([0.8]), torch.tensor([0.6]))
    x = gaussian((1, 4, 9, 4, 4), 7, "cpu")
    guide = made.guide(adapter, text, x, seed=2)
    total = guide.loss_at(x, step)(x).item()
    parts = []
    for weights in ({"flow_weight": 1.0, "tracking_weight": 0.0}, {"flow_weight": 0.0, "tracking_weight": 1.0}):
        alone = make(**({"reach": 3} | weights)).guide(adapter, text, x, seed=2)
        parts.append(alone.loss_at(x, step)(x).item())
    assert min(parts) > 0
    assert total == pytest.approx(5 * parts[0] + 2 * parts[1], rel=1e-5)
    # nothing to mend in the noised reference itself with the prompt that it was read with
    empty = make(reach=3, tracking_weight=0.0).guide(adapter, made.backbone.encode_text([""]), x, seed=2)
    same = empty.reference.at(step.t)
    assert empty.loss_at(same, step)(same).item() == pytest.approx(0, abs=1e-8)


def test_a_gradient_is_fresh_at_every_third_iteration_and_the_rate_falls_within_a_step():
    config = FastVmt.Config()
    schedule = config.schedule(50)
    assert schedule == InnerSchedule(20, 10, 3e-3, 2e-3, 1e-2, 3, "iterations")
    rates = [schedule.rate(19, k) for k in range(10)]
    assert rates == pytest.approx(np.linspace(3e-3, 2e-3, 10).tolist())
    assert make(lr_along="steps").config.schedule(10).rate(0, 3) == 3e-3

    made = make(iterations=10)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    x = gaussian((1, 4, 9, 4, 4), 7, "cpu")
    calls = []
    velocity = made.backbone.velocity
    made.backbone.velocity = lambda *a: calls.append(torch.is_grad_enabled()) or velocity(*a)
    guide = made.guide(adapter, made.backbone.encode_text(["a star"]), x, seed=2)
    optimize(x, guide, made.config.schedule(3), Step(0, 3, torch.tensor([0.8]), torch.tensor([0.6])))
    assert calls == [False] + [True] * 4  # the reference once, then iterations 0, 3, 6 and 9
