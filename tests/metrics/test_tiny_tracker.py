"""The `tiny` tracker: geometry, protocol, loss, training, grading; how good it is, its evaluation script measures."""

from __future__ import annotations

import argparse
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from motionbench.metrics.threads import workers
from motionbench.metrics.trackers.frame_features import TrackerConfig
from motionbench.metrics.trackers.learned import load_tracker, save_tracker
from motionbench.metrics.trackers.map_reading import at_stride, read_features, read_maps
from motionbench.metrics.trackers.tiny import FOLDER, TinyTracker
from motionbench.metrics.trackers.tracker_blocks import gelu
from motionbench.metrics.trackers.tracker_net import Prediction, TrackerNet
from tiny_fakes import DiscWorld, shifted_clip

from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, ShapeError, StoreError
from motionbench.tracks import Tracker, Tracks, grid_queries
from training import run as training
from training.augment import blur_decoder, decode_some, disturb
from training.run import add_arguments, step_generator
from training.tiny_tracker import evaluate as evaluate_tiny
from training.tiny_tracker import train as train_tiny
from training.tiny_tracker.card import render_card

SMALL = TrackerConfig(stage_widths=(8, 8, 8), channels=8, width=16, blocks=1, rounds=2, heads=2, support_per_side=3)


@pytest.fixture
def untrained() -> TinyTracker:
    torch.manual_seed(0)
    model = TrackerNet(SMALL).eval().requires_grad_(False)
    torch.nn.init.normal_(model.move.weight, std=0.1)  # as trained: the answer depends on what is read
    return TinyTracker(model, "cpu")


def _arguments(out: Path, **changes: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser, batch=2, learning_rate=1e-3)
    arguments = parser.parse_args(["--out", str(out), "--device", "cpu"])
    vars(arguments).update({"points": 8, "minutes": 0.02, **changes})
    return arguments


def test_reading_features_is_exact_at_pixel_centers_of_every_stride():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    fine = torch.stack([x, y])[None]
    where = torch.tensor([[10.0, 20.0], [31.5, 7.25], [40.3, 50.9]])
    for stride in (1, 2, 4):
        maps = torch.nn.functional.avg_pool2d(fine, stride)  # a cell holds the mean position of its pixels
        read = read_features(maps.permute(0, 2, 3, 1)[None], at_stride(where[None, :, None], stride), 0)
        assert torch.allclose(read[0, :, 0, 0], where, atol=1e-4)


def _sampled(maps: torch.Tensor, places: torch.Tensor, radius: int) -> torch.Tensor:
    """Maps (M, C, h, w) around places (M, P, 2) by torch's own sampling of every offset, row by row: (M, C, P, Q)."""
    reach = [float(i) for i in range(-radius, radius + 1)]
    offsets = torch.tensor([[x, y] for y in reach for x in reach])
    size = torch.tensor([maps.shape[3], maps.shape[2]])
    grid = (places[:, :, None] + offsets + 0.5) * 2 / size - 1
    return torch.nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_patches_are_bilinear_samples_also_beyond_the_border(radius):
    generator = torch.Generator().manual_seed(radius)
    features = torch.rand(2, 3, 9, 12, 5, generator=generator)  # (B, T, h, w, C)
    places = torch.rand(2, 4, 3, 2, generator=generator) * 30 - 9  # (B, N, T, 2)
    sampled = _sampled(features.permute(0, 1, 4, 2, 3).flatten(0, 1), places.transpose(1, 2).flatten(0, 1), radius)
    read = read_features(features, places, radius)
    assert torch.allclose(read, sampled.view(2, 3, 5, 4, -1).permute(0, 3, 1, 4, 2), atol=1e-4)
    volume = torch.rand(2, 4, 3, 9, 12, generator=generator)  # a map for each place
    sampled = _sampled(volume.flatten(0, 2).unsqueeze(1), places.flatten(0, 2).unsqueeze(1), radius)
    assert torch.allclose(read_maps(volume, places, radius), sampled.view(2, 4, 3, -1), atol=1e-4)


def test_gelu_is_that_of_torch():
    x = torch.linspace(-12, 12, 1001)
    assert torch.allclose(gelu(x), torch.nn.functional.gelu(x, approximate="tanh"), atol=1e-6)


