"""Inverted starts, merged LoRAs, and inputs that are missing: what the trained baselines share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, sampling_times
from motionbench.methods.motiondirector.method import MotionDirector
from motionbench.methods.tuning.inversion import invert, renormalized
from motionbench.methods.tuning.lora import attention_lora, inject_lora, lora_host, merge_lora
from motionbench.methods.twostagelora.method import TwoStageLora
from motionbench.methods.vmc.method import Vmc
from stand_in import StandIn, moving_square
from torch import nn

from motionbench.errors import ConfigError, MissingInputError
from motionbench.method import Runtime
from motionbench.seeds import derive_seed

CLIP = moving_square()
METHODS = pytest.mark.parametrize("method", [TwoStageLora, MotionDirector, Vmc], ids=lambda m: m.name)
QUICK = {"steps": 1, "inversion_steps": 2, "rank": 2}


def test_iterated_inversion_undoes_the_samplers_own_steps():
    backbone = StandIn()
    latents, text = backbone.encode(CLIP), backbone.encode_text(["a ball"])
    gaps = []
    for iterations in (1, 3, 10):
        found = invert(backbone, latents, text, steps=6, iterations=iterations)
        back = backbone.sample(text, seed=0, steps=6, guidance=1.0, start=found)
        gaps.append((back - latents).abs().max().item())
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


@pytest.mark.parametrize("iterations", [1, 3])
def test_each_step_of_the_inversion_is_the_formula_in_a_plain_loop(iterations):
    backbone, seed = StandIn(), 5
    latents, text = backbone.encode(CLIP), backbone.encode_text([""])
    found = invert(backbone, latents, text, steps=4, iterations=iterations, noise=0.5, seed=seed)
    times = [0.5, *[t for t in reversed(sampling_times(4, backbone.shift).tolist()) if t > 0.5]]
    assert len(times) == 4  # 0.5 itself, and 0.75, 0.9, 1 of the sampler's times at shift 3
    x = 0.5 * latents + 0.5 * gaussian(tuple(latents.shape), seed, "cpu")
    for a, b in pairwise(times):
        y = x
        for _ in range(iterations):
            velocity = backbone.velocity(y, torch.tensor([a if iterations == 1 else b]), text)
            y = x + (b - a) * velocity
        x = y
    assert torch.allclose(found, x, atol=1e-5)


def test_without_noise_the_seed_of_an_inversion_does_not_matter():
    backbone = StandIn()
    latents, text = backbone.encode(CLIP), backbone.encode_text([""])
    clean = [invert(backbone, latents, text, steps=2, seed=seed) for seed in (0, 1)]
    traced = [invert(backbone, latents, text, steps=2, seed=seed, noise=0.1) for seed in (0, 1)]
    assert torch.equal(*clean)
    assert not torch.equal(*traced)


def test_renormalized_latents_have_every_channel_as_noise_has_it():
    x = torch.randn(1, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0)) * 0.3 + 1
    found = renormalized(x).numpy()
    for c in range(3):
        channel = x.numpy()[0, c]
        assert np.allclose(found[0, c], (channel - channel.mean()) / channel.std(), atol=1e-5)
    assert torch.isfinite(renormalized(torch.ones(1, 2, 3, 4, 4))).all()


@pytest.mark.parametrize("method", [MotionDirector, Vmc], ids=lambda m: m.name)
def test_the_settings_of_the_inversion_reach_it(method, monkeypatch):
    from motionbench.methods.tuning import method as tuned_method

    asked, noise = [], torch.randn(1, 4, 9, 4, 4, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(tuned_method, "invert", lambda b, x, text, **k: asked.append(k) or 3 * noise + 1)
    facts = {"inversion_iterations": 4, "inversion_noise": 0.25, "renormalize": True}
    made = method(method.Config(**(QUICK | facts)), Runtime(backbone="stand_in"), StandIn())
    start = made.fit(CLIP, "a ball", seed=7).start
    kept = {key: asked[0][key] for key in ("steps", "iterations", "noise", "seed")}
    seed = derive_seed(7, method.name, "inversion")
    assert kept == {"steps": 2, "iterations": 4, "noise": 0.25, "seed": seed}
    assert torch.allclose(start, renormalized(noise), atol=1e-5)


@pytest.mark.parametrize("wrong", [{"inversion_noise": 1.0}, {"inversion_iterations": 0}])
def test_a_setting_of_the_inversion_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Vmc.Config(**wrong)


def test_a_merged_lora_is_the_lora_and_the_backbone_is_its_own_again():
    backbone = StandIn()
    x, t, text = torch.randn(1, 4, 3, 4, 4), torch.tensor([0.5]), backbone.encode_text(["a ball"])
    plain = backbone.velocity(x, t, text)
    own = [block.attn1.to_out[0] for block in backbone.transformer.blocks]
    with lora_host(backbone.transformer) as layers:
        inject_lora(layers, attention_lora(2, 0.5), "spatial", torch.Generator().manual_seed(0))
        for key, parameter in layers.named_parameters():
            if "lora_B" in key:
                nn.init.normal_(parameter, std=0.3)
        tuned = backbone.velocity(x, t, text)
        merge_lora(layers, "spatial")
        assert all(type(layer.to_q) is nn.Linear for layer in layers)
        assert torch.allclose(backbone.velocity(x, t, text), tuned, atol=1e-5)
        inject_lora(layers, attention_lora(2, 1.0), "temporal", torch.Generator().manual_seed(0))
        assert torch.allclose(backbone.velocity(x, t, text), tuned, atol=1e-5)  # its B is zero
    assert (tuned - plain).abs().max() > 1e-2
    assert torch.equal(backbone.velocity(x, t, text), plain)
    assert all(a is block.attn1.to_out[0] for a, block in zip(own, backbone.transformer.blocks, strict=True))


@METHODS
def test_what_a_method_needs_is_asked_for_by_name(method):
    made = method(method.Config(), Runtime(backbone="stand_in"), StandIn())
    with pytest.raises(MissingInputError, match=f"{method.name} needs the input caption"):
        made.fit(CLIP, " ", seed=0)
    backbone = StandIn()
    backbone.transformer = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(2, 2)])})
    with pytest.raises(ConfigError, match=rf"{method.name} cannot run on backbone stand_in.*runs on tiny, wan2\.1"):
        method(method.Config(), Runtime(backbone="stand_in"), backbone)
