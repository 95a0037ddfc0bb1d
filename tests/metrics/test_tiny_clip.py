"""tiny-clip: tokens, content of captions, soft targets, training, loading through open_clip, zero-shot labels."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from motionbench.metrics.tiny_clip.content import ContentWords, describe
from motionbench.metrics.tiny_clip.model import FOLDER, TinyClip, build, model_config, save_clip
from motionbench.metrics.tiny_clip.tokenizer import PAD, START, UNKNOWN, WordTokenizer
from tiny_fakes import DiscWorld

from motionbench.errors import MissingWeightsError
from training.augment import blur_decoder
from training.run import add_arguments, step_generator
from training.tiny_clip import evaluate, train
from training.tiny_clip.card import render_card

WORDS = ContentWords(("city", "desert"), ("blue", "orange", "red"), ("ball", "person", "star"))
TOKENIZER = WordTokenizer(
    ("a", "an", "and", "ball", "blue", "desert", "in", "left", "moving", "red", "star", "the"), 10
)


def key(text: str):
    return WORDS.key(text.split())


def test_tokens_are_start_words_end_padding():
    row, number = TOKENIZER("A RED ball, zebra!")[0].tolist(), TOKENIZER.numbers
    assert row == [START, number["a"], number["red"], number["ball"], UNKNOWN, TOKENIZER.end] + [PAD] * 4
    assert TOKENIZER.vocab_size == max(row) + 1  # open_clip reads the text out at the largest number
    assert TOKENIZER.unknown_words("a zebra moving") == ["zebra"]


def test_long_texts_are_cut_and_said_to_be():
    text = "a red ball and a blue star and a red star"
    assert TOKENIZER.count_tokens(text) == 13
    assert TOKENIZER.truncated(text)
    assert not TOKENIZER.truncated("a red ball")
    row = TOKENIZER([text])[0].tolist()
    assert len(row) == 10
    assert row[-1] == TOKENIZER.end


def test_vocabulary_survives_saving(tmp_path):
    TOKENIZER.save(tmp_path / "v.json")
    again = WordTokenizer.from_file(tmp_path / "v.json")
    assert (again.words, again.context_length) == (TOKENIZER.words, 10)
    with pytest.raises(MissingWeightsError, match=r"none\.json"):
        WordTokenizer.from_file(tmp_path / "none.json")


def test_content_ignores_motion_and_order_but_not_binding():
    assert key("a red ball moving left in the desert") == key("the desert with a red ball")
    assert key("a red ball and a blue star in the city") == key("a blue star and a red ball in the city")
    assert key("a red ball and a blue star in the city") != key("a blue ball and a red star in the city")
    assert key("a person in a red shirt in the city") == ("city", (("red", "person"),))
    assert key("a red ball in the city") != key("a red ball in the desert")


def test_near_misses_change_exactly_one_content_word():
    words = ["an", "orange", "ball", "moving", "in", "the", "city"]
    rng = np.random.default_rng(0)
    for _ in range(20):
        near = WORDS.near_miss(words, rng)
        assert sum(a != b for a, b in zip(near[1:], words[1:], strict=True)) == 1
        assert WORDS.key(near) != WORDS.key(words)
        assert near[0] == ("an" if near[1] == "orange" else "a")
    assert WORDS.near_miss(["moving"], rng) == ["moving"]


def test_motion_words_can_be_left_out():
    assert WORDS.without_motion(["a", "red", "ball", "moving", "left", "in", "the", "city"]) == [
        "a",
        "red",
        "ball",
        "in",
        "the",
        "city",
    ]


def test_content_words_are_found_in_a_world():
    found = ContentWords.from_world(DiscWorld(), "cpu", clips=64)
    assert found == ContentWords(("desert", "meadow", "night"), ("blue", "green", "red", "yellow"), ("disc",))


def test_described_labels_have_that_content():
    for labels in (("city", "orange", "star"), ("desert", "red", "person")):
        scene, subjects = WORDS.key(describe(*labels))
        assert (scene, *subjects) == (labels[0], labels[1:])


def test_equal_content_counts_as_the_same_and_near_misses_do_not():
    captions = train.Captions(WordTokenizer(("a", "ball", "blue", "in", "left", "moving", "red", "the", "city")), WORDS)
    told = ["a red ball moving left in the city", "a red ball in the city", "a blue ball in the city"]
    tokens, same = captions.read(told, np.random.default_rng(0))
    assert tokens.shape == (6, 32)
    assert same[:, :3].tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert not same[0, 3]
    assert not same[2, 5]


def test_loss_is_the_spread_cross_entropy():
    torch.manual_seed(0)
    image, text = torch.randn(2, 1, 4), torch.randn(4, 4)
    same = torch.tensor([[True, False, False, False], [False, True, False, True]])
    loss = float(train.contrastive_loss(image, text, same, torch.tensor(3.0)))
    logits = (3 * F.normalize(image[:, 0], dim=-1) @ F.normalize(text, dim=-1).T).double().numpy()

    def cross_entropy(row, right):
        total = math.log(sum(math.exp(v) for v in row))
        return -sum(row[i] - total for i in right) / len(right)

    to_text = (cross_entropy(logits[0], [0]) + cross_entropy(logits[1], [1, 3])) / 2
    to_image = (cross_entropy(logits[:, 0], [0]) + cross_entropy(logits[:, 1], [1])) / 2
    assert loss == pytest.approx((to_text + to_image) / 2, abs=1e-5)


def test_images_are_frames_of_their_own_clips():
    data = DiscWorld().sample(3, seed=1, device="cpu")
    images = train.make_images(data, lambda x, _: x, step_generator(0, 0, "cpu"))
    assert images.shape == (3, train.FRAMES, 3, 64, 64)
    for b in range(3):
        distances = [
            float((images[b].mean(dim=(0, 2, 3)) - data.frames[o].mean(dim=(0, 2, 3))).abs().sum()) for o in range(3)
        ]
        assert distances[b] <= min(distances) + 0.1  # brightness may flicker


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A run of a few seconds on the disc world, with everything that the script writes."""
    out = tmp_path_factory.mktemp("clip")
    parser = argparse.ArgumentParser()
    add_arguments(parser, batch=4, learning_rate=2e-3)
    arguments = parser.parse_args(["--out", str(out), "--device", "cpu", "--minutes", "0.02"])
    patch = pytest.MonkeyPatch()
    patch.setattr(train, "FRAMES", 1)
    run, tokenizer, content, config = train.train(DiscWorld(), arguments)
    patch.undo()
    assert run.step >= 1
    save_clip(run.average, tokenizer, content, config, out / "weights")
    return out / "weights"


