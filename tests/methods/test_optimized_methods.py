"""Every method by the backbone's optimized training, guidance and sampling: the losses and clips of plain ones."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.execution import PLAIN, Execution
from motionbench.methods.backbones.tensor_cache import TensorCache
from motionbench.methods.backbones.wan_backbone import WanBackbone
from motionbench.methods.backbones.wan_models import WAN_1_3B
from motionbench.methods.backbones.wan_weights import check_weights
from motionbench.methods.guidance import sampling
from motionbench.methods.motioninversion.embeddings import motion_embeddings
from motionbench.methods.taps.token_grid import TokenGrid
from motionbench.methods.tuning.learner import Learner
from small_wan import moving_clip, small_folder

from motionbench import registry
from motionbench.config import build_config
from motionbench.method import Runtime

FAST = Execution(compiler="eager", checkpoint_share=1 / 3)
# What is set of each, so that a fit and a clip take seconds.
TUNED: dict[str, dict[str, Any]] = {
    "twostagelora": {"rank": 2, "spatial_steps": 3, "temporal_steps": 3},
    "motiondirector": {"rank": 2, "steps": 4, "inversion_steps": 2, "dropout": 0.0},
    "vmc": {"rank": 2, "steps": 4, "inversion_steps": 2, "lr": 1e-2},
    "motioninversion": {"steps": 4, "inversion_steps": 2},
    "det": {"steps": 4, "lr": 1e-2},
}
GUIDED: dict[str, dict[str, Any]] = {
    "flowmotion": {"guided_share": 0.5, "iterations": 2},
    "smm": {"guided_share": 0.5, "iterations": 2, "inversion_substeps": 2},
    "moft": {"guided_share": 0.5, "iterations": 2},
    "ditflow": {"guided_share": 0.5, "iterations": 2},
    "motionclone": {"guided_steps": 1, "ramp_steps": 1},
    "fastvmt": {"guided_share": 0.5, "iterations": 2, "block": 1},
}
QUICK = {"vmc", "ditflow"}  # a LoRA and a tap; the others take the same two roads


def every(names: dict[str, Any]) -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


def run(name: str, execution: Execution, cache: Path, monkeypatch, *, device: str, dtype: str) -> Any:
    """The losses of a fit and of the guidance, and the frames of a clip of two steps."""
    weights = check_weights(small_folder(), WAN_1_3B)
    options: dict[str, Any] = {"device": device, "dtype": dtype, "execution": execution, "cache": TensorCache(cache)}
    backbone = WanBackbone(WAN_1_3B, weights, **options)
    cls = registry.load("methods", name)
    config = replace(build_config(cls, backbone=WAN_1_3B.name), sample_steps=2, **(TUNED | GUIDED)[name])
    seen: list[float] = []
    finish, gradient = Learner.finish, sampling.loss_gradient

    def finished(learner: Learner) -> None:
        seen.append(float(learner.watch.last))
        finish(learner)

    def differentiated(loss, latents):
        value, slope = gradient(loss, latents)
        seen.append(float(value))
        return value, slope

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "finish", finished)
        patch.setattr(sampling, "loss_gradient", differentiated)
        if name == "motionclone":
            patch.setattr("motionbench.methods.motionclone.method.loss_gradient", differentiated)
        made = cls(config, Runtime(WAN_1_3B.name, device), backbone)
        adapter = made.fit(moving_clip(), "a square moving right", seed=3)
        clip = made.generate(adapter, "a circle moving right", seed=4)
    assert not any("forward" in vars(block) for block in backbone.transformer.blocks)  # and nothing is left behind
    assert not backbone.transformer.gradient_checkpointing
    return np.array(seen), clip.frames.astype(float)


def compare(name: str, cache: Path, monkeypatch, *, fast: Execution, device: str, dtype: str, rtol: float) -> None:
    plain, plain_frames = run(name, PLAIN, cache, monkeypatch, device=device, dtype=dtype)
    quick, quick_frames = run(name, fast, cache, monkeypatch, device=device, dtype=dtype)
    assert len(plain) == len(quick) > 0
    assert np.isfinite(plain).all()
    np.testing.assert_allclose(quick, plain, rtol=rtol)
    if dtype == "float32":
        assert np.abs(quick_frames - plain_frames).mean() < 1.0
    assert plain_frames.std() > 1.0


@pytest.mark.parametrize("name", every(TUNED))
def test_a_method_that_tunes_has_the_losses_and_the_clip_of_plain_steps(name, tmp_path, monkeypatch) -> None:
    compare(name, tmp_path, monkeypatch, fast=FAST, device="cpu", dtype="float32", rtol=1e-3)


@pytest.mark.parametrize("name", every(GUIDED))
def test_a_method_that_guides_has_the_losses_and_the_clip_of_plain_steps(name, tmp_path, monkeypatch) -> None:
    compare(name, tmp_path, monkeypatch, fast=FAST, device="cpu", dtype="float32", rtol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*TUNED, *GUIDED])
def test_a_method_on_a_gpu_has_the_losses_of_plain_steps(name, tmp_path, monkeypatch) -> None:
    fast = replace(FAST, compiler="inductor")
    compare(name, tmp_path, monkeypatch, fast=fast, device="cuda", dtype="bfloat16", rtol=0.05)


def test_compiled_blocks_notice_what_is_hooked_on_them(tmp_path) -> None:
    """Compiled code is kept from block to block, and from method to method; hooks differ in each."""
    weights = check_weights(small_folder(), WAN_1_3B)
    backbone = WanBackbone(
        WAN_1_3B, weights, device="cpu", dtype="float32", execution=FAST, cache=TensorCache(tmp_path)
    )
    x, t, text = torch.randn(1, *backbone.latent_shape()), torch.tensor([0.7]), backbone.encode_text(["a ball"])
    grid = TokenGrid(5, 4, 4)

    def outputs(hosted: bool, scale: float) -> list[torch.Tensor]:
        host = motion_embeddings(backbone.transformer, grid, "place") if hosted else nullcontext([])
        found = []
        with host as embeddings, torch.no_grad():
            for i, parameter in enumerate(p for e in embeddings for p in e.parameters()):
                parameter += scale * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
            found.append(backbone.velocity(x, t, text))
            with backbone.computing():
                found.append(backbone.velocity(x, t, text))
        return found

    seen = [outputs(hosted, scale) for hosted, scale in ((False, 0), (True, 1.0), (True, 0.3), (False, 0))]
    for plain, compiled in seen:
        torch.testing.assert_close(compiled, plain, atol=1e-4, rtol=1e-4)
    assert all((a[0] - b[0]).abs().max() > 0.01 for a, b in pairwise(seen))


def test_every_method_that_learns_or_guides_is_among_these() -> None:
    ours = set(registry.names("methods")) - {"backbone", "copy", "folder", "frozen", "oracle", "reversed"}
    assert ours - {"followyourmotion"} <= TUNED.keys() | GUIDED.keys()
    assert torch.get_default_dtype() is torch.float32
