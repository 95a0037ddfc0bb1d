"""The clips that the tracker `real` learns from: their truth is true, and a step of training runs on them."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.metrics.trackers.frame_features import TrackerConfig
from motionbench.metrics.trackers.learned import save_tracker
from motionbench.metrics.trackers.tracker_net import TrackerNet

from training.real_tracker import train as training
from training.real_tracker.bank import SPRITES, blurred, make_pair
from training.real_tracker.known_motion import PLAN, make_clip, measure
from training.real_tracker.layers import LIMB, SCENE, Draws, draw_layers, follow, to_layer
from training.real_tracker.photometry import compress, disturb
from training.real_tracker.scenes import LAYERS, Bank, Renderer
from training.run import Run, add_arguments

SIDE, FRAMES = 32, 5


@pytest.fixture(scope="module")
def bank() -> Bank:
    pictures, sprites = zip(*(make_pair(seed) for seed in (3, 4)), strict=True)
    things = torch.from_numpy(np.concatenate(sprites)).permute(0, 3, 1, 2)
    return Bank(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), torch.cat(blurred(things)))


def test_pictures_and_things_are_the_same_for_the_same_seed():
    one, again, other = make_pair(7), make_pair(7), make_pair(8)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])
    assert one[1].shape[0] == SPRITES
    assert (one[1][:, 0, :, 3] == 0).all()  # the outline stays off the border


def test_a_layers_point_is_seen_where_its_track_says():
    layers = draw_layers(Draws("cpu", 5), 3, LAYERS, FRAMES)
    start = torch.rand(len(layers.kind), 2) * 1.4 - 0.7
    own = to_layer(layers, start[:, None, None].expand(-1, FRAMES, -1, -1))[:, 0, 0]
    path = follow(layers, own, start)
    gap = (to_layer(layers, path[:, :, None])[:, :, 0] - own[:, None]).norm(dim=-1).amax(1)
    assert (gap < 5e-3).float().mean() > 0.9  # the rest is told apart by `valid` and asked for by nobody
    assert torch.allclose(path[gap < 5e-3][:, 0], start[gap < 5e-3], atol=2e-2)


def test_limbs_hang_on_their_body():
    layers = draw_layers(Draws("cpu", 2), 16, LAYERS, FRAMES)
    kind = layers.kind.view(16, LAYERS)
    clips = (kind[:, 4] == LIMB).nonzero()[:, 0]
    assert len(clips)
    joints = torch.zeros(1, 2)  # of a limb, in its own coordinates
    for clip in clips.tolist():
        body, limb = (layers.of(torch.tensor([clip * LAYERS + number])) for number in (3, 4))
        body.swing.zero_(), limb.swing.zero_()
        where = follow(limb, joints, limb.middle[:, 0])
        on_body = to_layer(body, where[:, :, None])[0, :, 0]
        assert (on_body - on_body[:1]).norm(dim=-1).max() < 0.02


def test_a_scene_has_what_it_promises_and_is_the_same_for_its_seed(bank):
    renderer = Renderer("cpu", SIDE, FRAMES)
    scene, again = renderer.scene(bank, 2, 24, 8, 11), renderer.scene(bank, 2, 24, 8, 11)
    assert scene.frames.shape == (2, FRAMES, 3, SIDE, SIDE)
    assert torch.equal(scene.frames, again.frames)
    assert torch.equal(scene.points, again.points)
    assert scene.visible[:, :, 0][scene.valid].all()
    inside = ((scene.points > -1) & (scene.points < SIDE)).all(-1)
    assert inside[scene.visible].all()


def test_turning_a_scene_twice_the_same_way_gives_it_back(bank):
    scene = Renderer("cpu", SIDE, FRAMES).scene(bank, 1, 16, 4, 12)
    twice = training.turned(training.turned(scene, 2, SIDE), 2, SIDE)
    assert torch.equal(twice.frames, scene.frames)
    assert torch.allclose(twice.points, scene.points, atol=1e-5)


def test_a_fine_codec_changes_little_and_a_coarse_one_keeps_the_mean():
    frames = torch.rand(2, 3, SIDE, SIDE) * 0.2 + 0.4
    fine, coarse = compress(frames, torch.tensor([1e-4, 1e-4])), compress(frames, torch.tensor([0.1, 0.1]))
    assert (fine - frames).mean(dim=(2, 3)).abs().max() < 1e-3
    assert (coarse - frames).abs().mean() > (fine - frames).abs().mean()
    assert (coarse - frames).mean().abs() < 0.02


def test_disturbed_frames_stay_frames():
    frames = torch.rand(3, FRAMES, 3, SIDE, SIDE)
    found = disturb(frames, Draws("cpu", 1))
    assert found.shape == frames.shape
    assert found.min() >= 0
    assert found.max() <= 1


def test_earlier_weights_are_adopted_without_the_inputs_they_lack(tmp_path: Path):
    shape = {"size": 16, "stem": 4, "stage_widths": (16, 16, 16), "channels": 8, "width": 16, "blocks": 1, "heads": 2}
    old, new = TrackerNet(TrackerConfig(**shape)), TrackerNet(TrackerConfig(**shape, detail=8))
    save_tracker(old, tmp_path)
    training.adopt(new, tmp_path)
    start = training._before_details(new.config)
    extra = new.read.weight.shape[1] - old.read.weight.shape[1]
    assert (new.read.weight[:, start : start + extra] == 0).all()
    assert torch.allclose(new.read.weight[:, :start], old.read.weight[:, :start], atol=1e-3)
    assert torch.allclose(new.read.weight[:, start + extra :], old.read.weight[:, start:], atol=1e-3)


def test_a_step_of_training_moves_the_weights(bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = TrackerConfig(size=8, stem=4, detail=8, stage_widths=(16, 16, 16), channels=8, width=16, blocks=1, heads=2)
    parser = argparse.ArgumentParser()
    add_arguments(parser, batch=1, learning_rate=1e-3)
    run = Run.of(TrackerNet(small), parser.parse_args(["--out", str(tmp_path), "--device", "cpu"]))
    monkeypatch.setattr(training, "SUPPORT", 4)
    lesson = training.to_lesson(Renderer("cpu", SIDE, FRAMES).scene(bank, 1, 16, 4, 12), small, Draws("cpu", 3))
    before = run.model.read.weight.detach().clone()
    loss = training.make_step(run.model, "cpu", compile=False)(lesson)
    run.update(loss)
    assert torch.isfinite(loss)
    assert not torch.equal(run.model.read.weight, before)


@pytest.mark.parametrize("number", [0, 2])
def test_true_tracks_of_a_known_motion_are_perfect_tracks(number: int):
    frames, _, _, kind, speed = PLAN[number]
    known = make_clip(1, (6, 64, 64, kind, speed))
    assert known.clip.frames.shape == (6, 64, 64, 3)
    found = measure(known, known.tracks)
    assert found["delta_avg"] == found["OA"] == found["AJ"] == 1
    assert found["fidelity"] is None or found["fidelity"] == pytest.approx(1)
    assert frames >= 24


def test_layers_begin_with_a_scene():
    layers = draw_layers(Draws("cpu", 1), 4, LAYERS, FRAMES)
    assert (layers.kind.view(4, LAYERS)[:, 0] == SCENE).all()
