"""The methods that read attention, on a small random transformer: what they promise, keep, refuse and leave alone."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from motionbench.methods.ditflow.method import DitFlow
from motionbench.methods.fastvmt.method import FastVmt
from motionbench.methods.motionclone.method import MotionClone
from stand_in import StandIn, moving_square

from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.errors import ConfigError, NotFiniteError, StoreError
from motionbench.method import Method, Runtime

CLIP = moving_square()
QUICK = {
    DitFlow: {"guided_share": 0.7, "iterations": 2, "lr_from": 0.05, "lr_to": 0.05},
    FastVmt: {"guided_share": 0.7, "iterations": 2, "lr_from": 0.05, "lr_to": 0.05, "block": 1, "tile": (1, 2)},
    MotionClone: {"sample_steps": 3, "guided_steps": 2, "ramp_steps": 1, "weight": 2e4},
}
BLOCK = {DitFlow: "block", FastVmt: "block", MotionClone: "blocks"}
METHODS = pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)


def make(method, backbone=None, **changes):
    return method(method.Config(**(QUICK[method] | changes)), Runtime(backbone="stand_in"), backbone or StandIn())


def other_way(clip=CLIP):
    return Clip(np.ascontiguousarray(clip.frames[::-1]), clip.fps)


@METHODS
def test_each_is_a_method_with_an_honest_contract_and_presets_of_real_fields(method):
    made = make(method)
    assert isinstance(made, Method)
    assert not method.contract.trains
    assert method.contract.sees_reference
    assert method.contract.start_latent == ("noised_reference" if method is FastVmt else "noise")
    assert "unvalidated" not in inspect.getdoc(method)  # methods/gate.json says it
    for preset in method.presets:
        build_config(method, backbone="tiny", preset=preset)
    assert (
        build_config(method, backbone="wan2.1-1.3b")
        == method.Config()
        == build_config(method, backbone="tiny", preset="official")
    )
    assert build_config(method, backbone="tiny") != method.Config()


@METHODS
def test_generating_is_deterministic_survives_saving_and_leaves_the_backbone_alone(method, tmp_path):
    backbone = StandIn()
    made = make(method, backbone)
    processors = [block.attn1.processor for block in backbone.transformer.blocks]
    adapter = made.fit(CLIP, "a ball", seed=1)
    clip = made.generate(adapter, "a star", seed=2)
    torch.manual_seed(99)
    assert np.array_equal(made.generate(made.fit(CLIP, "a ball", seed=1), "a star", seed=2).frames, clip.frames)
    adapter.save(tmp_path / "a")
    assert np.array_equal(made.generate(made.load_adapter(tmp_path / "a"), "a star", seed=2).frames, clip.frames)
    assert not np.array_equal(made.generate(adapter, "a star", seed=3).frames, clip.frames)
    assert [block.attn1.processor for block in backbone.transformer.blocks] == processors
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in backbone.transformer.modules())
    assert not any(p.requires_grad for p in backbone.transformer.parameters())
    other = type("Other", (method,), {"name": "other"})(made.config, made.runtime, backbone)
    with pytest.raises(StoreError, match="not a other adapter"):
        other.load_adapter(tmp_path / "a")


@METHODS
def test_gradient_checkpointing_changes_no_number(method):
    adapter = make(method).fit(CLIP, "a ball", seed=1)
    clips = [make(method, gradient_checkpointing=g).generate(adapter, "a star", seed=2) for g in (True, False)]
    assert np.array_equal(clips[0].frames, clips[1].frames)


@METHODS
def test_the_reference_is_what_guides(method):
    made = make(method)
    clips = [made.generate(made.fit(c, "a ball", seed=1), "a star", seed=2) for c in (CLIP, other_way())]
    assert not np.array_equal(clips[0].frames, clips[1].frames)


@METHODS
@pytest.mark.parametrize("block", [2, -1])
def test_a_block_that_is_not_there_is_refused_and_valid_ones_named(method, block):
    with pytest.raises(ConfigError, match=rf"block must be in 0 \.\.\. 1 on this backbone, got \[{block}\]"):
        make(method, **{BLOCK[method]: (block,) if method is MotionClone else block})
    with pytest.raises(ConfigError, match=r"got \[5\]"):
        make(DitFlow, injected_block=5)


@METHODS
def test_a_backbone_without_self_attentions_is_refused_and_fit_ones_named(method):
    backbone = StandIn()
    backbone.transformer = torch.nn.Linear(2, 2)
    with pytest.raises(ConfigError, match=rf"{method.name} cannot run on backbone stand_in: .*tiny, wan2\.1-1\.3b"):
        make(method, backbone)


@METHODS
def test_what_is_not_finite_is_a_typed_error_and_leaves_the_backbone_usable(method):
    backbone = StandIn()
    made = make(method, backbone)
    adapter = made.fit(CLIP, "a ball", seed=1)
    good = made.generate(adapter, "a star", seed=2)
    for name, tensor in adapter.tensors.items():
        if tensor.is_floating_point() and (name == "reference" or name.startswith("values")):
            tensor[...] = float("nan")
    with pytest.raises(NotFiniteError, match="step 1 of 3"):
        # DiTFlow reads the clean reference through its injection, the others in their losses
        made.generate(adapter, "a star", seed=2)
    again = made.generate(made.fit(CLIP, "a ball", seed=1), "a star", seed=2)
    assert np.array_equal(again.frames, good.frames)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        (DitFlow, {"temperature": 0.0}),
        (DitFlow, {"guided_share": 2.0}),
        (FastVmt, {"reach": 0}),
        (FastVmt, {"window": 0}),
        (FastVmt, {"tile": (0, 2)}),
        (FastVmt, {"strength": 0.0}),
        (FastVmt, {"tracking_weight": -1.0}),
        (MotionClone, {"reference_time": 1.5}),
        (MotionClone, {"guided_range": 1.0}),
        (MotionClone, {"guided_steps": -1}),
        (MotionClone, {"sample_steps": 0}),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(method, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        method.Config(**wrong)
