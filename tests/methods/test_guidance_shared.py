"""What the guided methods share: taps, the noised reference, the guided sampling loop, and the adapter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, sampling_times
from motionbench.methods.backbones.recompute import recomputed
from motionbench.methods.guidance.method import GuidanceAdapter, GuidanceConfig, GuidanceMethod
from motionbench.methods.guidance.noised_reference import NoisedReference
from motionbench.methods.guidance.sampling import Guide, InnerSchedule, optimize, sample_guided
from motionbench.methods.guidance.sampling import Step as GuidedStep
from motionbench.methods.taps.features import StopForward, block_features, middle_block, tap_blocks, until_stopped
from stand_in import StandIn, moving_square

from motionbench.errors import ConfigError, NotFiniteError, ShapeError, StoreError
from motionbench.method import InputContract, Method, Runtime

CLIP = moving_square()


def inputs(backbone, seed=0):
    x = torch.randn((1, *backbone.latent_shape()), generator=torch.Generator().manual_seed(seed))
    return x, torch.tensor([0.6]), backbone.encode_text(["a ball"])


def blocks_by_hand(transformer, x, t, text):
    """Every block's output, from the transformer's parts called in order."""
    tokens = transformer.patch_embedding(x).flatten(2).transpose(1, 2)
    _, parts, context, _ = transformer.condition_embedder(t * 1000, text, None)
    outputs = []
    for block in transformer.blocks:
        tokens = block(tokens, context, parts.unflatten(1, (6, -1)), transformer.rope(x))
        outputs.append(tokens)
    return outputs


# --- taps


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("stop", [True, False])
def test_a_tap_gives_what_the_block_hands_on_as_a_grid(block, stop):
    backbone = StandIn(layers=3)
    x, t, text = inputs(backbone)
    with tap_blocks(backbone.transformer, [block], stop=stop) as taps:
        backbone.velocity(x, t, text)
    expected = blocks_by_hand(backbone.transformer, x, t, text)[block]
    assert taps[block].shape == (1, 9, 2, 2, 48)
    for f, row, column in np.ndindex(9, 2, 2):
        assert torch.allclose(taps[block][0, f, row, column], expected[0, f * 4 + row * 2 + column], atol=1e-5)
    with pytest.raises(ShapeError, match="no features of block"):
        taps[block + 1]


def test_blocks_after_the_last_wanted_one_are_not_run():
    backbone = StandIn(layers=3)
    ran = []
    for i, block in enumerate(backbone.transformer.blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    reached = []
    with tap_blocks(backbone.transformer, [1, 0], stop=True) as taps:
        backbone.velocity(*inputs(backbone))
        reached.append(True)
    assert (ran, reached) == ([0, 1], [])
    assert taps[0].shape == taps[1].shape


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("block", [0, 2])
def test_gradients_flow_through_a_tap_with_and_without_checkpointing(block, checkpointed):
    backbone = StandIn(layers=3)
    x, t, text = inputs(backbone)
    with recomputed(backbone.transformer, 99 * checkpointed):
        x.requires_grad_(True)
        (slope,) = torch.autograd.grad(block_features(backbone, x, t, text, block).square().mean(), x)
    y = x.detach().requires_grad_(True)
    expected = blocks_by_hand(backbone.transformer, y, t, text)[block].square().mean()
    assert torch.allclose(slope, torch.autograd.grad(expected, y)[0], atol=1e-6)
    assert slope.abs().max() > 0


def test_a_tap_leaves_no_hook_behind_even_after_an_error():
    backbone = StandIn()
    before = backbone.velocity(*inputs(backbone))
    with pytest.raises(RuntimeError, match="elsewhere"), tap_blocks(backbone.transformer, [0]):
        raise RuntimeError("elsewhere")
    hooks = [m._forward_hooks or m._forward_pre_hooks for m in backbone.transformer.modules()]
    assert not any(hooks)
    assert torch.equal(backbone.velocity(*inputs(backbone)), before)


def test_a_block_that_is_not_there_is_refused_with_those_that_are():
    backbone = StandIn(layers=3)
    assert (middle_block(backbone, None), middle_block(backbone, 2)) == (1, 2)
    for bad in ([3], [-1], []):
        with pytest.raises(ConfigError, match=r"0 \.\.\. 2"), tap_blocks(backbone.transformer, bad):
            pass
    with pytest.raises(ConfigError, match=r"got \[7\]"):
        middle_block(backbone, 7)


def test_only_the_signal_is_swallowed():
    with until_stopped():
        raise StopForward
    with pytest.raises(ZeroDivisionError), until_stopped():
        raise ZeroDivisionError


# --- the noised reference


def test_the_noised_reference_runs_on_a_line_from_the_clip_to_fixed_noise():
    latents = torch.randn(1, 4, 3, 2, 2)
    reference = NoisedReference.from_seed(latents, 5)
    noise = gaussian((1, 4, 3, 2, 2), 5, "cpu")
    assert torch.equal(reference.at(torch.zeros(1)), latents)
    assert torch.equal(reference.at(torch.ones(1)), noise)
    assert torch.allclose(reference.at(torch.tensor([0.25])), 0.75 * latents + 0.25 * noise)
    assert torch.equal(NoisedReference.from_seed(latents, 5).noise, noise)
    assert not torch.equal(NoisedReference.from_seed(latents, 6).noise, noise)


# --- the loop


class Pull(Guide):
    """Pulls latents to a target, and writes down what it is asked."""

    def __init__(self, target=0.0):
        self.target, self.steps, self.losses = target, [], []

    def loss_at(self, latents, step):
        self.steps.append(step)
        assert not torch.is_grad_enabled()

        def loss(x):
            value = (x - self.target).square().mean()
            self.losses.append(value.item())
            return value

        return loss


def sampled(guide, schedule, backbone=None, steps=4, guidance=None):
    backbone = backbone or StandIn()
    text = backbone.encode_text(["a ball"])
    start = gaussian((1, *backbone.latent_shape()), 3, "cpu")
    velocity = backbone.guided_velocity(text, guidance)
    return sample_guided(velocity, guide, schedule, start=start, times=sampling_times(steps, backbone.shift))


class Plain(StandIn):
    """The stand-in with the backbone's own `sample`."""

    sample = StandIn.__mro__[1].sample


