"""Training of `tiny`: one step of each kind, going on from a saved run, the rate, and the batches it is fed with."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from motionbench.methods.backbones.backbone import Backbone
from motionbench.methods.backbones.catalog import WEIGHTS, folder_revision
from safetensors.torch import load_file, save_file

from motionbench.errors import ShapeError
from training.tiny_backbone import parts
from training.tiny_backbone.card import draw_loss, gather, render_card
from training.tiny_backbone.clips import HELD_BATCHES, Source, Studio, reused
from training.tiny_backbone.train import Plan, Trainer, rate_factor, save, stills

FRAMES, LENGTH = 3, parts.SPEC.text_tokens


def small_transformer() -> Any:
    from diffusers import WanTransformer3DModel

    config = dict(parts.transformer().config) | {"num_layers": 1, "ffn_dim": 64}
    return WanTransformer3DModel.from_config(config)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    made = small_transformer()
    monkeypatch.setattr(parts, "transformer", lambda: type(made).from_config(made.config))
    precision = torch.get_float32_matmul_precision()
    yield Plan(tmp_path / "out", WEIGHTS / "tiny" / "vae", batch=2, compile=False, still_every=2)
    torch.set_float32_matmul_precision(precision)  # the trainer sets it for the whole process


def train_on(trainer: Trainer, seed: int) -> float:
    loss = trainer.loss(random_batch(seed), trainer.run.step)
    trainer.run.update(loss)
    return float(loss.detach())


def random_batch(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 60, (2, LENGTH), generator=g)
    return torch.randn(2, 8, FRAMES, 16, 16, generator=g), ids, torch.ones(2, LENGTH, dtype=torch.long)


def test_steps_on_clips_and_on_stills_change_all_weights_and_their_average(plan: Plan) -> None:
    trainer = Trainer(plan, "cpu", 0, 1)
    before = [p.detach().clone() for p in trainer.model.parameters()]
    names = [n for n, _ in trainer.model.named_parameters()]
    losses = [train_on(trainer, step) for step in range(4)]  # two of them on stills
    assert trainer.run.step == 4
    assert all(
        0.5 < loss < 6 for loss in losses
    )  # noise against unit Gaussian latents: about 2 before anything is learned
    now = trainer.model.parameters(), trainer.run.average.parameters()
    for name, old, new, mean in zip(names, before, *now, strict=True):
        assert torch.isfinite(new).all(), name
        assert not torch.equal(old, new), name
        assert not torch.equal(old, mean), name
        assert not torch.equal(new, mean), name
        assert (mean - old).norm() < (new - old).norm() * 1.5, name


def test_a_step_is_the_same_for_the_same_seed(plan: Plan) -> None:
    first, second = Trainer(plan, "cpu", 0, 1), Trainer(plan, "cpu", 0, 1)
    assert train_on(first, 0) == train_on(second, 0)
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_saved_run_goes_on_with_its_weights_and_history(plan: Plan) -> None:
    trainer = Trainer(plan, "cpu", 0, 1)
    losses = [train_on(trainer, step) for step in range(2)]
    trainer.run.losses.append((2, losses[1]))
    kept = [p.detach().clone() for p in trainer.model.parameters()]
    save(plan.out, trainer.model, trainer.run.average, trainer.tokenizer, trainer.facts())
    assert all(torch.equal(a, b) for a, b in zip(kept, trainer.model.parameters(), strict=True)), (
        "saving must not change"
    )

    resumed = Trainer(replace(plan, start=plan.out, seed=1), "cpu", 0, 1)
    assert all(
        torch.equal(a.half().float(), b) for a, b in zip(kept, resumed.model.parameters(), strict=True)
    )  # raw weights are kept in float16
    assert resumed.history == [{"clips": 4.0, "loss": pytest.approx(losses[1])}]
    resumed.run.losses.append((1, train_on(resumed, 9)))
    assert [point["clips"] for point in resumed.history] == [4.0, 6.0]
    assert json.loads((plan.out / "training.json").read_text())["steps"] == 2


def test_without_raw_weights_training_goes_on_from_the_averaged_ones(plan: Plan) -> None:
    trainer = Trainer(plan, "cpu", 0, 1)
    train_on(trainer, 0)
    save(plan.out, trainer.model, trainer.run.average, trainer.tokenizer, trainer.facts())
    (plan.out / "raw.safetensors").unlink()
    resumed = Trainer(replace(plan, start=plan.out, seed=1), "cpu", 0, 1)
    pairs = zip(trainer.run.average.parameters(), resumed.model.parameters(), strict=True)
    assert all(torch.equal(a.half().float(), b) for a, b in pairs)


def test_weights_of_another_model_are_refused(plan: Plan) -> None:
    plan.out.mkdir()
    save_file({"transformer.unheard_of": torch.zeros(1)}, plan.out / "raw.safetensors")
    with pytest.raises(ShapeError, match="weights of another model"):
        Trainer(replace(plan, start=plan.out), "cpu", 0, 1)


def test_what_is_saved_are_the_averaged_weights_in_a_folder_that_loads(plan: Plan) -> None:
    trainer = Trainer(plan, "cpu", 0, 1)
    train_on(trainer, 0)
    save(plan.out, trainer.model, trainer.run.average, trainer.tokenizer, trainer.facts())
    stored = load_file(plan.out / "transformer" / "diffusion_pytorch_model.safetensors")
    averaged = dict(trainer.run.average.named_parameters())
    for name, value in stored.items():
        assert torch.equal(value, averaged[f"transformer.{name}"].half()), name
    (plan.out / "vae").symlink_to(plan.vae)
    backbone = Backbone.load("made", plan.out, parts.SPEC, device="cpu", dtype="float32")
    latents = backbone.sample(backbone.encode_text(["a red ball moving left in the snow"]), seed=0, steps=1, frames=5)
    assert latents.shape == (1, 8, 5, 16, 16)
    assert torch.isfinite(latents).all()


def test_stills_are_frames_of_their_own_clip_with_its_caption() -> None:
    latents, ids, mask = random_batch(3)
    z, i, m = stills(latents, ids, mask, torch.Generator().manual_seed(0))
    assert z.shape == (8, 8, 1, 16, 16)
    for row in range(8):
        own = latents[row // 4]
        assert any(torch.equal(z[row, :, 0], own[:, f]) for f in range(FRAMES))
        assert torch.equal(i[row], ids[row // 4])
        assert torch.equal(m[row], mask[row // 4])


def test_the_rate_warms_up_holds_and_falls_to_zero() -> None:
    plan = Plan(Path(), Path(), minutes=10, decay_minutes=2)
    assert rate_factor(0, 0.0, plan) == pytest.approx(1 / 150)
    assert rate_factor(74, 0.01, plan) == pytest.approx(0.5)
    assert rate_factor(149, 0.02, plan) == 1
    assert rate_factor(3000, 0.8, plan) == pytest.approx(1)
    assert rate_factor(3000, 0.9, plan) == pytest.approx(0.5)
    assert rate_factor(3000, 1.0, plan) == 0
    assert rate_factor(3000, 1.05, plan) == 0, "a late step must not climb"
    assert rate_factor(3000, 0.99, replace(plan, decay_minutes=0)) == 1


def test_a_studio_makes_normalized_latents_and_tokens_from_the_shipped_vae() -> None:
    source = Source(WEIGHTS / "tiny" / "vae", batch=3, caption_dropout=0.5, device="cpu")
    studio = Studio(source)
    latents, ids, mask = studio.batch(123)
    spec = parts.SPEC
    assert latents.shape == (3, 8, spec.frames, 16, 16)
    assert latents.dtype == torch.float16
    assert ids.shape == mask.shape == (3, spec.text_tokens)
    assert abs(float(latents.float().mean())) < 0.5
    assert 0.5 < float(latents.float().std()) < 1.5  # the VAE's own mean and deviation make it about 1
    captions = studio.world.sample(3, seed=123, device="cpu").captions
    for caption, row, seen in zip(captions, ids, mask, strict=True):
        written = studio.tokenizer.decode(row[seen.bool()], skip_special_tokens=True)
        assert written in (caption, ""), "a dropped caption is empty"
    again = studio.batch(123)
    assert all(torch.equal(a, b) for a, b in zip((latents, ids, mask), again, strict=True))


def test_a_studio_drops_about_the_share_of_captions_that_it_should() -> None:
    studio = Studio(Source(WEIGHTS / "tiny" / "vae", batch=1, caption_dropout=0.1, device="cpu"))
    _, mask = studio._tokens(["a red ball in the snow"] * 2000, seed=7)
    empty = int((mask.sum(1) == 1).sum())  # only </s> is left
    assert 140 < empty < 260  # 200 expected, deviation 13.4


def test_batches_are_given_again_as_often_as_asked() -> None:
    seen = list(reused(range(40), 3, random.Random(0)))
    assert seen[::3] == list(range(40)), "a new one as soon as it is there"
    assert len(seen) == 120
    for place, number in enumerate(seen):
        assert place // 3 - HELD_BATCHES < number <= place // 3
    assert len(set(seen[60:63] + seen[90:93])) > 2, "not the same one three times over"
    assert list(reused(range(5), 1, random.Random(0))) == list(range(5))


def test_a_studio_draws_the_categories_it_was_asked_for() -> None:
    shares = {"camera": 1.0, "human": 0.0, "single_object": 0.0, "multi_object": 0.0}
    studio = Studio(Source(WEIGHTS / "tiny" / "vae", batch=2, caption_dropout=0.0, device="cpu", shares=shares))
    _, ids, mask = studio.batch(5)
    drawn = studio.world.sample(2, seed=5, device="cpu", shares=shares)
    assert {labels["category"] for labels in drawn.labels} == {"camera"}
    words = [
        studio.tokenizer.decode(row[seen.bool()], skip_special_tokens=True) for row, seen in zip(ids, mask, strict=True)
    ]
    assert words == drawn.captions


def small_exam() -> dict[str, Any]:
    def cell(right: float) -> dict[str, Any]:
        return {"n": 20, "share": right, "low": right - 0.1, "high": min(1.0, right + 0.1)}

    side = {
        "clips": 20,
        "content": {
            "all": {"scene": cell(1.0), "color": cell(0.95), "shape": cell(0.6)},
            "subjects": {"star": cell(0.4)},
        },
        "motion": {
            "tiny": {
                "directions": {"clips": cell(0.9), "kinds": {"object left": cell(0.9)}},
                "open": {
                    "silent": {**cell(1.0), "mean_cosine": 0.04},
                    "moving": {"n": 0, "share": None, "low": None, "high": None, "mean_cosine": None},
                },
            }
        },
    }  # fmt: skip
    about = {"prompts": 20, "seed": 1, "guidance": 4.0, "steps": 20}
    return {**about, "probe": {"decoded_clips": 1, "blurred_clips": 2, "steps": 3}, "generated": side, "rendered": side}


def test_the_card_says_what_was_missed_and_by_how_much(plan: Plan, tmp_path: Path) -> None:
    facts = {"gpus": 2, "batch": 4, "minutes": 5.0, "muon": True, "rate": 1e-3, "muon_rate": 2e-3}
    history = [{"clips": 4 * i, "loss": 2 / i, "minutes": i / 100} for i in range(1, 201)]
    for name, steps in (("one", 100), ("two", 100)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"history": history, "steps": steps, **facts}))
    (tmp_path / "vae.json").write_text(json.dumps({"psnr_db": 29.853, "steps": 7, "batch": 8, "minutes": 1.6}))
    training = gather([tmp_path / "one.json", tmp_path / "two.json"], tmp_path / "vae.json", {"device": "GPU"})
    assert len(training["history"]) <= 41
    assert training["history"][-1] == {"clips": 800, "loss": 0.01}
    assert [run["clips"] for run in training["runs"]] == [400, 400]
    card = render_card(training, small_exam(), {"transformer": 4_500_000})
    assert "- shape: 60.0% (50–70, n = 20), target 85%: **missed by 25.0 points**" in card
    assert "- direction: 90.0% (80–100, n = 20), target 85%: reached" in card
    assert "800 clips in all" in card
    assert "29.85 dB" in card
    assert "+0.04" in card
    assert "have not taken the exam" in render_card(training, None, {})
    ElementTree.fromstring(draw_loss(training["history"]))


def test_reports_beside_the_weights_do_not_make_another_backbone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = folder_revision(tmp_path)
    (tmp_path / "exam.json").write_text("{}")
    (tmp_path / "training.json").write_text("{}")
    assert folder_revision(tmp_path) == before
    (tmp_path / "config.json").write_text("[]")
    assert folder_revision(tmp_path) != before
