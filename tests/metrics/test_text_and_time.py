"""Text alignment and temporal consistency by open_clip with small random weights; torchmetrics is the judge."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from motionbench.metrics import embed, image_models
from motionbench.metrics.appearance import AppearanceLeak
from motionbench.metrics.embed import ClipEmbedder
from motionbench.metrics.image_models import letterbox, load_clip
from motionbench.metrics.temporal import (
    TemporalConsistency,
    TemporalGap,
    consecutive_cosine,
    first_and_previous_cosine,
)
from motionbench.metrics.text_alignment import TextAlignment, TextAlignmentB32, TextAlignmentL14, mean_text_cosine
from plain_motion import make_sample, make_tracks, straight

from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, UnknownNameError
from motionbench.metric import Metric, MetricRuntime, Sample

ARCHITECTURE = "motionbench-test-clip"


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`architecture:checkpoint` of a small random open_clip model, known to open_clip as any local one."""
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    config = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    (folder / f"{ARCHITECTURE}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{ARCHITECTURE}.json")
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE)
    path = folder / "model.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return f"{ARCHITECTURE}:{path}"


@pytest.fixture(scope="module")
def embedder(name: str, tmp_path_factory: pytest.TempPathFactory) -> ClipEmbedder:
    return ClipEmbedder(load_clip(name, "cpu"), tmp_path_factory.mktemp("cache"))


def random_clip(seed: int, frames: int = 5, height: int = 24, width: int = 40) -> Clip:
    return Clip(np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8), 8.0)


def sample_of(generated: Clip, reference: Clip, prompt: str = "a red ball rolls") -> Sample:
    tracks = make_tracks(straight(4, 5, (1, 0)))
    return Sample(generated, reference, prompt, prompt, "single_object/0000/0", "single_object", lambda clip: tracks)


def test_they_are_metrics(embedder: ClipEmbedder) -> None:
    for kind in (TextAlignment, TemporalConsistency, TemporalGap):
        assert isinstance(kind(embedder), Metric)


def test_text_alignment_agrees_with_torchmetrics(embedder: ClipEmbedder) -> None:
    from torchmetrics.functional.pairwise import pairwise_cosine_similarity

    clip, prompt = random_clip(0), "a red ball rolls"
    model = embedder.clip
    with torch.inference_mode():
        image = model.model.encode_image(model.preprocess(clip.frames))
        text = model.model.encode_text(model.tokenize([prompt]))
    expected = float(pairwise_cosine_similarity(image, text).mean())
    measured = TextAlignment(embedder).measure(sample_of(clip, clip, prompt))
    assert measured.value == pytest.approx(expected, abs=1e-5)
    assert measured.details["x100"] == pytest.approx(100 * expected, abs=1e-2)


def test_vector_16_logits_are_100_times_the_cosine_at_clips_own_scale(embedder: ClipEmbedder) -> None:
    clip, prompt, model = random_clip(1), "a dog", embedder.clip
    with torch.inference_mode():
        image, text, _ = model.model(model.preprocess(clip.frames), model.tokenize([prompt]))
    logits = (100 * image @ text.T).mean().item()
    assert logits == pytest.approx(100 * mean_text_cosine(embedder.frames(clip), embedder.text(prompt)), abs=1e-3)


def test_vector_16_a_frozen_clip_is_perfectly_consistent_and_its_gap_is_not_0(embedder: ClipEmbedder) -> None:
    moving = random_clip(2)
    frozen = Clip(np.repeat(moving.frames[:1], 5, axis=0), 8.0)
    assert TemporalConsistency(embedder).measure(sample_of(frozen, moving)).value == pytest.approx(1, abs=1e-6)
    gap = TemporalGap(embedder).measure(sample_of(frozen, moving))
    assert gap.value is not None
    assert gap.value > 0
    assert TemporalGap(embedder).measure(sample_of(moving, moving)).value == 0


def test_vector_16_dets_way_is_biased_by_one_minus_s_over_frames() -> None:
    rng = np.random.default_rng(0)
    e = rng.normal(size=(7, 12))
    e = (e / np.linalg.norm(e, axis=1, keepdims=True)).astype(np.float32)
    s = first_and_previous_cosine(e)
    biased = first_and_previous_cosine(e, with_first_itself=True)
    assert biased - s == pytest.approx((1 - s) / 7, abs=1e-6)


def test_time_formulas_equal_plain_loops() -> None:
    rng = np.random.default_rng(1)
    e = rng.normal(size=(6, 8))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    following = sum(sum(a * b for a, b in zip(e[t], e[t + 1], strict=True)) for t in range(5)) / 5
    both = sum((sum(e[t] * e[0]) + sum(e[t] * e[t - 1])) / 2 for t in range(1, 6)) / 5
    assert consecutive_cosine(e.astype(np.float32)) == pytest.approx(following, abs=1e-6)
    assert first_and_previous_cosine(e.astype(np.float32)) == pytest.approx(both, abs=1e-6)


