"""The decoupled LoRA: the pretrained model until it is tuned, and from then on what its oracle computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from motionbench.methods.backbones.execution import PLAIN
from motionbench.methods.followyourmotion.config import Config
from motionbench.methods.followyourmotion.decoupled_attention import DecoupledAttention
from motionbench.methods.followyourmotion.decoupled_lora import MERGE_TOLERANCE, decoupled_loras
from motionbench.methods.followyourmotion.leak import norm_leak
from motionbench.methods.followyourmotion.low_rank import LowRank
from motionbench.methods.followyourmotion.method import FollowYourMotion
from motionbench.methods.tuning.learner import Learner
from split_attention import SplitFollowYourMotion, split_loras
from stand_in import StandIn, moving_square, random_transformer
from test_wan_training import TEMPORAL, backbone_for

from motionbench.errors import ShapeError
from motionbench.method import Runtime

MODEL = random_transformer()  # 2 layers of 4 heads, D = 48
EACH_LAYER = np.array([[True, False, True, False]] * 2)
ONE_LAYER = np.array([[True] * 4, [True, False, True, False]])
RATES = {"spatial_lr": 3e-3, "temporal_lr": 3e-3, "spatial_batch": 2, "head_alpha": 0.8, "head_times": (0.5,)}
RANKS = {"beside the weights": 3, "added to the weights": 12}  # 6 r against D


def run():
    g = torch.Generator().manual_seed(1)
    latents, times = torch.randn(2, 4, 3, 4, 4, generator=g), torch.rand(2, generator=g) * 1000
    return MODEL(latents, times, torch.randn(2, 5, 8, generator=g), return_dict=False)[0].detach()


EXPECTED = run()
WEIGHTS = {name: value.clone() for name, value in MODEL.state_dict().items()}


def loud(loras, branch, rank):
    """Weights of a LoRA whose B is not zero, keyed as the loras key them."""
    g = torch.Generator().manual_seed(5)
    loras.add_lora(branch, rank=rank, scale=0.7, generator=torch.Generator().manual_seed(4))
    return {key: value + 0.2 * torch.randn(value.shape, generator=g) for key, value in loras.weights(branch).items()}


@settings(max_examples=20, deadline=None)
@given(arrays(bool, (2, 4)), st.booleans(), st.sampled_from(sorted(RANKS.values())))
def test_the_decoupled_model_is_the_pretrained_model_until_it_is_tuned(temporal, isolate_norm, rank):
    with decoupled_loras(MODEL, temporal, isolate_norm=isolate_norm) as loras:
        torch.testing.assert_close(run(), EXPECTED, atol=1e-6, rtol=1e-6)
        for branch in ("spatial", "temporal"):
            fresh = loras.add_lora(branch, rank=rank, scale=1.0, generator=torch.Generator())
            assert bool(fresh) == bool((temporal == (branch == "temporal")).any())
        torch.testing.assert_close(run(), EXPECTED, atol=1e-6, rtol=1e-6)
    # On leaving it is the very same model; sums on several threads may still differ in their last bits.
    assert all(torch.equal(value, WEIGHTS[name]) for name, value in MODEL.state_dict().items())
    torch.testing.assert_close(run(), EXPECTED, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("temporal", [EACH_LAYER, ONE_LAYER], ids=["each layer has both", "one layer has one"])
@pytest.mark.parametrize("isolated", [False, True], ids=["shared norm", "isolated norm"])
@pytest.mark.parametrize("rank", RANKS.values(), ids=RANKS)
def test_it_computes_what_its_oracle_computes_with_any_loras_merged_or_not(temporal, isolated, rank):
    outs, drawn = [], []
    for host in (split_loras, decoupled_loras):
        with host(MODEL, temporal, isolate_norm=isolated) as loras:
            drawn.append({branch: loud(loras, branch, rank) for branch in ("spatial", "temporal")})
        with host(MODEL, temporal, isolate_norm=isolated) as loras:
            for branch, weights in drawn[0].items():
                loras.load_lora(branch, weights, rank=rank, scale=0.7)
            outs.append(run())
            assert all(torch.equal(loras.weights("temporal")[k], v) for k, v in drawn[0]["temporal"].items())
            for branch in drawn[0]:
                loras.merge_lora(branch)
            outs.append(run())
    assert (outs[0] - EXPECTED).abs().max() > 0.1
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], atol=2e-5, rtol=1e-4)
    for branch, weights in drawn[0].items():  # the same draws in the same order
        assert list(weights) == list(drawn[1][branch])
        assert all(torch.equal(weights[key], drawn[1][branch][key]) for key in weights)


@pytest.mark.parametrize("isolated", [False, True], ids=["shared norm", "isolated norm"])
def test_gradients_are_the_same_beside_the_weights_and_added_to_them(isolated, monkeypatch):
    gradients = []
    for summed in (False, True):
        monkeypatch.setattr(LowRank, "cheaper_summed", summed)
        with decoupled_loras(MODEL, EACH_LAYER, isolate_norm=isolated) as loras:
            weights = loud(loras, "spatial", 4)
            loras.load_lora("spatial", weights, rank=4, scale=0.7)
            parameters = loras.add_lora("temporal", rank=4, scale=0.7, generator=torch.Generator().manual_seed(7))
            with torch.no_grad():
                for parameter in parameters:
                    parameter += 0.1
            attention, x = loras.layers[0], torch.linspace(-2, 2, 480).view(1, 10, 48)
            attention(x).square().sum().backward()
            own = attention.loras["temporal"]
            gradients.append([part.grad for part in (own.a, own.b, own.a_out, own.b_out)])
            assert all(part.grad is None for part in attention.loras["spatial"].parameters())
            outside = loras.layers[0].channels("spatial")
            assert not own.b.grad[:, outside].any()
            assert not own.a_out.grad[:, outside].any()
    for one, two in zip(*gradients, strict=True):
        assert (one - two).abs().max() < 1e-4 * one.abs().max()


class Losses(list):
    """The losses of all steps that are taken from here on."""

    def __init__(self, monkeypatch):
        finish = Learner.finish
        monkeypatch.setattr(
            Learner, "finish", lambda learner: (self.append(float(learner.watch.last)), finish(learner))
        )


@pytest.mark.parametrize("isolated", [False, True], ids=["shared norm", "isolated norm"])
@pytest.mark.parametrize("rank", RANKS.values(), ids=RANKS)
def test_a_fit_has_the_losses_of_the_oracle_and_its_clip(rank, isolated, monkeypatch):
    config = Config(rank=rank, isolate_norm=isolated, spatial_steps=12, temporal_steps=20, sparse_frames=5, **RATES)
    losses, clips, adapters = Losses(monkeypatch), [], []
    for method in (SplitFollowYourMotion, FollowYourMotion):
        made = method(config, Runtime(), StandIn())
        adapters.append(made.fit(moving_square(), "a ball moving right", seed=3))
        clips.append(made.generate(adapters[-1], "a red star", seed=1))
    oracle, product = losses[:32], losses[32:]
    assert np.std(oracle[:12]) > 0.01  # the steps differ by far more than the tolerance
    np.testing.assert_allclose(product, oracle, rtol=1e-4)
    assert np.abs(clips[0].frames.astype(int) - clips[1].frames).max() <= 1
    for branch in ("spatial", "temporal"):
        one, two = (adapter.loras[branch] for adapter in adapters)
        assert list(one) == list(two)
        assert all((one[k] - two[k]).abs().max() < 0.02 * one[k].abs().max() for k in one)


def test_a_fit_in_bfloat16_has_the_losses_of_the_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = StandIn()
    backbone.transformer.save_pretrained(tmp_path)
    backbone.transformer = type(backbone.transformer).from_pretrained(tmp_path, torch_dtype=torch.bfloat16).eval()
    backbone.dtype = torch.bfloat16
    config = Config(rank=3, spatial_steps=5, temporal_steps=7, sparse_frames=5, **RATES)
    losses = Losses(monkeypatch)
    for method in (SplitFollowYourMotion, FollowYourMotion):
        method(config, Runtime(), backbone).fit(moving_square(), "a ball moving right", seed=3)
    assert len(losses) == 24
    np.testing.assert_allclose(losses[12:], losses[:12], rtol=0.03)


@pytest.mark.slow
def test_a_clip_of_tiny_is_that_of_the_oracle() -> None:
    from motionbench.split import read_split

    split = read_split("mini")
    case = split.cases[0]
    config = Config(**(FollowYourMotion.presets["tiny"] | {"spatial_steps": 10, "temporal_steps": 20}))
    product = FollowYourMotion.create(config, Runtime("tiny"))
    frames = []
    for made in (product, SplitFollowYourMotion(config, Runtime("tiny"), product.backbone)):
        adapter = made.fit(split.read_reference(case), case.caption, seed=0)
        frames.append(made.generate(adapter, case.prompt, seed=0).frames.astype(int))
    assert np.abs(frames[0] - frames[1]).max() <= 2


def test_both_loras_act_after_both_are_added():
    for branch in ("spatial", "temporal"):
        with decoupled_loras(MODEL, EACH_LAYER) as loras:
            made = {
                name: loras.add_lora(name, rank=2, scale=1.0, generator=torch.Generator().manual_seed(0))
                for name in ("spatial", "temporal")
            }
            with torch.no_grad():
                for parameter in made[branch]:
                    parameter += 0.1
            assert (run() - EXPECTED).abs().max() > 1e-3


def test_leaving_restores_modules_and_gradient_flags_even_after_an_error():
    model = random_transformer()
    model.blocks[0].attn1.to_q.weight.requires_grad_(True)
    before = [block.attn1 for block in model.blocks]

    def fail_inside():
        with decoupled_loras(model, np.ones((2, 4), bool)) as loras:
            assert not any(p.requires_grad for p in model.parameters())
            weights = loud(loras, "temporal", 2)
            loras.load_lora("temporal", weights, rank=2, scale=1.0)
            assert loras.merge_lora("temporal")
            assert not torch.equal(before[0].to_q.weight, WEIGHTS["blocks.0.attn1.to_q.weight"])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert [block.attn1 for block in model.blocks] == before
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["blocks.0.attn1.to_q.weight"]
    assert all(torch.equal(value, WEIGHTS[name]) for name, value in model.state_dict().items())


def test_a_lora_is_merged_only_where_the_weights_can_hold_it(tmp_path: Path) -> None:
    transformer = backbone_for(PLAIN, tmp_path, "bfloat16").transformer
    before = transformer.blocks[0].attn1.to_q.weight.clone()
    for size, holds in ((1e-5, False), (1.0, True)):
        with decoupled_loras(transformer, TEMPORAL) as loras, torch.no_grad():
            for parameter in loras.add_lora("temporal", rank=3, scale=1.0, generator=torch.Generator().manual_seed(0)):
                parameter += size * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            layer = loras.layers[0]
            delta = layer.loras["temporal"].deltas()["q"]
            assert loras.merge_lora("temporal") is holds
            merged = layer.linear("q").weight.float() - before.float()
            if holds:
                assert (merged - delta).norm() < MERGE_TOLERANCE * delta.norm()
                assert "temporal" not in layer.loras
            else:
                assert not merged.any()
        assert torch.equal(transformer.blocks[0].attn1.to_q.weight, before)


def test_the_shared_norm_leaks_and_isolate_norm_stops_it():
    attention = random_transformer().blocks[0].attn1
    x = torch.randn(1, 12, 48, generator=torch.Generator().manual_seed(0))
    for tuned in ("spatial", "temporal"):
        for rank in RANKS.values():
            leak = {}
            for isolated in (False, True):
                layer = DecoupledAttention(attention, EACH_LAYER[0], isolate_norm=isolated)
                generator = torch.Generator().manual_seed(0)
                layer.loras[tuned] = LowRank(layer.channels(tuned), 48, rank, 1.0, generator)
                assert norm_leak(layer, x, tuned) == 0
                with torch.no_grad():
                    for parameter in layer.parameters():
                        parameter += 0.05 if parameter.requires_grad else 0
                leak[isolated] = norm_leak(layer, x, tuned)
            assert leak[False] > 0.005
            assert leak[True] == 0
    assert norm_leak(DecoupledAttention(attention, np.ones(4, bool)), x, "temporal") is None


def test_an_assignment_of_another_shape_is_refused():
    for shape in ((3, 4), (2, 5)):
        with pytest.raises(ShapeError, match="expected, got"), decoupled_loras(MODEL, np.ones(shape, bool)):
            pass