def test_tracker_keeps_the_protocol_and_the_queries(untrained):
    assert isinstance(untrained, Tracker)
    clip, queries = shifted_clip(5, 1.0), grid_queries(64, 64, 6)
    tracks = untrained.track(clip, queries)
    assert tracks.points.shape == (36, 5, 2)
    assert tracks.points.dtype == np.float32
    assert np.array_equal(tracks.points[:, 0], queries)
    assert tracks.visible[:, 0].all()
    assert np.array_equal(untrained.track(clip, queries).points, tracks.points)


def test_a_track_does_not_depend_on_the_other_queries(untrained):
    clip, queries = shifted_clip(6, 1.5), grid_queries(64, 64, 5)
    whole = untrained.track(clip, queries)
    some = untrained.track(clip, queries[[7, 3]])
    assert np.allclose(whole.points[[7, 3]], some.points, atol=1e-3)  # float32 sums in another order
    order = np.random.default_rng(0).permutation(25)
    assert np.allclose(untrained.track(clip, queries[order]).points, whole.points[order], atol=1e-3)


def test_a_larger_clip_gives_the_scaled_tracks_of_the_small_one(untrained, monkeypatch):
    def drift(levels: list[torch.Tensor], queries: torch.Tensor, keys_source: object) -> Prediction:
        step = torch.tensor([1.0, 2.0])[None, None, None] * torch.arange(levels[0].shape[1])[:, None]
        points = (queries[:, :, None] + step)[None]
        return Prediction(points, torch.full(points.shape[:-1], 9.0), torch.full(points.shape[:-1], -9.0), points)

    monkeypatch.setattr(untrained.model, "follow", drift)
    clip = Clip(np.zeros((3, 128, 192, 3), np.uint8), 8.0)
    tracks = untrained.track(clip, np.array([[30.0, 40.0], [188.0, 124.0]], np.float32))
    assert (tracks.width, tracks.height) == (192, 128)
    assert np.allclose(tracks.points[0], [[30, 40], [33, 44], [36, 48]], atol=1e-3)  # 3 and 2 times the small steps
    assert tracks.visible[1].tolist() == [True, False, False]  # it has left the frame


def test_no_queries_and_one_frame_are_no_error(untrained):
    clip = shifted_clip(1, 0.0)
    assert untrained.track(clip, np.zeros((0, 2), np.float32)).points.shape == (0, 1, 2)
    assert untrained.track(clip, grid_queries(64, 64, 3)).points.shape == (9, 1, 2)
    with pytest.raises(ShapeError, match=r"\(N, 2\)"):
        untrained.track(clip, np.zeros((3, 3), np.float32))


def test_queries_in_portions_give_the_same_tracks(untrained, monkeypatch):
    clip, queries = shifted_clip(4, 1.0), grid_queries(64, 64, 5)
    whole = untrained.track(clip, queries)
    monkeypatch.setattr("motionbench.metrics.trackers.learned.CHUNK", 7)
    assert np.allclose(untrained.track(clip, queries).points, whole.points, atol=1e-3)


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of threads that torch may use, until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_one_worker_and_several_find_the_same_bits(untrained, monkeypatch, threads):
    monkeypatch.setattr("motionbench.metrics.trackers.learned.CHUNK", 7)
    clip, queries, found = shifted_clip(7, 1.0), grid_queries(64, 64, 6), []
    for count in (1, 2, 4):
        threads(count)
        found.append(untrained.track(clip, queries))
        assert torch.get_num_threads() == count
    for other in found[1:]:
        assert np.array_equal(other.points, found[0].points)
        assert np.array_equal(other.visible, found[0].visible)


def test_every_worker_runs_one_thread_and_keeps_the_inference_mode(threads):
    threads(3)
    with torch.inference_mode(), workers("cpu") as team:
        together = threading.Barrier(3)  # so that no worker does two portions

        def look(_: int) -> tuple[int, bool, int]:
            together.wait(timeout=30)
            return torch.get_num_threads(), torch.is_inference_mode_enabled(), threading.get_ident()

        seen = team.map(look, range(3))
    assert [s[:2] for s in seen] == [(1, True)] * 3
    assert len({s[2] for s in seen}) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_of_the_support_points_reaches_all_who_wait_for_them(untrained, monkeypatch, threads, count):
    def keys_values(_: torch.Tensor) -> None:
        raise ArithmeticError("lost")

    monkeypatch.setattr(untrained.model.support, "keys_values", keys_values)
    threads(count)
    with pytest.raises(ArithmeticError, match="lost"):
        untrained.track(shifted_clip(3, 1.0), grid_queries(64, 64, 4))