def test_consistency_agrees_with_torchmetrics(embedder: ClipEmbedder) -> None:
    from torchmetrics.functional import cosine_similarity

    clip = random_clip(3)
    e = torch.from_numpy(embedder.frames(clip))
    expected = float(cosine_similarity(e[1:], e[:-1], reduction="mean"))
    assert TemporalConsistency(embedder).measure(sample_of(clip, clip)).value == pytest.approx(expected, abs=1e-5)


def test_one_frame_and_an_empty_prompt_are_nulls(embedder: ClipEmbedder) -> None:
    one = random_clip(4, frames=1)
    assert TemporalConsistency(embedder).measure(sample_of(one, one)).value is None
    assert TemporalGap(embedder).measure(sample_of(one, one)).value is None
    assert TextAlignment(embedder).measure(sample_of(one, one, "  ")).value is None
    assert TextAlignment(embedder).measure(sample_of(one, one, "a ball")).value is not None


def test_wide_frames_are_seen_whole() -> None:
    frames = np.zeros((1, 20, 60, 3), np.uint8)
    frames[:, :, :6] = 255  # a center crop to a square would lose it
    seen = letterbox(frames, 30, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert seen.shape == (1, 3, 30, 30)
    assert seen[0, 0, 15, 1] == pytest.approx(1, abs=0.05)
    assert (seen[:, :, :10] == 0).all()  # the mean color above and below
    assert (seen[:, :, 20:] == 0).all()


def test_square_frames_of_the_right_size_pass_unchanged() -> None:
    frames = random_clip(5, 2, 16, 16).frames
    seen = letterbox(frames, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert torch.equal((seen * 255).round().to(torch.uint8).permute(0, 2, 3, 1), torch.from_numpy(frames))


def test_batches_equal_single_frames(embedder: ClipEmbedder) -> None:
    clip = random_clip(6, frames=40)  # more than a batch
    rows = [embedder._compute(Clip(clip.frames[t : t + 1], 8.0))[0] for t in range(40)]
    assert np.allclose(embedder.frames(clip), rows, atol=1e-5)


def test_embeddings_are_computed_once_and_a_damaged_cache_is_rebuilt(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_clip(name, "cpu")
    clip, calls = random_clip(7), []
    compute = ClipEmbedder._compute

    def counted(self: ClipEmbedder, clip: Clip) -> Any:
        calls.append(1)
        return compute(self, clip)

    monkeypatch.setattr(ClipEmbedder, "_compute", counted)
    first = ClipEmbedder(model, tmp_path).frames(clip)
    assert np.array_equal(ClipEmbedder(model, tmp_path).frames(clip), first)
    assert len(calls) == 1
    file = next(tmp_path.glob("embeddings/*/*"))
    file.write_bytes(file.read_bytes()[:-3] + b"xyz")
    with caplog.at_level(logging.WARNING):
        assert np.array_equal(ClipEmbedder(model, tmp_path).frames(clip), first)
    assert len(calls) == 2
    assert "damaged" in caplog.text


def test_threads_do_not_change_a_bit(embedder: ClipEmbedder) -> None:
    clip, before = random_clip(8), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(embedder._compute(clip))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*found)


def test_tokens_are_counted_and_a_cut_is_recorded(embedder: ClipEmbedder) -> None:
    assert embedder.count_tokens("a red ball") == (5, False)
    full = " ".join(["ball"] * 14)
    assert embedder.count_tokens(full) == (16, False)
    assert embedder.count_tokens(full + " rolls") == (16, True)
    clip = random_clip(9)
    measured = TextAlignment(embedder).measure(sample_of(clip, clip, full + " rolls away"))
    assert measured.details["truncated"] is True
    assert "cut" in measured.note


def test_the_weights_hash_is_in_the_details(embedder: ClipEmbedder) -> None:
    clip = random_clip(10)
    for kind in (TextAlignment, TemporalConsistency, TemporalGap):
        assert embedder.clip.weights in kind(embedder).measure(sample_of(clip, clip)).details["model"]


def test_absent_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import urllib.request

    def offline(*args: object, **kwargs: object) -> None:
        raise OSError("no network")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(
        MissingWeightsError, match=r"not here and cannot be fetched .*run: motionbench prefetch text_align"
    ):
        load_clip("ViT-B-32:openai", "cpu", fetch=True)
    monkeypatch.setattr(urllib.request, "urlopen", pytest.fail)  # unasked, nothing is fetched
    with pytest.raises(MissingWeightsError, match=r"ViT-B-32:openai.*run: motionbench prefetch text_alignment"):
        load_clip("ViT-B-32:openai", "cpu")


def test_unknown_names_are_named() -> None:
    with pytest.raises(UnknownNameError, match="no architecture"):
        load_clip("ViT-Z-99:openai", "cpu")
    with pytest.raises(UnknownNameError, match=r"known: .*openai"):
        load_clip("ViT-B-32:opanai", "cpu")


def test_a_sample_is_only_looked_at_through_its_clips(embedder: ClipEmbedder) -> None:
    tracks = make_tracks(straight(4, 5, (1, 0)))
    sample = make_sample(tracks, tracks)
    assert TextAlignment(embedder).measure(sample).value is not None


FOLLOWING = (TextAlignment, TemporalConsistency, TemporalGap, AppearanceLeak)
OWN, REAL = MetricRuntime(world="procedural"), MetricRuntime()


@pytest.mark.parametrize("kind", FOLLOWING)
def test_the_model_follows_the_footage(kind: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_models, "REAL", name)
    clip = random_clip(3)
    sample = Sample(clip, random_clip(4), "a red ball rolls", "a blue box", "camera/0000/0", "camera", pytest.fail)
    for runtime, model in ((OWN, "tiny-clip"), (REAL, name)):
        assert kind.model_name(runtime) == model
        told = kind.create(runtime).measure(sample).details["model"]
        assert told.rpartition(" ")[0] == model


@pytest.mark.parametrize("kind", FOLLOWING)
def test_real_footage_without_weights_is_no_number_but_a_command(
    kind: type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    embed.shared_embedder.cache_clear()
    monkeypatch.setitem(sys.modules, "open_clip", None)  # told without its import, which takes seconds
    with pytest.raises(MissingWeightsError, match="motionbench prefetch text_alignment"):
        kind.create(REAL)


def test_metrics_named_for_a_model_take_it_for_all_footage() -> None:
    for kind, model in ((TextAlignmentB32, "ViT-B-32:openai"), (TextAlignmentL14, "ViT-L-14:openai")):
        assert {kind.model_name(OWN), kind.model_name(REAL)} == {model}


def test_a_broken_download_is_not_taken_for_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache/clip").mkdir(parents=True)
    (tmp_path / ".cache/clip/ViT-B-32.pt").write_bytes(b"half of it")
    with pytest.raises(MissingWeightsError, match="not here"):
        load_clip("ViT-B-32:openai", "cpu")


LONG = {  # more than the 16 tokens of the small model
    "Chinese": "红色的球在草地上滚动红色的球在草地上滚动", "Japanese": "カメラがゆっくりと右へ動いていく",
    "one word": "#" + "redballongrass" * 12, "Thai": "ลูกบอลสีแดงกลิ้งบนหญ้า",
    "emoji": "🔴🟢🔵🟡" * 6, "words": "ball " * 15,
}  # fmt: skip


@pytest.mark.parametrize("kind", LONG)
def test_a_cut_is_marked_in_any_script_and_without_spaces(kind: str, embedder: ClipEmbedder) -> None:
    assert embedder.count_tokens(LONG[kind]) == (16, True)
    assert embedder.count_tokens(LONG[kind][:2])[1] is False
    clip = random_clip(3)
    measured = TextAlignment(embedder).measure(sample_of(clip, clip, LONG[kind]))
    assert measured.note == "the prompt was cut"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ClipEmbedder:
    return ClipEmbedder(load_clip("tiny-clip", "cpu"), tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("红色的球", "红, 色, 的, 球"), ("красный шар на траве", "красный, шар, на, траве"),
        ("a dragon in the castle", "dragon, castle"), ("a red dragon in the castle", "dragon, castle"),
        ("🔴 123", "no word for tiny-clip in it"), ("a of the", "no word for tiny-clip in it"),
    ],
)  # fmt: skip
def test_a_prompt_of_unknown_words_has_no_value_and_they_are_named(prompt: str, named: str, tiny: ClipEmbedder) -> None:
    clip = random_clip(4)
    for metric in (TextAlignment(tiny), AppearanceLeak(tiny)):
        measured = metric.measure(sample_of(clip, clip, prompt))
        assert measured.value is None
        assert measured.note.startswith("the prompt cannot be read: ")
        assert named in measured.note


def test_some_unknown_words_leave_the_value_and_are_named(tiny: ClipEmbedder) -> None:
    clip = random_clip(5)
    measured = TextAlignment(tiny).measure(sample_of(clip, clip, "a red ball and a blue dragon"))
    assert measured.value is not None
    assert measured.note == "tiny-clip does not know: dragon"
    whole = TextAlignment(tiny).measure(sample_of(clip, clip, "a red ball and a blue star"))
    assert whole.note == ""


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_the_embedded_splits_hold_no_word_that_is_unknown_and_no_prompt_that_is_cut(
    name: str, tiny: ClipEmbedder
) -> None:
    from motionbench.split import read_split

    for case in read_split(name).cases:
        for text in (case.prompt, case.caption):
            assert (tiny.unknown_words(text), tiny.cannot_read(text), tiny.count_tokens(text)[1]) == ([], "", False)
