"""The probe that picks a block: a ratio of losses that is what it says, and 1 where there is no direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.flow import gaussian, noised
from motionbench.methods.controls import NoConfig
from motionbench.methods.ditflow.method import DitFlow
from motionbench.methods.fastvmt.method import FastVmt
from motionbench.methods.guidance.sampling import Step
from motionbench.methods.motionclone.method import MotionClone
from stand_in import StandIn, moving_square

from motionbench.clip import Clip
from motionbench.errors import ConfigError
from motionbench.method import Runtime
from training.block_probe import direction_ratio, probe, with_block

CONFIGS = {
    DitFlow: DitFlow.Config(block=1),
    FastVmt: FastVmt.Config(block=1, tracking_weight=0.0),
    MotionClone: MotionClone.Config(),
}
METHODS = pytest.mark.parametrize("method", CONFIGS, ids=lambda m: m.name)


@METHODS
def test_a_clip_without_direction_gives_one(method):
    made = method(CONFIGS[method], Runtime(), StandIn())
    frames = moving_square().frames
    there_and_back = Clip(np.concatenate([frames[:5], frames[:4][::-1]]), 8.0)
    same = Clip(np.ascontiguousarray(there_and_back.frames[::-1]), 8.0)
    assert np.array_equal(there_and_back.frames, same.frames)
    assert direction_ratio(made, there_and_back, 0.5) == pytest.approx(1, abs=1e-4)


@METHODS
def test_the_ratio_is_of_the_guides_own_losses(method):
    made, clip, t = method(CONFIGS[method], Runtime(), StandIn()), moving_square(), torch.tensor([0.5])
    adapter = made.fit(clip, "", seed=0)
    latents = made.backbone.encode(clip)
    noise, text = gaussian(tuple(latents.shape), 1, "cpu"), made.backbone.encode_text([""])
    losses = []
    for x in (latents, latents.flip(2)):
        x = noised(x, noise, t)
        losses.append(made.guide(adapter, text, x, seed=0).loss_at(x, Step(0, 1, t, t * 0))(x).item())
    assert direction_ratio(made, clip, 0.5) == pytest.approx(losses[0] / losses[1], rel=1e-5)


def test_every_block_is_asked_at_every_time():
    backbone = StandIn(layers=3)
    rows = probe(MotionClone, MotionClone.Config(), Runtime(), backbone, [moving_square()], [0.7, 0.3])
    assert np.shape(rows) == (3, 2)
    alone = MotionClone(replace(MotionClone.Config(), blocks=(2,)), Runtime(), backbone)
    assert rows[2][1] == direction_ratio(alone, moving_square(), 0.3)
    assert len({row[1] for row in rows}) == 3


def test_the_block_is_set_whatever_it_is_called():
    assert with_block(DitFlow.Config(), 2).block == 2
    assert with_block(MotionClone.Config(), 2).blocks == (2,)
    with pytest.raises(ConfigError, match="reads no block"):
        with_block(NoConfig(), 0)
