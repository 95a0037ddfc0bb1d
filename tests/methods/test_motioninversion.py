"""Motion Inversion: embeddings against plain loops, what is trained, and what is left out of a sample."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian
from motionbench.methods.motioninversion import method as inversion_method
from motionbench.methods.motioninversion.embeddings import MotionEmbedding, motion_embeddings
from motionbench.methods.motioninversion.method import MotionInversion
from motionbench.methods.taps.token_grid import TokenGrid
from stand_in import StandIn, moving_square
from torch import nn

from motionbench import registry
from motionbench.config import build_config
from motionbench.errors import ConfigError, MissingInputError, NotFiniteError, ShapeError
from motionbench.method import Method, Runtime
from motionbench.seeds import derive_seed

CLIP = moving_square()
QUICK = {"steps": 2, "lr": 1e-2, "inversion_steps": 2}
VALUES = pytest.mark.parametrize("value", ["place", "frame_place", "none"])


def make(backbone=None, **changes):
    config = MotionInversion.Config(**(QUICK | changes))
    return MotionInversion(config, Runtime(backbone="stand_in"), backbone or StandIn())


def filled(value="place"):
    embedding = MotionEmbedding(TokenGrid(3, 2, 4), 5, value)
    for i, parameter in enumerate(embedding.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(i))
    return embedding.requires_grad_(False)


@VALUES
@pytest.mark.parametrize("debias", [False, True])
def test_each_token_gets_the_embedding_of_its_frame_and_place(value, debias):
    embedding = filled(value=value)
    embedding.debias = debias
    tokens = torch.randn(2, 24, 5)
    queries = embedding.add(tokens, embedding.motion, embedding.grid)
    held = embedding.value_embedding()
    if value == "none" or (value == "place" and debias):
        assert held is None
    values = tokens if held is None else embedding.add(tokens, held, embedding.grid)
    for b, f, y, x in np.ndindex(2, 3, 2, 4):
        n = (f * 2 + y) * 4 + x
        assert torch.equal(queries[b, n], tokens[b, n] + embedding.motion[f, 0, 0])
        added = torch.zeros(5)
        if value == "place" and not debias:
            added = embedding.value[0, y, x]
        elif value == "frame_place":
            added = embedding.value[f, y, x]
            if debias:
                added = added - embedding.value[f - 1, y, x] if f else torch.zeros(5)
        assert torch.allclose(values[b, n], tokens[b, n] + added)


@VALUES
def test_untrained_embeddings_change_nothing_and_leave_nothing_behind(value):
    backbone = StandIn()
    x, t, text = torch.randn(2, 4, 3, 4, 4), torch.tensor([0.5, 0.9]), backbone.encode_text(["a", "b"])
    plain = backbone.velocity(x, t, text)
    with motion_embeddings(backbone.transformer, TokenGrid(3, 2, 2), value) as layers:
        assert (backbone.velocity(x, t, text) - plain).abs().max() < 1e-6
        nn.init.normal_(layers[0].motion)
        assert (backbone.velocity(x, t, text) - plain).abs().max() > 1e-3
        with pytest.raises(ShapeError, match=r"\(3, 2, 2\).*met tokens of \(2, 2, 2\)"):
            backbone.velocity(x[:, :, :2], t, text)
    assert torch.equal(backbone.velocity(x, t, text), plain)


def test_they_enter_before_the_projections_of_self_attention_only():
    backbone = StandIn(layers=1)
    x, t, text = torch.randn(1, 4, 3, 4, 4), torch.tensor([0.5]), backbone.encode_text(["a"])
    block = backbone.transformer.blocks[0]
    parts = {"q": block.attn1.to_q, "k": block.attn1.to_k, "v": block.attn1.to_v, "cross": block.attn2.to_q}
    seen = {}
    for name, part in parts.items():
        part.register_forward_hook(lambda m, i, o, name=name: seen.__setitem__(name, (i[0], o)))
    backbone.velocity(x, t, text)
    plain = dict(seen)
    with motion_embeddings(backbone.transformer, TokenGrid(3, 2, 2), "place") as layers:
        nn.init.normal_(layers[0].motion)
        nn.init.normal_(layers[0].value)
        backbone.velocity(x, t, text)
        motion, value = layers[0].motion.detach(), layers[0].value.detach()
    frames = motion.flatten(0, 2).repeat_interleave(4, 0)
    for name, added in (("q", frames), ("k", frames), ("v", value.flatten(0, 2).repeat(3, 1))):
        projected = added @ parts[name].weight.T
        assert torch.allclose(seen[name][1], plain[name][1] + projected, atol=1e-5)
    assert not torch.allclose(seen["cross"][0], plain["cross"][0])  # only what comes of it
    assert not parts["cross"]._forward_pre_hooks


def test_it_is_a_method_with_an_honest_contract_and_presets_of_real_fields():
    assert isinstance(make(), Method)
    contract = MotionInversion.contract
    assert (contract.trains, contract.start_latent, contract.sees_reference) == (True, "inverted", False)
    assert "unvalidated" not in inspect.getdoc(MotionInversion)  # methods/gate.json says it
    assert registry.load("methods", "motioninversion") is MotionInversion
    official = build_config(MotionInversion, backbone="wan2.1-1.3b")
    assert (official.steps, official.lr, official.value_lr, official.noise_prior) == (400, 0.02, 0.0005, 0.5)
    assert build_config(MotionInversion, backbone="tiny", preset="unet").value == "frame_place"
    assert build_config(MotionInversion, backbone="tiny").steps <= 180


@pytest.mark.parametrize("wrong", [{"value_lr": 0.0}, {"noise_prior": 0.0}, {"debias_beta": -1.0}, {"steps": -1}])
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MotionInversion.Config(**wrong)


@VALUES
def test_fit_is_deterministic_trains_embeddings_only_and_its_adapter_survives_the_disk(value, tmp_path):
    backbone = StandIn()
    before = {name: p.clone() for name, p in backbone.transformer.named_parameters()}
    made = make(backbone, value=value)
    adapter = made.fit(CLIP, "a ball", seed=1)
    torch.manual_seed(99)
    again = made.fit(CLIP, "a ball", seed=1)
    after = dict(backbone.transformer.named_parameters())
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], after[name]) and not after[name].requires_grad for name in before)
    kinds = ("motion",) if value == "none" else ("motion", "value")
    assert adapter.weights.keys() == {f"{i}.{kind}" for i in (0, 1) for kind in kinds}
    assert adapter.weights["0.motion"].shape == (9, 1, 1, 48)
    assert all(torch.equal(adapter.weights[key], again.weights[key]) for key in adapter.weights)
    assert all(weight.abs().max() > 0 for weight in adapter.weights.values())  # has left zero
    assert torch.equal(adapter.start, again.start)
    clip = made.generate(adapter, "a star", seed=2)
    adapter.save(tmp_path / "a")
    assert {f.suffix for f in (tmp_path / "a").iterdir()} == {".json", ".safetensors"}
    plain = make(backbone, value="none")  # the adapter knows its own shape
    assert np.array_equal(plain.generate(plain.load_adapter(tmp_path / "a"), "a star", seed=2).frames, clip.frames)


def test_values_of_places_are_dropped_from_a_sample():
    made = make(value="place")
    adapter = made.fit(CLIP, "a ball", seed=1)
    clip = made.generate(adapter, "a star", seed=2)
    for key, weight in adapter.weights.items():
        if key.endswith("value"):
            weight.normal_(0, 10)
    assert np.array_equal(made.generate(adapter, "a star", seed=2).frames, clip.frames)
    for key, weight in adapter.weights.items():
        if key.endswith("motion"):
            weight.normal_(0, 10)
    assert not np.array_equal(made.generate(adapter, "a star", seed=2).frames, clip.frames)


def test_values_learn_at_their_own_rate_and_the_loss_is_the_debiased_hybrid_one(monkeypatch):
    calls = []
    monkeypatch.setattr(
        inversion_method, "temporal_loss", lambda p, q, a, **k: calls.append((int(a), k)) or (p - q).square().mean()
    )
    facts = {"steps": 1, "lr": 1e-2, "value_lr": 1e-4, "weight_decay": 0.0, "max_grad_norm": 0.0}
    adapter = make(**facts).fit(CLIP, "a ball", seed=0)
    # Adam's first step is the rate, whatever the gradient
    assert adapter.weights["0.motion"].abs().max().item() == pytest.approx(1e-2, rel=1e-2)
    assert adapter.weights["0.value"].abs().max().item() == pytest.approx(1e-4, rel=1e-2)
    make(steps=8, debias_weight=2.0).fit(CLIP, "a ball", seed=0)
    assert calls[-1][1] == {"weight": 2.0, "beta": 1.0}
    assert len({anchor for anchor, _ in calls}) > 1


def test_samples_start_from_a_blend_of_inverted_latents_and_noise(monkeypatch):
    made = make(noise_prior=0.5)
    adapter = made.fit(CLIP, "a ball", seed=1)
    starts = []
    sample = StandIn.sample
    monkeypatch.setattr(StandIn, "sample", lambda s, *a, **k: starts.append(k["start"]) or sample(s, *a, **k))
    made.generate(adapter, "a star", seed=2)
    noise = gaussian((1, 4, 9, 4, 4), derive_seed(2, "sample"), "cpu")
    assert torch.allclose(starts[0], math.sqrt(0.5) * (adapter.start + noise))


def test_a_loss_that_is_not_finite_is_a_typed_error_and_leaves_the_backbone_usable(monkeypatch):
    backbone = StandIn()
    monkeypatch.setattr(inversion_method, "temporal_loss", lambda p, q, a, **k: p.mean() * float("nan"))
    with pytest.raises(NotFiniteError, match=r"lower lr \(0\.01\)"):
        make(backbone).fit(CLIP, "a ball", seed=0)
    assert not any(block.attn1.to_q._forward_pre_hooks for block in backbone.transformer.blocks)


def test_what_it_needs_is_asked_for_by_name():
    with pytest.raises(MissingInputError, match="motioninversion needs the input caption"):
        make().fit(CLIP, "", seed=0)
    backbone = StandIn()
    backbone.transformer = nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=r"motioninversion cannot run on backbone stand_in.*runs on tiny"):
        make(backbone)
