"""The Wan backbone on a small random model: lazy parts, caches, number types, and the main job end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.catalog import wan_1_3b
from motionbench.methods.backbones.wan_backbone import tile_beyond
from motionbench.methods.backbones.wan_models import WAN_1_3B
from motionbench.methods.backbones.wan_weights import FOLDER_VARIABLE
from small_wan import moving_clip, small_backbone, small_folder

from motionbench import cli
from motionbench.errors import ShapeError
from motionbench.store import ResultStore
from motionbench.video import read_clip


def test_latents_are_a_quarter_of_the_frames_and_an_eighth_of_the_size(tmp_path: Path) -> None:
    backbone = small_backbone(tmp_path)
    latents = backbone.encode(moving_clip())
    assert tuple(latents.shape) == (1, *backbone.latent_shape()) == (1, 16, 5, 8, 8)
    assert backbone.decode(latents).frames.shape == (17, 64, 64, 3)
    with pytest.raises(ShapeError, match=r"4k\+1"):
        backbone.encode(moving_clip(frames=16))


def test_the_text_encoder_is_released_before_the_transformer_is_loaded(tmp_path: Path) -> None:
    backbone = small_backbone(tmp_path)
    text = backbone.encode_text(["a ball", "a cube"])
    assert text.shape == (2, backbone.spec.text_tokens, 32)
    assert "text_encoder" not in backbone.parts._loaded
    assert "text_encoder" not in backbone.__dict__
    assert "transformer" not in backbone.parts._loaded
    backbone.velocity(torch.zeros(1, *backbone.latent_shape()), torch.ones(1), text[:1])
    assert "transformer" in backbone.parts._loaded


def test_prompts_and_latents_are_computed_once_and_sampling_needs_no_text_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = small_backbone(tmp_path)
    text, latents = first.encode_text(["a ball"]), first.encode(moving_clip())
    again = small_backbone(tmp_path)
    loaded = []
    own = again._load
    monkeypatch.setattr(again.parts, "_loaders", {p: lambda p=p: loaded.append(p) or own(p) for p in again.parts})
    again.vae.encode = None  # would fail if it were asked
    assert torch.equal(again.encode_text(["a ball"]), text)
    assert torch.equal(again.encode(moving_clip()), latents)
    again.sample(text, seed=0, steps=1)  # guidance embeds the negative prompt, which came along with the first
    assert loaded == ["transformer"]


def test_cached_embeddings_are_not_those_of_another_number_type(tmp_path: Path) -> None:
    text = small_backbone(tmp_path).encode_text(["a ball"])
    rounded = small_backbone(tmp_path, "bfloat16").encode_text(["a ball"])
    assert (text.dtype, rounded.dtype) == (torch.float32, torch.bfloat16)


def test_modules_that_must_stay_float32_do_in_bfloat16(tmp_path: Path) -> None:
    backbone = small_backbone(tmp_path, "bfloat16")
    kinds = {name: p.dtype for name, p in backbone.transformer.named_parameters()}
    kept = [name for name in kinds if any(part in name for part in ("time_embedder", "scale_shift_table", "norm2"))]
    assert kept
    assert {kinds[name] for name in kept} == {torch.float32}
    assert kinds["blocks.0.attn1.to_q.weight"] == kinds["blocks.0.ffn.net.2.weight"] == torch.bfloat16
    assert {p.dtype for p in backbone.vae.parameters()} == {torch.float32}
    velocity = backbone.velocity(
        torch.randn(1, *backbone.latent_shape()), torch.ones(1), backbone.encode_text(["a ball"])
    )
    assert velocity.dtype == torch.float32
    assert torch.isfinite(velocity).all()


def test_outside_of_training_a_velocity_of_frozen_weights_keeps_nothing_for_a_gradient(tmp_path: Path) -> None:
    backbone = small_backbone(tmp_path)
    x, text = torch.randn(1, *backbone.latent_shape()), backbone.encode_text(["a ball"])
    assert not backbone.velocity(x, torch.ones(1), text).requires_grad
    with backbone.training(text, tuple(x.shape), save_memory=False):
        assert backbone.velocity(x, torch.ones(1), text).requires_grad
    assert not backbone.velocity(x, torch.ones(1), text).requires_grad


def test_only_clips_beyond_the_given_size_are_tiled(tmp_path: Path) -> None:
    vae = small_backbone(tmp_path).vae
    pixels = torch.rand(1, 3, 5, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        vae.use_tiling = False
        plain = [vae.encode(x).latent_dist.mode() for x in (pixels[..., :64], pixels)]
        tile_beyond(vae, 64, 64)
        tiled = [vae.encode(x).latent_dist.mode() for x in (pixels[..., :64], pixels)]
    assert torch.equal(plain[0], tiled[0])
    assert plain[1].shape == tiled[1].shape
    assert not torch.equal(plain[1], tiled[1])


def run_command(*words: str) -> int:
    """The exit code of a command."""
    try:
        cli.app(list(words), prog_name="motionbench")
    except SystemExit as done:
        return int(done.code or 0)
    return 0


SETTINGS = ("spatial_steps=2", "temporal_steps=2", "sparse_frames=9", "rank=2", "head_times=0.5")


def test_the_main_job_runs_on_random_weights_to_records_and_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(small_folder().parent))
    monkeypatch.setenv("MOTIONBENCH_CACHE", str(tmp_path / "cache"))
    words = ["eval", "--method", "followyourmotion", "--backbone", WAN_1_3B.name, "--category", "camera"]
    words += [
        "--level",
        "scene",
        "--metrics",
        "temporal_consistency",
        "--out",
        str(tmp_path / "out"),
        "--device",
        "cpu",
    ]
    assert run_command(*words, *(word for pair in SETTINGS for word in ("--set", pair))) == 0
    store = ResultStore(tmp_path / "out")
    (record,) = store.records()
    assert (record.status, record.backbone) == ("ok", WAN_1_3B.name)
    clip = read_clip(store.folder / record.video)
    assert clip.frames.shape == (17, 64, 64, 3)
    assert np.ptp(clip.frames) > 0
    configuration = json.loads((store.folder / "run.json").read_text())["configuration"]
    assert configuration["backbone_revision"].startswith("random-0-small-")


def test_the_doctor_makes_random_weights_that_the_backbone_takes(tmp_path: Path, capsys, monkeypatch) -> None:
    assert run_command("doctor", "--make-random", WAN_1_3B.name, str(tmp_path), "--scale", "small") == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / WAN_1_3B.name)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    assert wan_1_3b.revision().startswith("random-0-small-")


def test_the_doctor_overwrites_nothing_and_makes_no_random_tiny(tmp_path: Path, capsys) -> None:
    assert run_command("doctor", "--make-random", "tiny", str(tmp_path)) == 2
    assert "tiny has no random weights" in capsys.readouterr().err
    (tmp_path / "wan2.1-14b").mkdir()
    (tmp_path / "wan2.1-14b" / "mine.txt").write_text("x")
    assert run_command("doctor", "--make-random", "wan2.1-14b", str(tmp_path)) == 2
    assert "give another DIR" in capsys.readouterr().err