@pytest.mark.parametrize("guidance", [None, 1.0, 4.0])
def test_without_guided_steps_the_loop_is_the_backbones_own_sampling_bit_for_bit(guidance):
    backbone = Plain()
    text = backbone.encode_text(["a ball"])
    expected = backbone.sample(text, seed=3, steps=4, guidance=guidance)
    assert torch.equal(sampled(Guide(), InnerSchedule(0, 5, 0.1, 0.1), backbone, guidance=guidance), expected)
    assert torch.equal(sampled(Guide(), InnerSchedule(4, 0, 0.1, 0.1), backbone, guidance=guidance), expected)


def test_the_guided_velocity_is_classifier_free_guidance_against_the_negative_prompt_with_gradient():
    backbone = StandIn()
    x, t, text = inputs(backbone)
    nothing = backbone.encode_text([backbone.spec.negative_prompt])
    cond, uncond = backbone.velocity(x, t, text), backbone.velocity(x, t, nothing)
    assert torch.allclose(backbone.guided_velocity(text, 3.0)(x, t), uncond + 3 * (cond - uncond), atol=1e-5)
    assert torch.equal(backbone.guided_velocity(text, 1.0)(x, t), cond)
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(backbone.guided_velocity(text)(x, t).sum(), x)
    assert slope.abs().max() > 0


def test_only_the_first_steps_are_guided_at_the_right_times():
    guide = Pull()
    sampled(guide, InnerSchedule(3, 2, 0.1, 0.05), steps=5)
    times = sampling_times(5, 3.0)
    assert [s.index for s in guide.steps] == [0, 1, 2]
    assert [(s.t.item(), s.t_next.item(), s.total) for s in guide.steps] == [
        (times[i].item(), times[i + 1].item(), 5) for i in range(3)
    ]
    assert len(guide.losses) == 3 * 2


def test_the_rate_falls_linearly_over_the_guided_steps():
    schedule = InnerSchedule(5, 1, 0.1, 0.02)
    assert [schedule.rate(i) for i in range(5)] == pytest.approx([0.1, 0.08, 0.06, 0.04, 0.02])
    assert InnerSchedule(1, 1, 0.1, 0.02).rate(0) == 0.1


def step_at(t=0.9, index=0):
    return GuidedStep(index, 4, torch.tensor([t]), torch.tensor([t - 0.1]))


def numpy_adamw(x, target, rate, decay, iterations, every):
    """AdamW by its formulas, on the mean of (x - target)^2."""
    m, v = np.zeros_like(x), np.zeros_like(x)
    for i in range(iterations):
        if i % every == 0:
            g = 2 * (x - target) / x.size
        x = x * (1 - rate * decay)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x = x - rate * (m / (1 - 0.9 ** (i + 1))) / (np.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8)
    return x