def test_open_clip_loads_the_checkpoint_and_gives_unit_vectors(trained):
    clip = TinyClip.from_folder(trained)
    data = DiscWorld().sample(1, seed=2, device="cpu")
    frames = (data.frames[0, :4].permute(0, 2, 3, 1) * 255).byte().numpy()
    shown, told = clip.embed_frames(frames), clip.embed_texts(data.captions)
    assert shown.shape == (4, 96)
    assert torch.allclose(shown.norm(dim=-1), torch.ones(4), atol=1e-5)
    assert torch.allclose(told.norm(dim=-1), torch.ones(1), atol=1e-5)
    assert torch.allclose(clip.embed_clip(frames), F.normalize(shown.mean(dim=0), dim=0), atol=1e-6)
    big = frames.repeat(2, axis=1).repeat(2, axis=2)
    assert (clip.embed_frames(big) * shown).sum(dim=-1).min() > 0.9


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=str(tmp_path)):
        TinyClip.from_folder(tmp_path)


def test_shipped_size_stays_below_the_limit():
    tokenizer = WordTokenizer([f"w{i}" for i in range(80)])
    assert sum(p.numel() for p in build(model_config(tokenizer)).parameters()) * 2 < 2.2e6


def test_evaluation_writes_metrics_and_card(trained):
    patch = pytest.MonkeyPatch()
    patch.setattr(evaluate, "WAYS", 3)
    metrics = evaluate.evaluate_folder(
        trained, DiscWorld(), vae=None, clips=3, device="cpu", training={"steps": 77, "loss": []}
    )
    patch.undo()
    row = metrics["table"]["decoded"]
    assert {"clip_to_caption", "caption_to_clip", "zero_shot_scene", "prompt_color"} <= set(row)
    assert all(0 <= row[name] <= 1 for name in row if not name.startswith("cosine"))
    card = (trained / "README.md").read_text()
    assert "77 steps" in card
    assert card == render_card(json.loads((trained / "metrics.json").read_text()))


class _Oracle:
    """Embeddings that know the truth: one axis for each content word."""

    content = WORDS
    tokenizer = TOKENIZER

    class model:
        logit_scale = torch.tensor(3.0)

    axes = ("city", "desert", "blue", "orange", "red", "ball", "person", "star")

    def embed_texts(self, texts):
        return F.normalize(torch.tensor([[float(a in t.split()) for a in self.axes] for t in texts]) + 1e-6, dim=-1)

    def embed_clip(self, frames):
        return self.embed_texts([frames])[0]


def test_zero_shot_labels_are_the_most_likely_of_each_kind():
    assert evaluate.classify(_Oracle(), "city orange star") == ("city", "orange", "star")
    two = {("x",): "blue ball", ("y",): "red ball"}
    assert evaluate.classify(_Oracle(), "red ball desert", two) == ("y",)


def test_a_followed_prompt_beats_every_exchange_of_one_word():
    oracle = _Oracle()
    assert evaluate.prompt_followed(oracle, "red ball desert", "a red ball moving left in the desert") == {
        "scene": True, "color": True, "shape": True,
    }  # fmt: skip
    assert evaluate.prompt_followed(oracle, "blue ball desert", "a red ball in the desert")["color"] is False
    assert "scene" not in evaluate.prompt_followed(oracle, "red ball", "a red ball")


@pytest.mark.skipif(not (FOLDER / "tiny-clip.safetensors").exists(), reason="weights are not in this checkout")
def test_shipped_model_meets_its_card():
    metrics = json.loads((FOLDER / "metrics.json").read_text())
    assert metrics["table"]["decoded"]["clip_to_caption"] >= 0.95
    clip = TinyClip.from_folder()
    texts = clip.embed_texts(
        ["a red ball in the desert", "a red ball moving left in the desert", "a blue star in the sea"]
    )
    assert texts[0] @ texts[1] > texts[0] @ texts[2]


def test_decoder_stand_in_keeps_the_picture():
    frames = DiscWorld().sample(2, seed=0, device="cpu").frames[:, 0]
    out = blur_decoder(frames, torch.Generator().manual_seed(0))
    assert out.shape == frames.shape
    assert (out - frames).abs().mean() < 0.1