def test_weights_survive_saving_in_half_precision(untrained, tmp_path):
    save_tracker(untrained.model, tmp_path)
    again = load_tracker(tmp_path, "cpu")
    assert again.config == SMALL
    for name, value in untrained.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float())


@pytest.mark.parametrize("broken", ["missing", "truncated", "other shape"])
def test_unusable_weights_say_how_to_mend_it(untrained, tmp_path, broken):
    if broken != "missing":
        save_tracker(untrained.model, tmp_path)
    if broken == "truncated":
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:100])
    if broken == "other shape":
        fields = json.loads((tmp_path / "config.json").read_text()) | {"width": 32}
        (tmp_path / "config.json").write_text(json.dumps(fields))
    with pytest.raises(MissingWeightsError, match=r"training\.tiny_tracker\.train"):
        TinyTracker.from_folder(tmp_path, "cpu")


def test_shipped_size_stays_below_the_limit():
    assert sum(p.numel() for p in TrackerNet(TrackerConfig()).parameters()) * 2 < 1.5e6


@pytest.mark.skipif(not (FOLDER / "model.safetensors").exists(), reason="weights are not in this checkout")
def test_shipped_tracker_follows_a_pan_and_keeps_a_still_clip_still():
    tracker, queries = TinyTracker.create("cpu"), grid_queries(64, 64, 8)
    moved = tracker.track(shifted_clip(9, 1.5), queries)
    stays = (queries[:, 0] < 44) & (queries[:, 0] > 6)
    error = np.abs(moved.points[stays, -1] - queries[stays] - [12.0, 0.0])
    assert np.median(error) < 0.5  # px; another texture than it was trained on
    still = tracker.track(Clip(np.repeat(shifted_clip(1, 0.0).frames, 9, axis=0), 8.0), queries)
    assert np.abs(still.points - queries[:, None]).max(axis=(1, 2)).mean() < 0.5


def _lesson(seed: int = 0) -> train_tiny.Lesson:
    data = DiscWorld().sample(3, seed=seed, device="cpu", points=24)
    return train_tiny.make_lesson(data, 8, blur_decoder, step_generator(0, seed, "cpu"))


def test_mirrored_and_reversed_lessons_keep_points_on_their_pixels():
    data = DiscWorld().sample(4, seed=3, device="cpu", points=24)
    lesson = train_tiny.make_lesson(data, 12, lambda x, _: x, step_generator(0, 1, "cpu"))
    # where a point is seen, its color stays about the same over time, whatever was flipped
    for b in range(4):
        for n in range(12):
            seen = lesson.visible[b, n].nonzero()[:, 0]
            if lesson.valid[b, n] and len(seen) > 1:
                x, y = lesson.points[b, n, seen].round().long().clamp(0, 63).unbind(-1)
                hue = lesson.frames[b, seen, :, y, x]
                hue = hue / hue.sum(dim=-1, keepdim=True).clamp(min=0.1)  # flicker changes the brightness
                assert (hue.median(dim=0).values - hue).abs().mean() < 0.1


def test_lesson_queries_are_the_first_positions_and_are_seen():
    lesson = _lesson()
    assert torch.equal(lesson.queries, lesson.points[:, :, 0])
    assert torch.equal(lesson.valid, lesson.visible[:, :, 0])
    assert lesson.valid.float().mean() > 0.9
    assert ((lesson.frames >= 0) & (lesson.frames <= 1)).all()


def test_weighted_choice_takes_the_heavy_and_never_repeats():
    weights = torch.tensor([[0.0, 1.0, 1.0, 0.0, 5.0]])
    chosen = train_tiny._choose(weights, 3, torch.Generator().manual_seed(0))
    assert sorted(chosen[0].tolist()) == [1, 2, 4]