@pytest.mark.parametrize(("decay", "every"), [(0.0, 1), (0.1, 1), (0.0, 3)])
def test_the_inner_steps_equal_plain_adamw_with_gradients_reused_as_asked(decay, every):
    x = torch.randn(1, 2, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    guide = Pull(target=2.0)
    result = optimize(x, guide, InnerSchedule(1, 7, 0.05, 0.05, decay, every), step_at())
    expected = numpy_adamw(x.double().numpy(), 2.0, 0.05, decay, 7, every)
    assert np.allclose(result.numpy(), expected, atol=1e-4)
    assert len(guide.losses) == len(range(0, 7, every))
    assert not result.requires_grad


def test_guidance_lowers_its_loss_in_every_step():
    guide = Pull(target=1.0)
    sampled(guide, InnerSchedule(2, 10, 0.05, 0.05))
    assert all(b < a for i in (0, 10) for a, b in pairwise(guide.losses[i : i + 10]))


def test_velocity_and_euler_step_can_be_bent():
    class Bend(Guide):
        def velocity(self, velocity, latents, step):
            return velocity * 0 + 1.0

        def correct(self, following, latents, step):
            return following - step.t * step.t_next * latents

    times = sampling_times(3, 3.0)
    x = gaussian((1, *StandIn().latent_shape()), 3, "cpu")
    for t, t_next in pairwise(times):
        x = x + (t_next - t) - t * t_next * x
    assert torch.allclose(sampled(Bend(), InnerSchedule(0, 0, 0, 0), steps=3), x, atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_or_latent_that_is_not_finite_is_a_typed_error_naming_the_step(bad):
    with pytest.raises(NotFiniteError, match=r"step 1 of 4 .*lower lr_from \(0\.1\)"):
        sampled(Pull(target=bad), InnerSchedule(2, 2, 0.1, 0.1))

    class Break(Guide):
        def correct(self, following, latents, step):
            return following * bad if step.index == 2 else following

    with pytest.raises(NotFiniteError, match="after step 3 of 4"):
        sampled(Break(), InnerSchedule(0, 0, 0, 0))


def test_no_graph_outlives_an_iteration():
    """The loss's graph hangs on its own latents, so memory does not grow with the iterations."""
    seen = []

    class Watch(Pull):
        def loss_at(self, latents, step):
            inner = super().loss_at(latents, step)

            def loss(x):
                assert x.is_leaf
                seen.append(x)
                return inner(x)

            return loss

    sampled(Watch(), InnerSchedule(2, 3, 0.1, 0.1))
    assert len(seen) == 6
    assert all(x.grad is None for x in seen)


# --- the method


@dataclass(frozen=True)
class PullConfig(GuidanceConfig):
    """A test's."""


class PullMethod(GuidanceMethod):
    """A test's."""

    name = "pull"
    contract = InputContract(trains=False, start_latent="noise", sees_reference=True)
    Config = PullConfig
    presets = {}

    def guide(self, adapter, text, start, *, seed):
        assert start.shape == adapter.tensors["reference"].shape
        return Pull(adapter.tensors["reference"])


def make(**changes):
    return PullMethod(
        PullConfig(**({"guided_share": 1.0, "lr_from": 0.1, "lr_to": 0.1} | changes)), Runtime(), StandIn()
    )


def test_generate_is_deterministic_and_the_same_from_a_saved_adapter(tmp_path):
    made = make()
    assert isinstance(made, Method)
    adapter = made.fit(CLIP, "a ball", seed=1)
    clip = made.generate(adapter, "a star", seed=2)
    torch.manual_seed(9)
    assert np.array_equal(made.generate(adapter, "a star", seed=2).frames, clip.frames)
    adapter.save(tmp_path / "a")
    loaded = made.load_adapter(tmp_path / "a")
    assert np.array_equal(made.generate(loaded, "a star", seed=2).frames, clip.frames)
    assert loaded.config == adapter.config
    assert not np.array_equal(made.generate(adapter, "a star", seed=3).frames, clip.frames)
    assert not made.backbone.transformer.is_gradient_checkpointing


def test_guidance_brings_a_clip_nearer_to_its_reference_and_checkpointing_changes_nothing():
    def gap(made):
        clip = made.generate(made.fit(CLIP, "a ball", seed=1), "a star", seed=2)
        return np.abs(clip.frames.astype(float) - CLIP.frames).mean()

    assert gap(make()) < 0.9 * gap(make(iterations=0))
    assert gap(make()) == gap(make(gradient_checkpointing=False))


def test_an_adapter_of_another_method_or_backbone_is_refused(tmp_path):
    made = make()
    adapter = made.fit(CLIP, "a ball", seed=1)
    adapter.save(tmp_path / "a")
    with pytest.raises(StoreError, match="not a other adapter"):
        GuidanceAdapter.load(tmp_path / "a", "other")
    with pytest.raises(StoreError, match="cannot read"):
        GuidanceAdapter.load(tmp_path / "absent", "pull")
    with pytest.raises(ConfigError, match="cannot run on stand_in"):
        made.generate(GuidanceAdapter("pull", "else", {}, adapter.tensors), "a star", seed=2)
    (tmp_path / "a" / "adapter.json").write_text(json.dumps({"schema": 9, "method": "pull"}))
    with pytest.raises(StoreError, match="schema 1"):
        made.load_adapter(tmp_path / "a")


@pytest.mark.parametrize(
    "wrong",
    [{"guided_share": 1.5}, {"iterations": -1}, {"lr_from": -0.1}, {"gradient_every": 0}, {"sample_steps": 0}],
)
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PullConfig(**wrong)


def test_the_guided_share_is_of_the_steps_there_are():
    assert GuidanceConfig(guided_share=0.2).schedule(50).guided_steps == 10
    assert GuidanceConfig(guided_share=0.4).schedule(20).guided_steps == 8
