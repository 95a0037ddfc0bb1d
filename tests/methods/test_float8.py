"""Frozen weights in float8: what is rounded, what gradients go through, and what happens where cards cannot do it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from motionbench.methods.backbones import float8
from motionbench.methods.backbones.execution import PLAIN, Execution
from motionbench.methods.backbones.float8 import (
    TOLERANCE,
    Float8Linear,
    float8_error,
    float8_weights,
    has_float8,
    multiply,
    quantize_rows,
)
from motionbench.methods.backbones.random_weights import random_part
from motionbench.methods.backbones.replay import ReplayedSteps
from motionbench.methods.backbones.tensor_cache import TensorCache
from motionbench.methods.backbones.wan_backbone import WanBackbone
from motionbench.methods.backbones.wan_models import WAN_1_3B
from motionbench.methods.backbones.wan_weights import check_weights
from motionbench.methods.followyourmotion.config import Config
from motionbench.methods.followyourmotion.method import FollowYourMotion
from motionbench.methods.tuning.learner import Learner
from small_wan import moving_clip, small_folder
from stand_in import StandIn
from test_replay import BufferRecorder

from motionbench.fallbacks import execution, fallbacks, forget_fallbacks
from motionbench.method import Runtime

CPU = torch.device("cpu")
FAST = Execution(compiler="eager", checkpoint_share=1 / 3)


@pytest.fixture(autouse=True)
def told_anew() -> Iterator[None]:
    forget_fallbacks()
    has_float8.cache_clear()
    yield
    forget_fallbacks()
    has_float8.cache_clear()


def test_each_row_is_rounded_to_three_bits_of_its_largest_number() -> None:
    x = torch.randn(5, 200, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1e-30], [1e-3], [1], [1e4], [0]]
    )
    rows, scales = quantize_rows(x)
    back = rows.double() * scales.double()
    assert torch.isfinite(back).all()
    assert torch.equal(back[4], torch.zeros(200).double())
    for row, exact in zip(back[1:4], x[1:4].double(), strict=True):
        error = (row - exact).abs()
        step = exact.abs().max() / 448 * 2.0**-10  # half of the smallest step, of subnormal numbers
        assert (error <= torch.maximum(exact.abs() / 16, step)).all()
        assert error.norm() > 0.01 * exact.norm()


def test_a_product_is_that_of_the_rounded_numbers() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w, bias = (torch.randn(*shape, generator=generator) for shape in ((7, 32), (16, 32), (16,)))
    (rows, row_scales), (weight, scales) = quantize_rows(x), quantize_rows(w)
    expected = bias.double().repeat(7, 1)
    for i in range(7):
        for j in range(16):
            both = float(row_scales[i]) * float(scales[j])
            expected[i, j] += both * sum(float(a) * float(b) for a, b in zip(rows[i], weight[j], strict=True))
    found = multiply(x, weight, scales.reshape(1, -1), bias, native=False)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    error = (found - torch.nn.functional.linear(x, w, bias)).norm() / found.norm()
    assert 0.01 < error < 0.06  # 3.7% was measured of large products


def test_the_native_product_takes_what_it_is_given() -> None:
    try:
        error = float8_error(CPU)
    except (RuntimeError, NotImplementedError):
        pytest.skip("this torch has no such product on a CPU")
    assert error < TOLERANCE


@pytest.mark.parametrize("backend", [None, "eager", "aot_eager"])
def test_gradients_go_through_the_weights_as_they_are(backend: str | None) -> None:
    linear = torch.nn.Linear(48, 32).requires_grad_(False)
    rounded: torch.nn.Module = Float8Linear(linear, native=False)
    x = torch.randn(2, 3, 48, requires_grad=True)
    gradient = torch.randn(2, 3, 32)
    made = torch.compile(rounded, backend=backend, fullgraph=True) if backend else rounded
    out = made(x)
    (found,) = torch.autograd.grad(out, x, gradient)
    (expected,) = torch.autograd.grad(linear(x), x, gradient)
    torch.testing.assert_close(found, expected)
    assert 0.005 < float((out - linear(x)).detach().norm() / out.norm().detach()) < 0.06


def test_large_products_are_rounded_inside_the_block_and_only_there(monkeypatch) -> None:
    transformer = random_part(WAN_1_3B, "transformer", scale="small", dtype=torch.float32, device="cpu")
    before = dict(transformer.named_modules())
    block = transformer.blocks[0]
    monkeypatch.setattr(float8, "LARGE", block.ffn.net[2].weight.numel())  # what the attentions have is smaller
    with float8_weights(transformer, CPU) as count:
        assert count == 2 * len(transformer.blocks)
        assert isinstance(block.ffn.net[0].proj, Float8Linear)
        assert isinstance(block.ffn.net[2], Float8Linear)
    monkeypatch.setattr(float8, "LARGE", 1)
    with float8_weights(transformer, CPU) as count:
        assert count == 8 * len(transformer.blocks)  # q, k, v and o; q and o of the other attention; both of the rest
        assert not isinstance(block.attn2.to_k, Float8Linear)
        assert execution()["chosen"] == {"frozen weights": f"{count} products in float8, as rounding only"}
    assert dict(transformer.named_modules()) == before


@pytest.mark.parametrize(
    ("device", "capability", "told"),
    [("cpu", None, "before compute capability 8.9"), ("cuda", (8, 0), "before compute capability 8.9")],
)
def test_a_device_without_such_products_is_told_once(monkeypatch, caplog, device, capability, told) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    with caplog.at_level(logging.WARNING):
        assert [has_float8(torch.device(device)) for _ in range(3)] == [False] * 3
    assert [r.message.partition(" (")[0] for r in caplog.records] == [
        "products of float8 does not work here; the same rounding in the model's own type, which is no quicker instead"
    ]
    assert told in fallbacks()["products of float8"]


@pytest.mark.parametrize("fault", [RuntimeError("CUDA driver too old"), 0.3, float("nan")])
def test_products_that_fail_or_are_wrong_are_not_taken(monkeypatch, fault) -> None:
    def error(device: torch.device) -> float:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(float8, "float8_error", error)
    assert not has_float8(torch.device("cuda"))
    assert len(fallbacks()) == 1


def test_a_model_of_small_products_is_left_as_it_is(caplog) -> None:
    backbone = StandIn()
    with (
        caplog.at_level(logging.WARNING),
        backbone.training(torch.zeros(1, 5, 8), (1, 4, 5, 4, 4), save_memory=False, frozen_weights="float8"),
    ):
        assert not any(isinstance(m, Float8Linear) for m in backbone.transformer.modules())
    assert "no product is large enough" in fallbacks()["frozen weights in float8"]


def losses_of(monkeypatch, folder, how: Execution, kind: str, recorder=None, device="cpu", dtype="float32"):
    """The losses of eight single frames and eight sparse clips."""
    seen: list[float] = []
    own, made = Learner.finish, ReplayedSteps.__init__

    def finish(learner: Learner) -> None:
        seen.append(float(learner.watch.last))
        own(learner)

    options = {"device": device, "dtype": dtype, "execution": how, "cache": TensorCache(folder)}
    backbone = WanBackbone(WAN_1_3B, check_weights(small_folder(), WAN_1_3B), **options)
    config = Config(rank=4, sparse_frames=9, spatial_steps=8, temporal_steps=8, frozen_weights=kind)
    method = FollowYourMotion(config, Runtime(WAN_1_3B.name, device), backbone)
    half = np.array([[True, True, False, False]] * 3)
    with monkeypatch.context() as patch:
        patch.setattr(float8, "LARGE", 1)
        patch.setattr(Learner, "finish", finish)
        patch.setattr(FollowYourMotion, "score_heads", lambda *_, **__: None)
        patch.setattr(FollowYourMotion, "_assignment", lambda *_: half)
        if recorder is not None:
            patch.setattr(ReplayedSteps, "__init__", lambda self, step, _: made(self, step, recorder))
        method.fit(moving_clip(), "a square moving right", seed=3)
    assert not any(isinstance(module, Float8Linear) for module in backbone.transformer.modules())
    return np.array(seen)


def test_losses_are_those_of_rounded_weights_compiled_and_replayed_or_not(monkeypatch, tmp_path) -> None:
    exact = losses_of(monkeypatch, tmp_path, PLAIN, "unchanged")
    rounded = losses_of(monkeypatch, tmp_path, replace(FAST, compiler=None, checkpoint_share=0.0), "float8")
    recorder = BufferRecorder()
    fast = losses_of(monkeypatch, tmp_path, FAST, "float8", recorder)
    assert recorder.replays > 0
    assert len(exact) == len(rounded) == len(fast) == 16
    apart = np.abs(rounded / exact - 1)
    assert 1e-5 < apart.mean() < 0.02
    np.testing.assert_allclose(fast, rounded, rtol=1e-6)


@pytest.mark.gpu
def test_a_gpu_has_the_products_and_the_losses_of_the_rounding(monkeypatch, tmp_path) -> None:
    gpu = torch.device("cuda")
    if torch.cuda.get_device_capability(gpu) < float8.CAPABILITY:
        pytest.skip("this card has no products of float8")
    assert float8_error(gpu) < TOLERANCE
    fast = replace(FAST, compiler="inductor")
    native = losses_of(monkeypatch, tmp_path, fast, "float8", device="cuda", dtype="bfloat16")
    assert not fallbacks()
    monkeypatch.setattr(float8, "has_float8", lambda _: False)
    slow = replace(fast, compiler=None, replay=False)
    rounded = losses_of(monkeypatch, tmp_path, slow, "float8", device="cuda", dtype="bfloat16")
    np.testing.assert_allclose(native, rounded, rtol=0.03)