def _answer(lesson: train_tiny.Lesson, shift: float) -> Prediction:
    points = (lesson.points + shift)[None].repeat(2, 1, 1, 1, 1)
    logits = torch.where(lesson.visible, 20.0, -20.0)[None].repeat(2, 1, 1, 1)
    cell = ((lesson.points + 0.5) / 2).floor().long().clamp(0, 31)
    volume = torch.zeros(*lesson.visible.shape, 1024).scatter(-1, (cell[..., 1] * 32 + cell[..., 0])[..., None], 50.0)
    return Prediction(points, logits, torch.full_like(logits, -20.0), volume)


def test_loss_is_zero_for_the_truth_and_grows_with_the_error():
    lesson = _lesson()
    lesson.points = lesson.points.clamp(-8, 71)
    losses = [float(train_tiny.tracking_loss(_answer(lesson, s), lesson, 2.0, 64)) for s in (0.0, 0.2, 0.5, 1.0)]
    assert losses[0] < 1e-3
    assert losses == sorted(losses)


def test_loss_ignores_points_that_are_not_seen_in_the_first_frame():
    lesson = _lesson()
    lesson.valid[:, 0] = False
    answer = _answer(lesson, 0.0)
    wrong = answer.points.clone()
    wrong[:, :, 0] += 5
    loss = train_tiny.tracking_loss(answer, lesson, 2.0, 64)
    assert torch.isclose(loss, train_tiny.tracking_loss(answer._replace(points=wrong), lesson, 2.0, 64))


