"""DiTFlow: its loss against plain loops, any number of frames, and an injection that acts when it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from motionbench.methods.ditflow.injection import injection
from motionbench.methods.ditflow.losses import flow_loss
from motionbench.methods.ditflow.method import DitFlow
from motionbench.methods.guidance.sampling import Step, optimize
from motionbench.methods.taps.attention import queries_and_keys
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn, moving_square
from test_attention_flow import numpy_flow

from motionbench.method import Runtime


def numpy_loss(flow, reference, still):
    gaps = []
    for p in range(len(flow)):
        for cell in range(flow.shape[1]):
            if still or np.hypot(*reference[p, cell]) > 0:
                gaps += [(flow[p, cell, axis] - reference[p, cell, axis]) ** 2 for axis in (0, 1)]
    return np.mean(gaps) if gaps else 0.0


def flows(seed=0, shape=(4, 6, 2)):
    g = torch.Generator().manual_seed(seed)
    flow = torch.randn(shape, generator=g, dtype=torch.float64)
    return flow, torch.randint(-1, 2, shape, generator=g).double()


@pytest.mark.parametrize("still", [False, True])
def test_the_loss_equals_plain_numpy(still):
    flow, reference = flows()
    assert 0 < (reference == 0).all(-1).sum() < 24
    expected = numpy_loss(flow.numpy(), reference.numpy(), still)
    assert flow_loss(flow, reference, still=still).item() == pytest.approx(expected, rel=1e-12)


def test_cells_that_do_not_move_count_only_if_asked():
    flow, reference = flows()
    changed = torch.where((reference == 0).all(-1, keepdim=True), flow + 5, flow)
    assert flow_loss(changed, reference) == flow_loss(flow, reference)
    assert flow_loss(changed, reference, still=True) > flow_loss(flow, reference, still=True) + 1


def test_a_reference_without_motion_gives_zero_and_a_zero_gradient():
    flow = flows()[0].requires_grad_(True)
    loss = flow_loss(flow, torch.zeros_like(flow))
    (slope,) = torch.autograd.grad(loss, flow)
    assert loss == 0
    assert slope.abs().max() == 0


def test_gradients_equal_finite_differences():
    flow, reference = flows(1)
    for still in (False, True):
        assert torch.autograd.gradcheck(lambda x, s=still: flow_loss(x, reference, still=s), flow.requires_grad_(True))


def make(backbone=None, **changes):
    values = {"guided_share": 0.7, "iterations": 2, "lr_from": 0.05, "lr_to": 0.05} | changes
    return DitFlow(DitFlow.Config(**values), Runtime(backbone="stand_in"), backbone or StandIn())


def latents_of(frames, seed=0):
    return torch.randn(1, 4, frames, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frames", [1, 2, 5, 6, 9])
def test_flow_and_loss_are_those_of_the_clips_own_frames(frames):
    """The released code takes the reference as six frames, whatever it has."""
    made, grid = make(kv_injection=False), TokenGrid(frames, 2, 2)
    reference, latents = latents_of(frames), latents_of(frames, 1)
    kept = made.inspect(reference, seed=0)["flow"]
    tap = queries_and_keys(made.backbone, reference, torch.zeros(1), made.backbone.encode_text([""]), [1])[1]
    expected = np.stack([numpy_flow(tap, i, j, grid) for i in range(frames) for j in range(frames)])
    assert np.array_equal(kept.numpy(), expected)

    text, step = made.backbone.encode_text(["a star"]), Step(0, 3, torch.tensor([0.8]), torch.tensor([0.6]))
    adapter = type("Kept", (), {"tensors": {"flow": kept}})
    loss = made.guide(adapter, text, latents, seed=0).loss_at(latents, step)
    tap = queries_and_keys(made.backbone, latents, step.t, text, [1])[1]
    flow = np.stack([numpy_flow(tap, i, j, grid, 2.0) for i in range(frames) for j in range(frames)])
    assert loss(latents).item() == pytest.approx(numpy_loss(flow, expected, False), rel=1e-3, abs=1e-6)


def test_guidance_lowers_the_loss_it_is_given():
    made = make(kv_injection=False, iterations=20, lr_from=0.05, lr_to=0.05)
    adapter = made.fit(moving_square(), "a ball", seed=1)
    x, text = latents_of(9, 3), made.backbone.encode_text(["a star"])
    guide = made.guide(adapter, text, x, seed=0)
    step = Step(0, 3, torch.tensor([0.8]), torch.tensor([0.6]))
    loss = guide.loss_at(x, step)
    better = optimize(x, guide, made.config.schedule(3), step)
    assert loss(better) < 0.8 * loss(x)


def test_injected_keys_and_values_are_the_references_and_only_while_active():
    backbone = StandIn()
    x, reference, t = latents_of(9), latents_of(9, 1), torch.tensor([0.7])
    text = backbone.encode_text(["a star"])
    plain = backbone.velocity(x, t, text)
    with injection(backbone, 0, reference) as switch:
        assert torch.equal(backbone.velocity(x, t, text), plain)
        switch.active = True
        changed = backbone.velocity(x.repeat(2, 1, 1, 1, 1), t.repeat(2), text.repeat(2, 1, 1))  # as with guidance
        assert torch.allclose(changed[0], changed[1], atol=1e-5)
        assert not torch.allclose(changed[:1], plain, atol=1e-2)
        injected = queries_and_keys(backbone, x, t, text, [0])[0]
    assert torch.equal(backbone.velocity(x, t, text), plain)
    own = queries_and_keys(backbone, reference, torch.zeros(1), backbone.encode_text([""]), [0])[0]
    assert torch.allclose(injected.key, own.key, atol=1e-5)
    assert not torch.allclose(injected.query, own.query, atol=1e-2)


def test_injection_acts_in_guided_steps_and_no_others():
    acted = []

    class Watched(StandIn):
        def velocity(self, latents, t, text):
            hooks = self.transformer.blocks[0].attn1.to_k._forward_hooks.values()
            acted.extend((round(t[0].item(), 3), hook.func.__self__.active) for hook in hooks)
            return super().velocity(latents, t, text)

    made = make(Watched())
    adapter = made.fit(moving_square(), "a ball", seed=1)
    made.generate(adapter, "a star", seed=2)
    times = [round(t, 3) for t in made.times().tolist()]
    assert {t for t, active in acted if active} == set(times[:2])  # round(0.7 * 3) guided steps
    assert {t for t, active in acted if not active} == {times[2]}
    acted.clear()
    make(Watched(), kv_injection=False).generate(adapter, "a star", seed=2)
    assert acted == []
