"""The backbone class on random weights: shapes, the flow convention, text, and errors that name what is missing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.backbone import Backbone
from motionbench.methods.backbones.catalog import from_folder
from motionbench.methods.backbones.flow import euler, noised, sampling_times, shift_times

from motionbench.backbone import make_backbone
from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, NotFiniteError, ShapeError
from motionbench.method import Runtime
from training.tiny_backbone.framewise import decode_frames, encode_frames, fold_time, unfold_time
from training.tiny_backbone.muon import Muon, orthogonalized
from training.tiny_backbone.parts import save_random_tiny


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    folder = save_random_tiny(tmp_path_factory.mktemp("tiny"), ["a", "ball", "red"])
    return from_folder("tiny", folder, Runtime())


def clip(frames: int = 17, height: int = 64, width: int = 64) -> Clip:
    pixels = np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return Clip(pixels, fps=8.0)


def test_encode_gives_one_latent_per_frame_and_decode_gives_the_clip_shape_back(backbone: Backbone) -> None:
    latents = backbone.encode(clip())
    assert tuple(latents.shape) == (1, *backbone.latent_shape()) == (1, 8, 17, 16, 16)
    assert backbone.decode(latents).frames.shape == (17, 64, 64, 3)


def test_prepare_tells_how_many_frames_repeat(backbone: Backbone, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert len(backbone.prepare(clip(frames=10))) == 17
        held = Clip(clip().frames, 8.0, times=np.array([*range(16), 31]) / 8)  # the last but one frame is held
        backbone.prepare(held)
        backbone.prepare(clip(frames=33))
    first, second, third = caplog.messages
    assert first == "reference of 10 frames 64x64 taken as 17 frames 64x64; 7 of them repeat the one before"
    assert "of them repeat" in second
    assert "repeat" not in third


def test_encode_refuses_lengths_that_the_vae_would_silently_cut(backbone: Backbone) -> None:
    with pytest.raises(ShapeError, match=r"4k\+1 frames"):
        backbone.encode(clip(frames=16))


def test_decode_refuses_latents_that_are_not_finite(backbone: Backbone) -> None:
    with pytest.raises(NotFiniteError):
        backbone.decode(torch.full((1, *backbone.latent_shape()), float("nan")))


def test_text_is_zero_past_its_end_and_unknown_words_are_named(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        text = backbone.encode_text(["A red ball", "a purple ball"])
    assert text.shape[:2] == (2, backbone.spec.text_tokens)
    assert torch.all(text[:, 4:] == 0)
    assert torch.any(text[:, :4] != 0)
    assert backbone.unknown_words("a purple ball") == ["purple"]
    assert "purple" in caplog.text


def test_sampling_is_the_same_for_the_same_seed_and_differs_for_another(backbone: Backbone) -> None:
    text = backbone.encode_text(["a red ball"])
    one, again, other = (backbone.sample(text, seed=s, steps=2) for s in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)


def test_guidance_of_one_is_the_plain_conditional_velocity(backbone: Backbone) -> None:
    text = backbone.encode_text(["a red ball"])
    plain = backbone.sample(text, seed=3, steps=1, guidance=1.0)
    start = torch.randn((1, *backbone.latent_shape()), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = start - backbone.velocity(start, torch.ones(1), text)
    torch.testing.assert_close(plain, expected)


def test_euler_with_the_true_velocity_ends_at_the_clip() -> None:
    x0, noise = torch.randn(1, 2, 3, 4, 4), torch.randn(1, 2, 3, 4, 4)
    end = euler(lambda x, t: noise - x0, noised(x0, noise, torch.ones(1)), sampling_times(5, 3.0))
    torch.testing.assert_close(end, x0)


def test_shift_keeps_both_ends_and_moves_the_middle_towards_noise() -> None:
    t = torch.tensor([0.0, 0.5, 1.0])
    torch.testing.assert_close(shift_times(t, 3.0), torch.tensor([0.0, 0.75, 1.0]))


def test_folded_vae_equals_the_causal_vae_on_every_frame(backbone: Backbone) -> None:
    vae = fold_time(backbone.vae)
    frames = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        mean, _ = encode_frames(vae, frames)
        decoded = decode_frames(vae, mean).clamp(-1, 1)
        unfold_time(vae)
        video = frames.transpose(0, 1)[None]
        latents = vae.encode(video).latent_dist.mode()
        torch.testing.assert_close(latents[0].transpose(0, 1), mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(vae.decode(latents).sample[0].transpose(0, 1), decoded, atol=1e-4, rtol=1e-3)


def test_a_vae_of_images_sees_every_frame_by_itself(backbone: Backbone, tmp_path: Path) -> None:
    assert not from_folder(
        "tiny", save_random_tiny(tmp_path, ["a"]), Runtime()
    ).frames_apart  # random taps see the past
    tiny = make_backbone(Runtime())
    assert tiny.frames_apart
    kept = [0, 3, 4, 6, 9, 10, 12, 15, 16]
    apart = tiny.encode(Clip(clip().frames[kept], 8.0))
    torch.testing.assert_close(apart, tiny.encode(clip())[:, :, kept], atol=1e-6, rtol=1e-6)


def test_missing_parts_are_named(tmp_path: Path, backbone: Backbone) -> None:
    with pytest.raises(MissingWeightsError, match="transformer, vae"):
        Backbone.load("tiny", tmp_path, backbone.spec, device="cpu", dtype="float32")


@pytest.mark.parametrize("shape", [(2, 24, 16), (1, 16, 40)])
def test_orthogonalized_updates_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    g = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalized(g).float())
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_muon_solves_a_linear_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    truth, x = torch.randn(6, 8, generator=generator), torch.randn(64, 8, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(6, 8))
    optimizer = Muon([weight], lr=0.2)
    for step in range(200):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        optimizer.zero_grad()
        (x @ (weight - truth).T).square().mean().backward()
        optimizer.step()
    assert (weight - truth).norm() / truth.norm() < 0.05
