"""FlowMotion, SMM and MOFT on a small random transformer: what they compare, when, and with what result."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, sampling_times
from motionbench.methods.flowmotion.losses import flowmotion_loss, steered
from motionbench.methods.flowmotion.method import FlowMotion
from motionbench.methods.guidance import sampling
from motionbench.methods.guidance.sampling import Step, optimize
from motionbench.methods.moft.losses import moft_loss, motion_channels
from motionbench.methods.moft.method import Moft
from motionbench.methods.smm.losses import smm_loss
from motionbench.methods.smm.method import Smm
from motionbench.methods.smm.start import inverted_path, mixed_frequencies
from motionbench.methods.taps.features import tap_blocks
from motionbench.methods.tuning.inversion import invert
from stand_in import StandIn, moving_square

from motionbench.config import build_config
from motionbench.errors import ConfigError, NotFiniteError
from motionbench.method import Method, Runtime
from motionbench.seeds import derive_seed

CLIP = moving_square()
STRONG = {"guided_share": 1.0, "iterations": 3, "lr_from": 0.05, "lr_to": 0.05}
QUICK = {FlowMotion: {}, Smm: {"inversion_substeps": 2}, Moft: {"channel_share": 0.25}}
METHODS = pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)


def make(method, backbone=None, **changes):
    config = method.Config(**(STRONG | QUICK[method] | changes))
    return method(config, Runtime(backbone="stand_in"), backbone or StandIn())


def step_at(index, total=3):
    times = sampling_times(total, 3.0)
    return Step(index, total, times[index : index + 1], times[index + 1 : index + 2])


def guide_of(made, seed=2):
    adapter = made.fit(CLIP, "a ball", seed=1)
    text = made.backbone.encode_text(["a star"])
    start = made.start(adapter, seed=seed)
    return made.guide(adapter, text, start, seed=seed), adapter, start, text


def features(backbone, x, t, text, block):
    with tap_blocks(backbone.transformer, [block]) as taps:
        backbone.velocity(x, t, text)
    return taps[block]


# --- all three


@METHODS
def test_each_is_a_method_with_an_honest_contract_and_presets_of_real_fields(method):
    assert isinstance(make(method), Method)
    assert not method.contract.trains
    assert method.contract.sees_reference
    assert method.contract.start_latent == ("inverted" if method is Smm else "noise")
    assert len(inspect.getdoc(method).splitlines()[0]) < 100
    for preset in method.presets:
        build_config(method, backbone="tiny", preset=preset)
    assert build_config(method, backbone="wan2.1-1.3b") == method.Config()
    assert build_config(method, backbone="tiny", preset="official") == method.Config()
    assert build_config(method, backbone="tiny") == method.Config(**method.presets["tiny"])


def test_the_official_constants_are_those_of_their_sources():
    flow, smm, moft = (method.Config() for method in (FlowMotion, Smm, Moft))
    assert (flow.schedule(50).guided_steps, flow.iterations, flow.lr_from, flow.lr_to) == (10, 3, 3e-3, 3e-3)
    assert (flow.latent_weight, flow.motion_weight, flow.across, flow.source) == (20, 5, 0.1, "predicted")
    assert (smm.schedule(50).guided_steps, smm.iterations, smm.lr_from, smm.lr_to) == (20, 10, 7e-3, 4e-3)
    assert (smm.frequency_factor, smm.inversion_substeps * 50) == (4, 1000)
    assert (moft.schedule(50).guided_steps, moft.iterations, moft.lr_from, moft.lr_to) == (10, 5, 2e-3, 1e-3)
    assert round(moft.channel_share * 1280) in (50, 51)
    assert {c.weight_decay for c in (flow, smm, moft)} == {0}  # Adam


@METHODS
def test_the_same_seed_gives_the_same_bytes_also_from_a_saved_adapter(method, tmp_path):
    backbone = StandIn()
    before = {name: p.clone() for name, p in backbone.transformer.named_parameters()}
    made = make(method, backbone)
    adapter, again = (made.fit(CLIP, "a ball", seed=1) for _ in range(2))
    assert all(torch.equal(adapter.tensors[name], again.tensors[name]) for name in adapter.tensors)
    clip = made.generate(adapter, "a star", seed=2)
    torch.manual_seed(99)
    adapter.save(tmp_path / "a")
    same = make(method).generate(made.load_adapter(tmp_path / "a"), "a star", seed=2)
    assert np.array_equal(same.frames, clip.frames)
    assert not np.array_equal(made.generate(adapter, "a star", seed=3).frames, clip.frames)
    after = dict(backbone.transformer.named_parameters())
    assert all(torch.equal(before[name], after[name]) and after[name].grad is None for name in before)


@METHODS
def test_guidance_lowers_the_loss_and_changes_the_clip(method):
    made = make(method, iterations=12, lr_from=0.02)
    guide, adapter, start, _ = guide_of(made)
    loss = guide.loss_at(start, step_at(0))
    better = optimize(start, guide, made.config.schedule(3), step_at(0))
    assert loss(better) < 0.98 * loss(start)
    plain = make(method, iterations=0).generate(adapter, "a star", seed=2)
    assert not np.array_equal(made.generate(adapter, "a star", seed=2).frames, plain.frames)


@METHODS
def test_the_loss_has_the_gradient_that_finite_differences_give(method):
    made = make(method)
    guide, _, start, _ = guide_of(made)
    moved = start + 0.1 * gaussian(tuple(start.shape), 7, "cpu")
    loss = guide.loss_at(moved, step_at(1))
    _, slope = sampling.loss_gradient(loss, moved)
    step = 1e-2 * slope / slope.norm()  # along the gradient, where float32 drowns least
    with torch.no_grad():
        ahead, behind = loss(moved + step), loss(moved - step)
    assert ((ahead - behind) / 2e-2).item() == pytest.approx(slope.norm().item(), rel=2e-2)


@METHODS
def test_guidance_that_breaks_is_a_typed_error(method):
    class Broken(StandIn):
        def velocity(self, latents, t, text):
            return super().velocity(latents * float("nan"), t, text)

    adapter = make(method).fit(CLIP, "a ball", seed=1)
    with pytest.raises(NotFiniteError, match="step 1 of 3"):
        make(method, Broken()).generate(adapter, "a star", seed=2)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (FlowMotion, {"across": 1.5}),
        (FlowMotion, {"motion_weight": -1.0}),
        (Smm, {"frequency_factor": 0}),
        (Smm, {"inversion_substeps": 0}),
        (Moft, {"channel_share": 0.0}),
        (Moft, {"components": 0}),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(method, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        method.Config(**wrong)


@pytest.mark.parametrize("method", [Smm, Moft], ids=lambda m: m.name)
def test_a_block_that_the_backbone_lacks_is_refused_with_those_it_has(method):
    with pytest.raises(ConfigError, match=r"0 \.\.\. 1"):
        guide_of(make(method, block=2))


# --- FlowMotion


@pytest.mark.parametrize("source", ["predicted", "clean"])
@pytest.mark.parametrize("index", [0, 1])
def test_flowmotion_compares_foreseen_clean_latents(source, index):
    made = make(FlowMotion, source=source)
    guide, adapter, start, text = guide_of(made)
    backbone, step = made.backbone, step_at(index)
    z = start + 0.1 * gaussian(tuple(start.shape), 5, "cpu")
    t, clean = step.t, adapter.tensors["reference"]
    velocity = backbone.guided_velocity(text)(z, t)
    if index:
        velocity = steered(velocity, (z - start) / (t - 1), 0.1)
    noise = gaussian(tuple(clean.shape), derive_seed(2, "flowmotion", "reference"), "cpu")
    noised = (1 - t) * clean + t * noise
    foreseen = noised - t * backbone.velocity(noised, t, backbone.encode_text([""]))
    target = foreseen if source == "predicted" else clean
    expected = flowmotion_loss(z - t * velocity, target, latent_weight=20, motion_weight=5)
    assert guide.loss_at(z, step)(z).item() == pytest.approx(expected.item(), rel=1e-5)


# --- SMM


def test_smm_compares_the_middle_blocks_means_with_those_of_the_inverted_path():
    made = make(Smm, guided_share=0.67)
    guide, adapter, start, text = guide_of(made)
    backbone, nothing = made.backbone, made.backbone.encode_text([""])
    path = inverted_path(backbone, backbone.encode(CLIP), nothing, steps=3, substeps=2)
    assert adapter.tensors["means"].shape == (2, 9, 48)
    for index in (0, 1):
        step = step_at(index)
        reference = features(backbone, path[index], step.t, nothing, 1).mean((2, 3))
        assert torch.allclose(adapter.tensors["means"][index], reference[0], atol=1e-5)
        expected = smm_loss(features(backbone, start, step.t, text, 1).mean((2, 3)), reference)
        assert guide.loss_at(start, step)(start).item() == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(ConfigError, match="fit again"):
        guide.loss_at(start, step_at(2))
    with pytest.raises(ConfigError, match="fit again"):
        guide.loss_at(start, step_at(1, total=5))


def test_smm_can_take_the_reference_noised_instead():
    made = make(Smm, source="noised")
    guide, adapter, start, text = guide_of(made)
    backbone, step, clean = made.backbone, step_at(1), adapter.tensors["reference"]
    noise = gaussian(tuple(clean.shape), derive_seed(2, "smm", "reference"), "cpu")
    noised = (1 - step.t) * clean + step.t * noise
    reference = features(backbone, noised, step.t, backbone.encode_text([""]), 1).mean((2, 3))
    expected = smm_loss(features(backbone, start, step.t, text, 1).mean((2, 3)), reference)
    assert guide.loss_at(start, step)(start).item() == pytest.approx(expected.item(), rel=1e-4)


def test_smm_starts_from_noise_with_the_inverted_latents_low_frequencies():
    made = make(Smm, frequency_factor=2)
    _, adapter, start, _ = guide_of(made)
    noise = gaussian((1, 4, 9, 4, 4), derive_seed(2, "sample"), "cpu")
    assert torch.allclose(start, mixed_frequencies(adapter.tensors["inverted"], noise, 2))
    assert torch.equal(guide_of(make(Smm, low_frequency_start=False))[2], noise)


def test_the_inverted_path_is_that_of_the_inversion_and_ends_at_the_clip():
    backbone = StandIn()
    latents, nothing = backbone.encode(CLIP), backbone.encode_text([""])
    path = inverted_path(backbone, latents, nothing, steps=3, substeps=4)
    assert len(path) == 4
    assert torch.equal(path[-1], latents)
    assert torch.allclose(path[0], invert(backbone, latents, nothing, steps=12), atol=1e-5)


# --- MOFT


@pytest.mark.parametrize("source", ["noised", "clean"])
def test_moft_compares_motion_channels_of_the_middle_block(source):
    made = make(Moft, source=source)
    guide, adapter, start, text = guide_of(made)
    backbone, step, clean = made.backbone, step_at(1), adapter.tensors["reference"]
    noise = gaussian(tuple(clean.shape), derive_seed(2, "moft", "reference"), "cpu")
    t = step.t if source == "noised" else torch.zeros(1)
    reference = features(backbone, (1 - t) * clean + t * noise, t, backbone.encode_text([""]), 1)
    channels = motion_channels(reference, 12)  # a quarter of 48
    expected = moft_loss(features(backbone, start, step.t, text, 1), reference, channels)
    assert guide.loss_at(start, step)(start).item() == pytest.approx(expected.item(), rel=1e-4)
