"""Kernels of our own in a block: what they compute, where they are used, and what happens where they do not work."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from interpreted import interpreted
from motionbench.methods.backbones import fused, inductor
from motionbench.methods.backbones.fixed_text import fixed_text
from motionbench.methods.followyourmotion.decoupled_lora import decoupled_loras
from small_wan import small_backbone

from motionbench.fallbacks import fallbacks, forget_fallbacks

INTERPRETED = """
import torch
from motionbench.methods.backbones import fused

for heads, width, length in ((3, 32, 70), (2, 24, 9)):
    assert fused.largest_error(torch.device("cpu"), heads, width, dtype=torch.float32, length=length) < 1e-5
x, weight = torch.randn(2, 5, 32, requires_grad=True), torch.ones(32)
turn = [torch.randn(1, 5, 1, 16) for _ in range(2)]
key, value = torch.randn(2, 1, 9, 32)
for added in (None, torch.randn(2, 5, 32, requires_grad=True)):
    torch.library.opcheck(torch.ops.motionbench.norm_rope.default, (x, added, weight, *turn, 1e-6))
torch.library.opcheck(torch.ops.motionbench.attend.default, (x, key, value, 2))
"""


@pytest.mark.slow
def test_kernels_as_triton_interprets_them_on_a_cpu_agree_with_float64() -> None:
    done = interpreted(INTERPRETED)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.parametrize(("heads", "width", "length"), [(12, 128, 512), (40, 128, 77), (4, 24, 16), (3, 64, 512)])
def test_kernels_on_a_gpu_agree_with_float64(heads, width, length) -> None:
    assert fused.largest_error(torch.device("cuda"), heads, width, length=length) < 0.01


@pytest.mark.gpu
def test_a_gpu_norms_without_anything_added() -> None:
    x, weight = torch.randn(2, 1560, 1536), torch.rand(1536)
    angle = torch.randn(1, 1560, 1, 64).repeat_interleave(2, -1)
    turn = angle.cos(), angle.sin()
    given = (y.cuda() for y in (weight, *turn))
    found = torch.ops.motionbench.norm_rope(x.bfloat16().cuda(), None, *given, 1e-6)[0].cpu().float()
    expected = fused.plain_norm_rope(x.bfloat16().float(), None, weight, *turn, 1e-6)
    assert float((found - expected).norm() / expected.norm()) < 0.01


@pytest.fixture
def in_use(monkeypatch):
    """The operators in use on a CPU, each by what it computes in words of torch; how often each was called."""
    calls = {"norm_rope": 0, "attend": 0}

    def norm_rope(x, added, norm, cos, sin):
        calls["norm_rope"] += 1
        return fused.plain_norm_rope(x, added, norm.weight, cos, sin, norm.eps)

    def attend(query, key, value, heads):
        calls["attend"] += 1
        return fused.plain_attend(query, key, value, heads)

    def use(wanted: bool) -> dict[str, int]:
        monkeypatch.setattr(fused, "usable", lambda x: wanted)
        return calls

    monkeypatch.setattr(fused, "norm_rope", norm_rope)
    monkeypatch.setattr(fused, "attend", attend)
    monkeypatch.setattr(fused, "WIDTHS", range(129))  # of the small model too
    return use


@pytest.mark.parametrize("branches", [(), ("temporal",), ("spatial", "temporal")])
def test_blocks_compute_the_same_by_fused_operators(branches, in_use, tmp_path) -> None:
    backbone = small_backbone(tmp_path)
    transformer, generator = backbone.transformer, torch.Generator().manual_seed(0)
    x = torch.randn(2, *backbone.latent_shape(9), generator=generator, requires_grad=True)
    t, text = torch.tensor([0.3, 0.7]), torch.randn(1, 7, transformer.config.text_dim, generator=generator)
    temporal = np.arange(3 * transformer.config.num_attention_heads).reshape(3, -1) % 3 == 0
    found = []
    with decoupled_loras(transformer, temporal) as loras, fixed_text(transformer, text):
        parameters = [p for b in branches for p in loras.add_lora(b, rank=1, scale=1.0, generator=generator)]
        for parameter in parameters:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
        for wanted in (False, True):
            calls = in_use(wanted)
            out = backbone.velocity(x, t, text.expand(2, -1, -1))
            found.append([out, *torch.autograd.grad(out.square().sum(), [x, *parameters])])
    assert calls == {"norm_rope": 6, "attend": 3}  # of three blocks; none before they were in use
    for plain, own in zip(*found, strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-4, atol=1e-5 * float(plain.detach().abs().max()))


def test_norms_that_learn_are_left_to_torch(in_use, tmp_path) -> None:
    transformer = small_backbone(tmp_path).transformer
    calls = in_use(True)
    with decoupled_loras(transformer, np.ones((3, transformer.config.num_attention_heads), bool)):
        transformer.blocks[1].attn1.attention.norm_k.weight.requires_grad_(True)
        transformer(torch.randn(1, 16, 3, 8, 8), torch.tensor([500.0]), torch.randn(1, 7, 32))
    assert calls["norm_rope"] == 4  # of the two other blocks


@pytest.mark.parametrize("fault", [OSError("no C compiler"), float("nan"), 0.3])
def test_kernels_that_do_not_work_are_told_once_and_not_used(fault, monkeypatch, caplog) -> None:
    def error(device, heads, width):
        if isinstance(fault, Exception):
            raise fault
        return fault

    forget_fallbacks()
    fused.work_on.cache_clear()
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(fused, "largest_error", error)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with fused.fused_operators(torch.device("cuda"), 12, 128) as works:
                assert not works
                assert not fused.usable(torch.zeros(1, dtype=torch.bfloat16))
    assert len(caplog.records) == 1
    assert list(fallbacks()) == ["fused norms and attention to the text"]
    forget_fallbacks()
    fused.work_on.cache_clear()


def test_they_are_in_use_inside_the_block_only_and_in_sixteen_bits(monkeypatch) -> None:
    monkeypatch.setattr(fused, "work_on", lambda *_: True)
    half, single = torch.zeros(1, dtype=torch.bfloat16), torch.zeros(1)
    with fused.fused_operators(torch.device("cpu"), 12, 128):
        assert not fused.usable(half)
    with fused.fused_operators(torch.device("cuda"), 12, 128):
        assert fused.usable(half)
        assert not fused.usable(single)
    assert not fused.usable(half)


def test_the_quick_gelu_is_the_gelu_by_tanh() -> None:
    x = torch.linspace(-9, 9, 2001, dtype=torch.float64, requires_grad=True)
    expected = F.gelu(x, approximate="tanh")
    (slope,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(inductor.quick_gelu(x), expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(inductor.quick_gelu_gradient(torch.ones_like(x), x), slope, rtol=1e-11, atol=1e-12)
    half = x.detach().bfloat16()
    torch.testing.assert_close(inductor.quick_gelu(half), F.gelu(half, approximate="tanh"), rtol=0.01, atol=1e-5)


def test_only_the_gelu_by_tanh_is_decomposed_anew() -> None:
    aten = torch.ops.aten
    table = inductor.with_quick_gelu({aten.gelu.default: lambda x, approximate: "own"})
    x = torch.randn(5)
    assert table[aten.gelu.default](x) == "own"
    assert table[aten.gelu_backward.default](x, x) is NotImplemented
    torch.testing.assert_close(table[aten.gelu.default](x, approximate="tanh"), F.gelu(x, approximate="tanh"))
    torch.testing.assert_close(
        table[aten.gelu_backward.default](x, x, approximate="tanh"), aten.gelu_backward(x, x, approximate="tanh")
    )


def test_rows_of_channels_are_reduced_in_one_pass() -> None:
    from torch._inductor.runtime.hints import ReductionHint
    from torch._inductor.virtualized import V

    seen = []
    inner = inductor.in_whole_rows(lambda: seen.append(V.choices))
    inner()
    choose = seen[0].should_use_persistent_reduction
    sizes = SimpleNamespace(statically_known_leq=lambda a, b: a <= b)
    with V.set_graph_handler(SimpleNamespace(sizevars=sizes)):
        for size, expected in ((1536, True), (8960, True), (20_000, False)):
            row = SimpleNamespace(get_reduction_hint=lambda: ReductionHint.INNER, reduction_numel=size)
            row.strict_sum_rblock = lambda: None
            assert choose(row, False) is expected
    assert V.choices is not seen[0]


@pytest.mark.slow
def test_compiled_code_by_these_choices_computes_what_plain_code_does() -> None:
    from motionbench.methods.backbones.compiling import guarded

    def block(x, w):
        return F.gelu(F.layer_norm(x @ w, (48,)), approximate="tanh")

    forget_fallbacks()
    x, w = torch.randn(2, 9, 48, requires_grad=True), torch.randn(48, 48)
    outs = [block(x, w), torch.compile(block, backend=guarded("inductor"), dynamic=False)(x, w)]
    slopes = [torch.autograd.grad(out.square().sum(), x)[0] for out in outs]
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-4, atol=1e-4)
    assert not fallbacks()
