"""The LoRA baselines on a small random transformer: what is trained, what is kept, and what is left alone."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian
from motionbench.methods.followyourmotion.config import PRESETS
from motionbench.methods.motiondirector import method as director
from motionbench.methods.motiondirector.method import MotionDirector
from motionbench.methods.tuning.inversion import invert
from motionbench.methods.tuning.lora import activate_lora, attention_lora, inject_lora, lora_host, lora_weights
from motionbench.methods.tuning.lora_method import LoraAdapter
from motionbench.methods.twostagelora.method import TwoStageLora
from motionbench.methods.vmc.method import Vmc
from stand_in import StandIn, moving_square

from motionbench.config import build_config
from motionbench.errors import ConfigError, NotFiniteError, StoreError
from motionbench.method import Method, Runtime
from motionbench.seeds import derive_seed

CLIP = moving_square()
QUICK = {
    TwoStageLora: {"spatial_steps": 2, "temporal_steps": 2, "spatial_batch": 2},
    MotionDirector: {"steps": 3, "inversion_steps": 2},
    Vmc: {"steps": 2, "inversion_steps": 2},
}
METHODS = pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)


def make(method, backbone=None, **changes):
    config = method.Config(**(QUICK[method] | {"rank": 2, "lr": 1e-2} | changes))
    return method(config, Runtime(backbone="stand_in"), backbone or StandIn())


@METHODS
def test_each_is_a_method_with_an_honest_contract_and_presets_of_real_fields(method):
    made = make(method)
    assert isinstance(made, Method)
    assert method.contract.trains
    assert method.contract.start_latent == ("noise" if method is TwoStageLora else "inverted")
    assert not method.contract.sees_reference
    assert "unvalidated" not in inspect.getdoc(method)  # methods/gate.json says it
    for preset in method.presets:
        build_config(method, backbone="tiny", preset=preset)
    tiny = build_config(method, backbone="tiny")
    ours = PRESETS["tiny"]  # equal conditions
    assert (tiny.lr, tiny.rank, tiny.guidance) == (ours["temporal_lr"], ours["rank"], ours.get("guidance"))
    assert (
        build_config(method, backbone="wan2.1-1.3b")
        == method.Config()
        == build_config(method, backbone="tiny", preset="official")
    )


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (TwoStageLora, {"rank": 0}),
        (TwoStageLora, {"lr": 0.0}),
        (MotionDirector, {"dropout": 1.0}),
        (MotionDirector, {"noise_prior": 0.0}),
        (MotionDirector, {"spatial_share": 1.5}),
        (Vmc, {"inversion_steps": 0}),
        (Vmc, {"high_frequency": 0.0}),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(method, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        method.Config(**wrong)


@METHODS
def test_fit_is_deterministic_keeps_one_lora_and_leaves_the_backbone_alone(method, tmp_path):
    backbone = StandIn()
    before = {name: p.clone() for name, p in backbone.transformer.named_parameters()}
    made = make(method, backbone)
    adapter = made.fit(CLIP, "a ball", seed=1)
    torch.manual_seed(99)
    again = made.fit(CLIP, "a ball", seed=1)
    after = dict(backbone.transformer.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) and not after[name].requires_grad for name in before)
    assert len(adapter.weights) == 2 * 4 * 2  # layers x (q, k, v, o) x (A, B), and nothing of a spatial LoRA
    assert all(torch.equal(adapter.weights[key], again.weights[key]) for key in adapter.weights)
    assert all(adapter.weights[key].abs().max() > 0 for key in adapter.weights)  # B has left zero
    assert (adapter.start is None) == (method is TwoStageLora)
    clip = made.generate(adapter, "a star", seed=2)
    adapter.save(tmp_path / "a")
    assert np.array_equal(made.generate(made.load_adapter(tmp_path / "a"), "a star", seed=2).frames, clip.frames)
    with pytest.raises(StoreError, match="not a other adapter"):
        LoraAdapter.load(tmp_path / "a", "other")
    with pytest.raises(ConfigError, match="cannot run on"):
        made.generate(LoraAdapter(method.name, "else", adapter.config, adapter.weights, None), "a star", seed=2)


@METHODS
def test_a_loss_that_is_not_finite_is_a_typed_error_and_leaves_the_backbone_usable(method):
    backbone = StandIn()
    with pytest.raises(NotFiniteError, match=r"lower lr \(1e\+20\)"):
        make(method, backbone, lr=1e20, max_grad_norm=0.0, weight_decay=0.0).fit(CLIP, "a ball", seed=0)
    assert not any("lora" in name for name, _ in backbone.transformer.named_modules())


def test_only_active_loras_act_and_only_the_trained_one_gets_gradients():
    backbone = StandIn()
    x, t, text = torch.randn(1, 4, 2, 4, 4), torch.tensor([0.5]), backbone.encode_text(["a ball"])
    with lora_host(backbone.transformer) as layers:
        plain = backbone.velocity(x, t, text)
        for name in ("spatial", "temporal"):
            inject_lora(layers, attention_lora(2, 1.0), name, torch.Generator().manual_seed(0))
        with torch.no_grad():
            for key, parameter in layers.named_parameters():
                if "lora_B.spatial" in key:
                    parameter.fill_(0.1)
        activate_lora(layers, ["temporal"], trained="temporal")
        assert torch.equal(backbone.velocity(x, t, text), plain)  # its B is zero
        activate_lora(layers, ["spatial", "temporal"], trained="temporal")
        both = backbone.velocity(x, t, text)
        assert not torch.allclose(both, plain)
        both.square().mean().backward()
        asked = {key for key, p in layers.named_parameters() if p.grad is not None}
        assert asked
        assert all(".temporal." in key for key in asked)
        assert len(lora_weights(layers, "spatial")) == 16
    assert torch.equal(backbone.velocity(x, t, text), plain)


def test_motiondirector_takes_turns_with_shared_noise_and_time(monkeypatch):
    calls = []

    class Watched(StandIn):
        def velocity(self, latents, t, text):
            active = {tuple(m.active_adapters) for m in lora_method_layers(self.transformer)}
            calls.append((latents.detach(), t, active))
            return super().velocity(latents, t, text)

    def lora_method_layers(transformer):
        return [m for m in transformer.modules() if hasattr(m, "lora_A")]

    anchors = []
    monkeypatch.setattr(
        director, "temporal_loss", lambda p, q, a, **k: anchors.append((int(a), k)) or (p - q).square().mean()
    )
    made = make(MotionDirector, Watched(), steps=12, spatial_share=0.5, dropout=0.0)
    made.fit(CLIP, "a ball", seed=0)
    calls = calls[: next(i for i, call in enumerate(calls) if call[1] == 0)]  # what follows is the inversion
    spatial = [i for i, (x, *_) in enumerate(calls) if x.shape[2] == 1]
    assert len(calls) == 12 + len(spatial)
    assert 0 < len(spatial) < 12
    for i, (_, t, active) in enumerate(calls):
        if i in spatial:
            assert active == {("spatial",)}
            x, whole = calls[i][0], calls[i + 1][0]
            assert torch.equal(t, calls[i + 1][1])
            assert any(torch.allclose(x, whole[:, :, f : f + 1], atol=1e-6) for f in range(9))
        else:
            assert active == ({("spatial", "temporal")} if i - 1 in spatial else {("temporal",)})
    assert len({a for a, _ in anchors}) > 1
    assert anchors[0][1] == {"weight": 1.0, "beta": 1.0}


def test_inversion_is_undone_by_sampling():
    backbone = StandIn()
    latents, text = backbone.encode(CLIP), backbone.encode_text([""])
    noise = invert(backbone, latents, text, steps=40)
    assert (noise - latents).abs().mean() > 0.1
    back = backbone.sample(text, seed=0, steps=40, guidance=1.0, start=noise)
    assert (back - latents).abs().mean() < 0.1 * (noise - latents).abs().mean()


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_the_start_mixes_inverted_latents_and_noise_by_variance(share, monkeypatch):
    made = make(Vmc, noise_prior=share)
    adapter = made.fit(CLIP, "a ball", seed=1)
    starts = []
    sample = StandIn.sample
    monkeypatch.setattr(StandIn, "sample", lambda s, *a, **k: starts.append(k["start"]) or sample(s, *a, **k))
    made.generate(adapter, "a star", seed=2)
    noise = gaussian((1, 4, 9, 4, 4), derive_seed(2, "sample"), "cpu")
    expected = math.sqrt(share) * adapter.start + math.sqrt(1 - share) * noise
    assert torch.allclose(starts[0], expected)


def test_sma_adds_its_two_losses_by_weight():
    from motionbench.methods.vmc.losses import global_loss, local_loss, vmc_loss

    a, b = torch.randn(2, 1, 4, 9, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, sma = make(Vmc).loss(a, b), make(Vmc, sma=True).loss(a, b)
    assert plain == vmc_loss(a, b)
    assert sma.item() == pytest.approx((plain + 0.08 * global_loss(a, b) + 0.53 * local_loss(a, b)).item())
    adapter = make(Vmc, sma=True).fit(CLIP, "a ball", seed=0)
    assert all(torch.isfinite(weight).all() for weight in adapter.weights.values())
