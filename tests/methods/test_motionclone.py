"""MotionClone-style: maps and loss against plain loops, the direction of its step, and its uneven times."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, noised, shift_times
from motionbench.methods.guidance.sampling import Step, loss_gradient
from motionbench.methods.motionclone.losses import frame_maps, sparse_loss, strongest
from motionbench.methods.motionclone.method import MotionClone
from motionbench.methods.motionclone.schedule import ramp, uneven_times
from motionbench.methods.taps.attention import QueryKey
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn, moving_square
from test_attention_flow import random_tap

from motionbench.errors import ConfigError
from motionbench.method import Runtime
from motionbench.seeds import derive_seed

GRID = TokenGrid(4, 2, 3)


def numpy_maps(tap, grid):
    """(K, n, F, F) from the whole attention map: its entries between the same places, renormalized."""
    query, key = tap.query[0].numpy(), tap.key[0].numpy()
    count, tokens, width = query.shape
    maps = np.zeros((count, grid.cells, grid.frames, grid.frames))
    for head in range(count):
        scores = query[head] @ key[head].T / np.sqrt(width)
        full = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        for s in range(grid.cells):
            for i in range(grid.frames):
                row = [full[i * grid.cells + s, j * grid.cells + s] for j in range(grid.frames)]
                maps[head, s, i] = np.array(row) / sum(row)
    assert tokens == grid.frames * grid.cells
    return maps


def numpy_loss(maps, reference, weight, others):
    total = 0.0
    for block, found in reference.items():
        gaps = []
        for head, s, i in np.ndindex(found.shape[:3]):
            row = found[head, s, i].copy()
            if others:
                row[i] = -1
            gaps.append((maps[block][head, s, i, row.argmax()] - row.max()) ** 2)
        total += np.mean(gaps)
    return weight * total


def test_maps_are_the_renormalized_slice_of_the_full_attention():
    tap = random_tap(GRID, heads=3)
    maps = frame_maps(tap, GRID)
    assert maps.shape == (3, 6, 4, 4)
    assert np.allclose(maps, numpy_maps(tap, GRID), atol=1e-12)


@pytest.mark.parametrize("others", [False, True])
def test_the_loss_equals_plain_numpy(others):
    maps = {block: frame_maps(random_tap(GRID, seed=block), GRID) for block in (0, 2)}
    reference = {block: frame_maps(random_tap(GRID, seed=block + 10), GRID) for block in (0, 2)}
    kept = {block: strongest(found, others=others) for block, found in reference.items()}
    if others:
        diagonal = torch.arange(4).view(1, 1, 4, 1)
        assert not any((indices == diagonal).any() for _, indices in kept.values())
    expected = numpy_loss(*({b: m.numpy() for b, m in x.items()} for x in (maps, reference)), 2000.0, others)
    assert sparse_loss(maps, kept, 2000.0).item() == pytest.approx(expected, rel=1e-10)
    assert sparse_loss(reference, kept).item() == 0


def test_only_the_strongest_entries_count():
    found = frame_maps(random_tap(GRID), GRID)
    values, indices = strongest(found)
    changed = torch.rand_like(found).scatter(-1, indices, values)
    assert sparse_loss({0: changed}, {0: (values, indices)}) == 0


def test_gradients_equal_finite_differences():
    tap = random_tap(GRID, heads=2, width=3)
    reference = {0: strongest(frame_maps(random_tap(GRID, seed=1, heads=2, width=3), GRID))}

    def loss(query, key):
        return sparse_loss({0: frame_maps(QueryKey(query, key), GRID)}, reference, 10.0)

    assert torch.autograd.gradcheck(loss, (tap.query.requires_grad_(True), tap.key.requires_grad_(True)))


def test_guided_steps_are_dense_where_noise_is_high():
    times = uneven_times(100, 50, 0.3, 1.0)
    assert (len(times), times[0], times[-1]) == (101, 1, 0)
    assert times[50].item() == pytest.approx(0.7)
    assert torch.allclose(times.diff()[:50], torch.tensor(-0.3 / 50), atol=1e-6)
    assert torch.allclose(times.diff()[50:], torch.tensor(-0.7 / 50), atol=1e-6)
    assert torch.allclose(uneven_times(10, 4, 0.3, 3.0), shift_times(uneven_times(10, 4, 0.3, 1.0), 3.0))
    even = shift_times(torch.linspace(1, 0, 11), 3.0)
    assert torch.equal(uneven_times(10, 4, 0.0, 3.0), even)
    assert torch.equal(uneven_times(10, 0, 0.3, 3.0), even)
    with pytest.raises(ConfigError, match="guided_steps must be below sample_steps"):
        uneven_times(10, 10, 0.3, 3.0)


def test_the_strength_fades_in_and_out():
    assert [ramp(i, 25, 10) for i in range(12)] == pytest.approx([0.1 * k for k in range(1, 11)] + [1, 1])
    assert [ramp(i, 25, 10) for i in range(15, 27)] == pytest.approx([0.1 * k for k in range(10, 0, -1)] + [0, 0])
    assert [ramp(i, 3, 0) for i in range(4)] == [1, 1, 1, 0]


def make(**changes):
    values = {"sample_steps": 4, "guided_steps": 2, "ramp_steps": 1, "weight": 2e4} | changes
    return MotionClone(MotionClone.Config(**values), Runtime(backbone="stand_in"), StandIn())


def test_the_reference_is_read_noised_at_its_time_with_an_empty_prompt():
    made = make(blocks=(1, 0), reference_time=0.4)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    latents = adapter.tensors["reference"]
    noise = gaussian(tuple(latents.shape), derive_seed(1, "motionclone", "reference"), "cpu")
    t = torch.tensor([0.4])
    maps = made.maps(noised(latents, noise, t), t, made.backbone.encode_text([""]))
    assert sorted(adapter.tensors) == ["indices.0", "indices.1", "reference", "values.0", "values.1"]
    for block in (0, 1):
        values, indices = strongest(maps[block])
        assert torch.equal(adapter.tensors[f"values.{block}"], values)
        assert torch.equal(adapter.tensors[f"indices.{block}"].long(), indices)


def test_the_step_goes_downhill_by_the_product_of_both_times():
    made = make()
    adapter = made.fit(moving_square(), "a ball", seed=1)
    x, text = gaussian((1, 4, 9, 4, 4), 7, "cpu"), made.backbone.encode_text(["a star"])
    guide = made.guide(adapter, text, x, seed=2)
    step = Step(1, 4, torch.tensor([0.8]), torch.tensor([0.6]))

    def loss(y):
        return sparse_loss(made.maps(y, step.t, text), guide.reference, made.config.weight)

    value, slope = loss_gradient(loss, x)
    following = torch.randn_like(x)
    moved = guide.correct(following, x, step) - following
    assert torch.allclose(moved, -0.8 * 0.6 * slope, atol=1e-6)
    assert loss(x + 1e-3 * moved / moved.norm()) < value
    past = Step(2, 4, step.t, step.t_next)
    assert torch.equal(guide.correct(following, x, past), following)


def test_a_faded_step_is_as_much_shorter():
    made = make(ramp_steps=4, guided_steps=3)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    x = gaussian((1, 4, 9, 4, 4), 7, "cpu")
    guide = made.guide(adapter, made.backbone.encode_text(["a star"]), x, seed=2)
    moves = [guide.correct(x, x, Step(i, 4, torch.tensor([0.8]), torch.tensor([0.6]))) - x for i in range(3)]
    assert torch.allclose(moves[0], moves[2], atol=1e-6)
    assert torch.allclose(moves[1], 2 * moves[0], atol=1e-5)


def test_without_guidance_it_is_plain_sampling():
    made = make(weight=0.0, guided_range=0.0)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    plain = make(guided_steps=0)
    assert np.array_equal(
        made.generate(adapter, "a star", seed=2).frames, plain.generate(adapter, "a star", seed=2).frames
    )