def test_disturbing_is_seeded_and_stays_in_range():
    frames = _lesson().frames
    one, two = (disturb(frames, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 1


def test_half_of_the_clips_are_decoded():
    frames = torch.zeros(4, 2, 3, 8, 8)
    out = decode_some(frames, lambda x, _: x + 1, torch.Generator().manual_seed(0))
    assert sorted(out.amax(dim=(1, 2, 3, 4)).tolist()) == [0, 0, 1, 1]


def _clock(second: float = 0.25) -> SimpleNamespace:
    """A clock that moves by so many seconds each time it is asked, whatever the machine does meanwhile."""
    ticks = itertools.count()
    return SimpleNamespace(monotonic=lambda: next(ticks) * second)


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(train_tiny, "TrackerConfig", lambda: SMALL)
    monkeypatch.setattr(training, "time", _clock())
    first = train_tiny.train(DiscWorld(), _arguments(tmp_path))
    before = {k: v.clone() for k, v in first.average.state_dict().items()}
    stopped = train_tiny.train(DiscWorld(), _arguments(tmp_path))  # the budget is spent already
    assert stopped.step == first.step >= 2
    assert all(torch.equal(v, before[k]) for k, v in stopped.average.state_dict().items())
    more = train_tiny.train(DiscWorld(), _arguments(tmp_path, minutes=0.04))
    assert more.step > first.step
    assert any(not torch.equal(v, before[k]) for k, v in more.average.state_dict().items())
    assert all(f.stat().st_size < 16 * 2**20 for f in tmp_path.iterdir())


def test_a_resumed_run_makes_the_same_next_step(tmp_path, monkeypatch):
    monkeypatch.setattr(train_tiny, "TrackerConfig", lambda: SMALL)
    monkeypatch.setattr(training, "time", _clock())
    whole = train_tiny.train(DiscWorld(), _arguments(tmp_path / "a"))
    again = training.Run.of(TrackerNet(SMALL), _arguments(tmp_path / "a"))
    assert (again.step, again.elapsed, again.losses) == (whole.step, whole.elapsed, whole.losses)
    for run in (whole, again):
        run.update(sum(p.square().sum() for p in run.model.parameters()))
    for one, two in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, two)  # the optimizer's moments came back as well


def test_a_broken_checkpoint_says_so(tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes(b"cut off")
    with pytest.raises(StoreError, match="remove it"):
        training.Run.of(TrackerNet(SMALL), _arguments(tmp_path))


def test_a_few_steps_on_one_lesson_lower_its_loss():
    torch.manual_seed(0)
    model, lesson = TrackerNet(SMALL), _lesson()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = train_tiny.tracking_loss(model(lesson.frames, lesson.queries, 4), lesson, 2.0, 64)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def _exam(points: np.ndarray, visible: np.ndarray, background: np.ndarray) -> evaluate_tiny.Exam:
    clip = Clip(np.zeros((points.shape[1], 64, 64, 3), np.uint8), 8.0)
    return evaluate_tiny.Exam(clip, points.astype(np.float32), visible, background)


def test_grading_the_truth_is_perfect_and_known_errors_fall_into_their_thresholds():
    points = np.zeros((4, 5, 2))
    points[2, :, 0] = np.arange(5) * 3  # one point moves
    visible, background = np.ones((4, 5), bool), np.array([True, True, False, True])
    exam = _exam(points, visible, background)
    truth = evaluate_tiny.grade(exam, Tracks(exam.points, visible, 64, 64))
    assert truth["position"] == truth["visibility"] == 1
    assert truth["false_moving"] == truth["missed_moving"] == 0
    off = exam.points + np.array([0.75, 0.0], np.float32)  # 3 px at 256
    graded = evaluate_tiny.grade(exam, Tracks(off, visible, 64, 64))
    assert [graded[f"within_{k}"] for k in (1, 2, 4, 8, 16)] == [0, 0, 1, 1, 1]
    dragged = exam.points.copy()
    dragged[0, 3:] += 2.0
    assert evaluate_tiny.grade(exam, Tracks(dragged, visible, 64, 64))["false_moving"] == pytest.approx(1 / 3)
    assert evaluate_tiny.grade(exam, Tracks(exam.points * 0, visible, 64, 64))["missed_moving"] == 1


def test_grading_leaves_out_hidden_points_and_the_first_frame():
    points, visible = np.zeros((2, 3, 2)), np.array([[True, False, True], [True, True, True]])
    exam = _exam(points, visible, np.array([False, False]))
    found = exam.points.copy()
    found[0, 1] = 30
    found[:, 0] = 9
    assert evaluate_tiny.grade(exam, Tracks(found, ~visible, 64, 64)) == pytest.approx(
        {
            "visibility": 0,
            "position": 1,
            "position_on_objects": 1,
            "median_error": 0,
            **{f"within_{k}": 1 for k in (1, 2, 4, 8, 16)},
        }
    )


def test_one_point_of_each_cell_makes_a_full_frame_grid():
    queries = np.random.default_rng(0).uniform(-0.5, 63.5, (3000, 2)).astype(np.float32)
    kept = queries[evaluate_tiny.one_per_cell(queries, (64, 64), 8)]
    cells = {tuple(c) for c in np.floor((kept + 0.5) / 8).astype(int)}
    assert len(kept) == len(cells) == 64
    assert np.abs((kept + 0.5) % 8 - 4).max() < 2


def test_held_out_clips_are_the_same_each_time_and_evaluation_writes_a_card(tmp_path, untrained, monkeypatch):
    monkeypatch.setattr(evaluate_tiny, "GRID", 5)
    monkeypatch.setattr(evaluate_tiny, "_rivals", lambda: {"lk": untrained})
    one, two = (evaluate_tiny.make_exams(DiscWorld(), 2, vae=None, decoded=True, device="cpu") for _ in range(2))
    assert all(np.array_equal(a.clip.frames, b.clip.frames) for a, b in zip(one, two, strict=True))
    save_tracker(untrained.model, tmp_path)
    metrics = evaluate_tiny.evaluate_folder(
        tmp_path, DiscWorld(), vae=None, clips=2, device="cpu", training={"steps": 4321, "loss": []}
    )
    again = evaluate_tiny.evaluate_folder(tmp_path, DiscWorld(), vae=None, clips=2, device="cpu")
    assert again["table"]["decoded"]["tiny"] == metrics["table"]["decoded"]["tiny"]
    card = (tmp_path / "README.md").read_text()
    assert "4321 steps" in card  # kept from the training run
    assert f"{100 * metrics['table']['decoded']['tiny']['within_4']:.1f}%" in card
    assert card == render_card(json.loads((tmp_path / "metrics.json").read_text()))
    timed = evaluate_tiny.retime_folder(tmp_path, DiscWorld())
    assert timed["table"] == again["table"]
    assert f"{timed['seconds_per_clip_on_two_cores']} s by the clock" in (tmp_path / "README.md").read_text()
