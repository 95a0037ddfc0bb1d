"""Follow-Your-Motion as a method: sampling, losses, stages, adapters, export."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from motionbench.methods.backbones.draws import Draw
from motionbench.methods.followyourmotion.config import PRESETS, Config
from motionbench.methods.followyourmotion.export import ordinary_lora
from motionbench.methods.followyourmotion.leak import measure_leak
from motionbench.methods.followyourmotion.losses import denoise_loss, motion_loss
from motionbench.methods.followyourmotion.method import FollowYourMotion
from motionbench.methods.followyourmotion.sampling import choose_frames, excerpts
from motionbench.methods.followyourmotion.stages import Schedule, times, train
from split_attention import split_loras
from stand_in import StandIn, moving_square, random_transformer

from motionbench.clip import Clip
from motionbench.config import build_config, suited_config
from motionbench.errors import ConfigError, NotFiniteError, ShapeError, StoreError
from motionbench.method import Method, Runtime

SMALL = {
    **PRESETS["tiny"],
    "rank": 2,
    "spatial_steps": 3,
    "temporal_steps": 4,
    "spatial_batch": 2,
    "sparse_frames": 5,
    "frame_choice": "uniform",
    "head_times": (0.5,),
    "head_alpha": 0.8,  # parts the heads of the random stand-in for every seed: ratios near 1 and 0.06 to 0.66
    "warmup_steps": 1,
}


def method(backbone=None, **changes):
    return FollowYourMotion(Config(**(SMALL | changes)), Runtime(), backbone or StandIn())


@pytest.fixture(scope="module")
def fitted():
    made = method()
    return made, made.fit(moving_square(), "a ball moving right", seed=3)


def weights_of(adapter):
    return {f"{b}.{k}": v for b, w in adapter.loras.items() for k, v in w.items()}


def test_it_is_a_method_and_its_presets_name_real_fields(fitted):
    assert isinstance(fitted[0], Method)
    for preset in PRESETS.values():
        Config(**preset)
    assert suited_config(FollowYourMotion, "tiny", None).rank == PRESETS["tiny"]["rank"]
    assert suited_config(FollowYourMotion, "wan2.1-1.3b", None) == Config()
    assert build_config(FollowYourMotion, backbone="tiny").sparse_frames == 9
    paper = build_config(FollowYourMotion, backbone="wan2.1-1.3b", settings=["head_times=0.5,0.9", "guidance=4"])
    assert (paper.rank, paper.spatial_steps, paper.temporal_steps, paper.sparse_frames) == (128, 3000, 2000, 17)
    assert (paper.head_times, paper.guidance) == ((0.5, 0.9), 4.0)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"sparse_frames": 8}, {"head_times": ()}, {"spatial_lr": 0.0}])
def test_a_setting_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Config(**wrong)


def test_uniform_frames_of_the_paper_are_every_fifth():
    g = torch.Generator()
    assert choose_frames(81, 17, "uniform", g) == list(range(0, 81, 5))
    assert choose_frames(17, 9, "uniform", g) == list(range(0, 17, 2))


@pytest.mark.parametrize("choice", ["offset", "stratified"])
def test_random_frames_rise_within_the_clip_and_follow_the_generator(choice):
    draws = [choose_frames(17, 9, choice, torch.Generator().manual_seed(s)) for s in range(40)]
    for kept in draws:
        assert len(kept) == 9
        assert all(a < b for a, b in pairwise(kept))
        assert min(kept) >= 0
        assert max(kept) <= 16
    assert len(set(map(tuple, draws))) > 1
    assert draws[5] == choose_frames(17, 9, choice, torch.Generator().manual_seed(5))


def test_more_frames_than_the_clip_has_are_refused():
    with pytest.raises(ShapeError, match="5 of 3"):
        choose_frames(3, 5, "uniform", torch.Generator())


def test_excerpts_hold_the_chosen_frames_and_their_places():
    backbone, clip, g = StandIn(), moving_square(), torch.Generator().manual_seed(0)
    full = backbone.encode(clip)
    (sparse,) = excerpts(backbone, clip, Config(**(SMALL | {"rope_positions": "paper"})), g)
    assert torch.equal(sparse.latents, full[:, :, ::2])
    assert sparse.positions == pytest.approx([0, 1.8, 3.6, 5.4, 7.2])
    (true,) = excerpts(backbone, clip, Config(**(SMALL | {"rope_positions": "true_indices"})), g)
    assert true.positions == (0, 2, 4, 6, 8)
    (plain,) = excerpts(backbone, clip, Config(**(SMALL | {"adaptive_rope": False})), g)
    assert plain.positions == (0, 1, 2, 3, 4)
    (dense,) = excerpts(backbone, clip, Config(**(SMALL | {"sparse": False})), g)
    assert torch.equal(dense.latents, full)
    assert dense.positions == tuple(range(9))
    many = excerpts(backbone, clip, Config(**(SMALL | {"frame_choice": "stratified", "frame_draws": 4})), g)
    assert len(many) == 4
    backbone.frames_apart = True  # as they are: then they are cut out of the whole clip's latents
    g, generator = (torch.Generator().manual_seed(7) for _ in range(2))
    stratified = Config(**(SMALL | {"frame_choice": "stratified", "frame_draws": 4}))
    cut = excerpts(backbone, clip, stratified, g)
    backbone.frames_apart = False
    for own, other in zip(cut, excerpts(backbone, clip, stratified, generator), strict=True):
        assert own.positions == other.positions
        assert torch.equal(own.latents, other.latents)


def test_motion_loss_is_zero_for_the_truth_two_for_its_reversal_and_deaf_to_a_constant():
    g = torch.Generator().manual_seed(0)
    v, still = torch.randn(2, 3, 4, 5, 6, generator=g), torch.randn(2, 3, 1, 5, 6, generator=g)
    for axis in ("frame", "channel"):
        assert float(motion_loss(v, v, axis)) == pytest.approx(0, abs=1e-5)
        assert float(motion_loss(-v, v, axis)) == pytest.approx(2, abs=1e-5)
        assert float(motion_loss(3 * v + still, v, axis)) == pytest.approx(0, abs=1e-5)
    assert float(motion_loss(-v, v, "time")) == pytest.approx(0, abs=1e-5)  # the fault of absolute differences
    assert float(motion_loss(v[:, :, :1], v[:, :, :1])) == 0


def test_motion_loss_equals_plain_loops():
    g = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 2, 3, 4, 2, 2, generator=g).double().numpy()
    frame, channel = [], []
    for n in range(2):
        for i in range(1, 4):
            da, db = a[n, :, i] - a[n, :, i - 1], b[n, :, i] - b[n, :, i - 1]
            frame.append(1 - (da * db).sum() / np.sqrt((da**2).sum() * (db**2).sum()))
            for y in range(2):
                for x in range(2):
                    p, q = da[:, y, x], db[:, y, x]
                    channel.append(1 - p @ q / np.sqrt((p @ p) * (q @ q)))
    tensors = torch.from_numpy(a), torch.from_numpy(b)
    assert float(motion_loss(*tensors, "frame")) == pytest.approx(np.mean(frame), abs=1e-9)
    assert float(motion_loss(*tensors, "channel")) == pytest.approx(np.mean(channel), abs=1e-9)
    assert float(denoise_loss(*tensors)) == pytest.approx(((a - b) ** 2).mean(), abs=1e-9)


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = Schedule("spatial", 10, 1.0, 0.0, 4, "cosine", 1.0)
    rates = [schedule.rate(i) for i in range(11)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[7] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(0, abs=1e-6)
    assert dataclasses.replace(schedule, lr_schedule="constant").rate(9) == 1.0


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_stage():
    parameter = torch.nn.Parameter(torch.ones(2))
    schedule = Schedule("temporal", 3, 1e-3, 0.0, 0, "constant", 1.0)
    with pytest.raises(NotFiniteError, match="temporal_lr"):
        train(
            StandIn(), [parameter], lambda: Draw(()), lambda _: (parameter * math.nan).sum(), schedule, lambda *_: None
        )


def test_fit_trains_each_branch_and_leaves_the_backbone_as_it_was(fitted):
    made, adapter = fitted
    assert set(adapter.loras) == {"spatial", "temporal"}
    for name, value in weights_of(adapter).items():
        assert torch.isfinite(value).all()
        if "lora_B" in name:
            assert value.abs().max() > 0, name
    fresh = random_transformer()
    for (name, found), (_, expected) in zip(
        made.backbone.transformer.state_dict().items(), fresh.state_dict().items(), strict=True
    ):
        assert torch.equal(found, expected), name
    assert not any(p.requires_grad for p in made.backbone.transformer.parameters())


def test_training_lowers_the_loss_on_a_fixed_batch():
    made = method(temporal_steps=60, spatial_steps=40, rank=8, spatial_lr=1e-2, temporal_lr=1e-2)
    clip, caption = moving_square(), "a ball moving right"
    adapter = made.fit(clip, caption, seed=0)
    latents, text = made.backbone.encode(clip), made.backbone.encode_text([caption])
    noise = torch.randn(8, *latents.shape[1:], generator=torch.Generator().manual_seed(9))
    t = torch.full((8,), 0.6)

    def loss():
        with torch.no_grad():
            predicted = made.backbone.velocity(0.4 * latents + 0.6 * noise, t, text.expand(8, -1, -1))
        return float(denoise_loss(predicted, noise - latents))

    before = loss()
    with made.tuned(adapter):
        after = loss()
    assert after < 0.9 * before


def test_the_same_seed_gives_the_same_bytes_whatever_the_global_generator_says(fitted):
    made, adapter = fitted
    torch.manual_seed(12345)
    again = method().fit(moving_square(), "a ball moving right", seed=3)
    for name, value in weights_of(adapter).items():
        assert torch.equal(value, weights_of(again)[name]), name
    one, two = (made.generate(a, "a red star", seed=1) for a in (adapter, again))
    assert np.array_equal(one.frames, two.frames)
    assert len(one) == 9
    other = method().fit(moving_square(), "a ball moving right", seed=4)
    assert any(not torch.equal(v, weights_of(other)[k]) for k, v in weights_of(adapter).items())


def test_generation_differs_from_the_untuned_backbone_and_between_branches(fitted):
    made, adapter = fitted
    text, noise = made.backbone.encode_text(["x"]), torch.randn(1, 4, 9, 4, 4)
    t = torch.tensor([0.7])
    outs = []
    with torch.no_grad():
        outs.append(made.backbone.velocity(noise, t, text))
        for branches in ("both", "temporal"):
            with method(made.backbone, branches_at_inference=branches).tuned(adapter):
                outs.append(made.backbone.velocity(noise, t, text))
    assert not torch.allclose(outs[0], outs[1], atol=1e-5)
    assert not torch.allclose(outs[1], outs[2], atol=1e-5)
    assert not torch.allclose(outs[0], outs[2], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"decouple": False},
        {"sparse": False},
        {"adaptive_rope": False},
        {"motion_loss": False},
        {"isolate_norm": True},
        {"head_alpha": 1e-9},  # all heads spatial
        {"head_alpha": 1e9},  # all heads temporal
        {"head_rule": "released"},
        {"head_rule": "inverted"},
        {"head_rule": "random"},
        {"gradient_checkpointing": True},
        {"time_density": "uniform", "temporal_batch": 2, "temporal_shift": 1.0},
        {"frame_choice": "offset", "rope_positions": "true_indices", "motion_axis": "channel"},
    ],
    ids=lambda c: ",".join(f"{k}={v}" for k, v in c.items()),
)
def test_every_switch_runs_end_to_end(changes):
    made = method(**changes)
    adapter = made.fit(moving_square(), "a ball", seed=0)
    clip = made.generate(adapter, "a star", seed=0)
    assert clip.frames.shape == (9, 8, 8, 3)
    if changes.get("decouple") is False:
        assert adapter.scores is None
        assert set(adapter.loras) == {"temporal"}
    if "head_alpha" in changes:
        assert set(adapter.loras) == {"temporal" if changes["head_alpha"] > 1 else "spatial"}
    assert not made.backbone.transformer.gradient_checkpointing


def test_branches_can_be_switched_off_after_a_share_of_the_steps(fitted):
    made, adapter = fitted
    loud = dataclasses.replace(adapter, loras=loud_loras(made, adapter.temporal))

    def frames(share):
        return method(made.backbone, active_share=share, sample_steps=4).generate(loud, "a star", seed=1).frames

    assert not np.array_equal(frames(1.0), frames(0.5))
    assert np.array_equal(frames(0.3), frames(0.5))  # of four steps, two either way


def test_times_of_the_temporal_stage_can_be_kept_in_noise():
    made = method(temporal_time_min=0.6)
    for stage, lowest in (("spatial", 0.0), ("temporal", 0.6)):
        t = times(made.config, made.backbone, stage, 2000, torch.Generator().manual_seed(0))
        assert lowest < float(t.min()) < lowest + 0.2
        assert 0.9 < float(t.max()) < 1


def test_loras_are_float32_on_a_bfloat16_model(tmp_path):
    backbone = StandIn()
    backbone.dtype = torch.bfloat16
    backbone.transformer.save_pretrained(tmp_path)
    backbone.transformer = type(backbone.transformer).from_pretrained(tmp_path, torch_dtype=torch.bfloat16).eval()
    made = method(backbone)
    adapter = made.fit(moving_square(), "a ball", seed=0)
    assert {v.dtype for v in weights_of(adapter).values()} == {torch.float32}
    moved = [v.abs().max() for k, v in weights_of(adapter).items() if "lora_B" in k]
    assert min(moved) > 0
    made.generate(adapter, "a star", seed=0)


@pytest.mark.parametrize("isolated", [False, True])
def test_the_leak_of_an_adapter_is_measured_per_branch(fitted, isolated):
    made, adapter = fitted
    config = dataclasses.replace(adapter.config, isolate_norm=isolated)
    loud = dataclasses.replace(adapter, config=config, loras=loud_loras(made, adapter.temporal))
    leaks = measure_leak(
        made.backbone, loud, made.backbone.encode(moving_square()), made.backbone.encode_text(["a ball"])
    )
    assert set(leaks) == {"spatial", "temporal"}
    assert all(value == 0 if isolated else 0.001 < value < 1 for value in leaks.values())


def test_progress_is_reported_by_stage():
    heard = []
    made = FollowYourMotion(Config(**SMALL), Runtime(report=lambda *a: heard.append(a)), StandIn())
    made.generate(made.fit(moving_square(), "a ball", seed=0), "a star", seed=0)
    assert ("heads", 1, 1) in heard
    assert ("spatial", 3, 3) in heard
    assert ("temporal", 4, 4) in heard


def test_an_adapter_comes_back_from_disk_as_it_was(fitted, tmp_path):
    made, adapter = fitted
    adapter.save(tmp_path / "a")
    adapter.save(tmp_path / "a")  # writing again over an adapter is fine
    loaded = made.load_adapter(tmp_path / "a")
    assert loaded.config == adapter.config
    assert np.array_equal(loaded.temporal, adapter.temporal)
    assert loaded.scores is not None
    assert np.array_equal(loaded.scores.spatial, adapter.scores.spatial)
    for name, value in weights_of(adapter).items():
        assert torch.equal(value, weights_of(loaded)[name])
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert names == [
        "a/adapter.json",
        "a/spatial/adapter_config.json",
        "a/spatial/adapter_model.safetensors",
        "a/temporal/adapter_config.json",
        "a/temporal/adapter_model.safetensors",
    ]
    peft = json.loads((tmp_path / "a/temporal/adapter_config.json").read_text())
    assert (peft["peft_type"], peft["r"], peft["lora_alpha"]) == ("LORA", 2, 2)


def test_bad_folders_are_typed_errors(fitted, tmp_path):
    made, adapter = fitted
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot create"):
        made.export(adapter, tmp_path / "file" / "lora.safetensors")
    with pytest.raises(StoreError, match="cannot write"):
        adapter.save(tmp_path / "file" / "a")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(StoreError, match="holds no adapter"):
        adapter.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    with pytest.raises(StoreError, match="cannot read"):
        made.load_adapter(tmp_path / "absent")
    adapter.save(tmp_path / "cut")
    weights = tmp_path / "cut" / "spatial" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(StoreError, match="cannot read"):
        made.load_adapter(tmp_path / "cut")
    adapter.save(tmp_path / "edited")
    facts = json.loads((tmp_path / "edited" / "adapter.json").read_text())
    for key, value in (("temporal", "all"), ("branches", ["temporal", "third"]), ("scores", {"spatial": [0.5]})):
        (tmp_path / "edited" / "adapter.json").write_text(json.dumps(facts | {key: value}))
        with pytest.raises(StoreError, match=rf"cannot read.*{key}"):
            made.load_adapter(tmp_path / "edited")
    other = dataclasses.replace(adapter, backbone="wan2.1-1.3b")
    with pytest.raises(ConfigError, match="cannot run on stand_in"):
        made.generate(other, "x", seed=0)


@pytest.mark.parametrize("branches", ["both", "temporal"])
def test_the_exported_file_gives_the_same_velocity_in_a_plain_wan_pipeline(fitted, tmp_path, branches):
    from diffusers import UniPCMultistepScheduler, WanPipeline

    _, adapter = fitted
    # Training for a few steps leaves B tiny; make both branches loud, and one layer of one kind only.
    temporal = np.array([[True, False, False, True], [True, True, True, True]])
    made = method(branches_at_inference=branches, lora_scale=0.5)
    loud = dataclasses.replace(adapter, config=made.config, temporal=temporal, loras=loud_loras(made, temporal))
    x = torch.randn(1, 4, 9, 4, 4, generator=torch.Generator().manual_seed(2))
    t, text = torch.tensor([0.4]), made.backbone.encode_text(["a ball"])
    with torch.no_grad():
        untouched = made.backbone.velocity(x, t, text)
        with made.tuned(loud):
            expected = made.backbone.velocity(x, t, text)
    made.export(loud, tmp_path / "lora.safetensors")
    pipeline = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=None,
        scheduler=UniPCMultistepScheduler(),
        transformer=random_transformer(),
    )
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    with torch.no_grad():
        found = pipeline.transformer(x, t * 1000, text, return_dict=False)[0]
    assert (expected - untouched).abs().max() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def loud_loras(made, temporal):
    weights, g = {}, torch.Generator().manual_seed(0)
    with split_loras(made.backbone.transformer, temporal) as loras:
        for branch in ("spatial", "temporal"):
            for parameter in loras.add_lora(branch, rank=2, scale=1.0, generator=g):
                with torch.no_grad():
                    parameter += 0.2 * torch.randn(parameter.shape, generator=g)
            weights[branch] = loras.weights(branch)
    return weights


def test_what_no_lora_file_can_hold_is_refused(fitted):
    _, adapter = fitted
    isolated = dataclasses.replace(adapter, config=dataclasses.replace(adapter.config, isolate_norm=True))
    with pytest.raises(ConfigError, match="isolate_norm"):
        ordinary_lora(isolated, width=12)
    with pytest.raises(ConfigError, match="nothing to export"):
        ordinary_lora(dataclasses.replace(adapter, loras={}), width=12)


def test_a_still_reference_of_one_frame_fits():
    made = method()
    still = Clip(moving_square().frames[:1], 8.0)
    assert made.fit(still, "a ball", seed=0).scores is not None


def test_a_methods_class_is_loaded_without_the_libraries_that_only_its_work_needs() -> None:
    """A run's first process reads settings from it before any worker starts; PEFT and transformers take seconds."""
    code = (
        "import sys\n"
        "from motionbench import registry\n"
        "for name in registry.names('methods'):\n"
        "    registry.load('methods', name)\n"
        "print(sorted({'peft', 'transformers', 'diffusers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
