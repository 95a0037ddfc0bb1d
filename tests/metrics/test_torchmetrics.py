"""The metrics as torchmetrics.Metric: our values, nulls counted, batches, copies, collections and processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from motionbench.metrics import torchmetrics as tm
from torchmetrics import MetricCollection

from motionbench import registry
from motionbench.clip import Clip
from motionbench.errors import MissingWeightsError, ShapeError, UnknownNameError
from motionbench.metric import MetricRuntime, Sample
from motionbench.split import read_split
from motionbench.track_cache import TrackCache

MINI = read_split("mini")
CLASSES = {kind.metric: kind for kind in vars(tm).values() if isinstance(kind, type) and getattr(kind, "metric", "")}
NEED_MORE = {
    "text_alignment_b32", "text_alignment_l14", "background_lpips", "temporal_consistency_efficientnet",
    "temporal_gap_efficientnet",
}  # fmt: skip


def references() -> list[Clip]:
    return [MINI.read_reference(case) for case in {case.reference: case for case in MINI.cases}.values()]


CLIPS = references()
PROMPTS = ["a red ball on grass", "a blue box on sand", "a figure on snow"]


def batch(clips: list[Clip]) -> torch.Tensor:
    """(B, T, C, H, W) uint8."""
    return torch.from_numpy(np.stack([clip.frames for clip in clips])).permute(0, 1, 4, 2, 3)


def pairs() -> tuple[torch.Tensor, torch.Tensor, list[str], list[str]]:
    """Three pairs: another motion, a copy, and one whose reference stands still."""
    still = Clip(np.repeat(CLIPS[2].frames[:1], 17, axis=0), 8.0)
    return batch([CLIPS[1], CLIPS[1], CLIPS[0]]), batch([CLIPS[0], CLIPS[1], still]), PROMPTS, PROMPTS[::-1]


def ours(name: str) -> list[float | None]:
    """The values of the metric itself, clip by clip."""
    made, true, prompts, captions = pairs()
    metric = registry.load("metrics", name).create(MetricRuntime(world="procedural"))
    tracks = TrackCache("lk", device="cpu", grid=20)
    values = []
    for i in range(len(made)):
        clips = [Clip(np.ascontiguousarray(x[i].permute(0, 2, 3, 1).numpy()), 8.0) for x in (made, true)]
        values.append(metric.measure(Sample(clips[0], clips[1], prompts[i], captions[i], "", "", tracks)).value)
    return values


BETTER = {"higher": True, "lower": False, "zero": None, "none": None}


def test_every_metric_of_ours_has_a_class() -> None:
    assert set(CLASSES) == {
        n for n in registry.names("metrics") if registry.load("metrics", n).__module__[:6] == "motion"
    }
    for name, kind in CLASSES.items():
        assert kind.__name__.lower() == name.replace("_", "")
        assert kind().higher_is_better is BETTER[kind().info.better]


@pytest.mark.parametrize("name", sorted(set(CLASSES) - NEED_MORE - {"trajectory_error"}))
def test_values_are_those_of_the_metric_whatever_the_batches(name: str) -> None:
    values = ours(name)
    measured = [value for value in values if value is not None]
    made, true, prompts, captions = pairs()
    whole, parts = CLASSES[name](tracker="lk"), CLASSES[name](tracker="lk")
    whole.update(made, true, prompts, captions)
    for i in range(3):
        parts(made[i : i + 1].float() / 255, true[i : i + 1], prompts[i], captions[i])  # forward: update and compute
    for metric in (whole, parts):
        mean = np.mean(np.abs(measured) if metric.info.better == "zero" else measured)
        assert metric.compute().item() == pytest.approx(mean, abs=1e-12)
        assert (int(metric.measured), int(metric.missing)) == (len(measured), 3 - len(measured))
        assert sum(metric.reasons.values()) == 3 - len(measured)
    whole.reset()
    assert (int(whole.measured), int(whole.missing), dict(whole.reasons)) == (0, 0, {})


def test_ground_truth_is_found_beside_the_references() -> None:
    cases = [case for case in MINI.cases if case.category == "single_object"][:1]
    clips = batch([MINI.read_reference(case) for case in cases])
    metric = tm.TrajectoryError(tracker="lk")
    metric.update(clips, clips, reference_paths=[MINI.reference_path(case) for case in cases])
    assert int(metric.measured) == 1
    assert metric.compute() < 6
    metric.update(clips, clips)
    assert int(metric.missing) == 1


@pytest.mark.minimums
def test_a_collection_keeps_metrics_apart_that_had_nothing_to_measure_yet() -> None:
    made, true, *_ = pairs()
    collection = MetricCollection([tm.MotionFidelity(tracker="lk"), tm.SpeedRatio(tracker="lk")])
    collection.update(made[2:], true[2:])
    collection.update(made[:2], true[:2])
    alone = tm.SpeedRatio(tracker="lk")
    alone.update(made[:2], true[:2])
    assert collection.compute()["SpeedRatio"] == alone.compute()
    assert collection.compute()["SpeedRatio"] != collection.compute()["MotionFidelity"]


@pytest.mark.minimums
def test_copies_carry_the_counts_and_no_model() -> None:
    made, true, *_ = pairs()
    metric = tm.TemporalConsistency()
    metric.update(made, true)
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric)), metric.clone()):
        assert other.compute() == metric.compute()
    assert len(pickle.dumps(metric)) < 20_000


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (torch.zeros(4, 3, 8, 8), r"unsqueeze\(0\)"),
        (torch.zeros(1, 4, 8, 8, 3), r"\(B, T, 3, H, W\)"),
        (torch.full((1, 4, 3, 8, 8), -1.0), r"\(x \+ 1\) / 2"),
        (torch.full((1, 4, 3, 8, 8), float("nan")), r"\[0, 1\]"),
        (torch.zeros(1, 4, 3, 8, 8, dtype=torch.int32), "uint8 or floating"),
        (torch.zeros(2, 4, 3, 8, 8), "as many clips"),
    ],
)
def test_wrong_batches_say_what_was_expected(made: torch.Tensor, message: str) -> None:
    metric = tm.TemporalConsistency()
    with pytest.raises(ShapeError, match=message):
        metric.update(made, torch.zeros(1, 4, 3, 8, 8))
    assert int(metric.measured) == int(metric.missing) == 0


def test_clips_of_other_sizes_are_judged_as_real_footage() -> None:
    clips = torch.zeros(1, 4, 3, 48, 80, dtype=torch.uint8)
    with pytest.raises(MissingWeightsError, match="motionbench prefetch"):
        tm.TextAlignment().update(clips, clips, "a dog")
    with pytest.raises(UnknownNameError, match="unknown tracker 'eye'"):
        tm.MotionFidelity(tracker="eye").update(clips, clips)


def test_wrong_words_say_what_was_expected() -> None:
    clips = torch.zeros(2, 4, 3, 8, 8)
    with pytest.raises(ShapeError, match="prompt must be one text or one for each of 2 clips, got 3"):
        tm.TextAlignment().update(clips, clips, ["a", "b", "c"])
    with pytest.raises(ShapeError, match="one path for each"):
        tm.TextAlignment().update(clips, clips, "a", reference_paths=["a.mp4"])
    with pytest.raises(UnknownNameError, match="Did you mean motion_fidelity"):
        tm.ClipMetric("motion_fidelty")


RANK_1 = """
import sys, numpy as np, torch, torch.distributed as dist
from motionbench.metrics import torchmetrics as tm
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=1, world_size=2)
held = np.load(sys.argv[1])
metric = tm.MotionFidelity(tracker="lk")
metric.update(torch.from_numpy(held["made"][1:]), torch.from_numpy(held["true"][1:]))
value = metric.compute()
with metric.sync_context():
    print(repr(value.item()), int(metric.measured), int(metric.missing))
print(int(metric.measured), int(metric.missing))
dist.destroy_process_group()
"""


def test_two_processes_reduce_to_the_value_of_one_and_count_nulls_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    made, true, *_ = pairs()
    np.savez(tmp_path / "pairs.npz", made=made.numpy(), true=true.numpy())
    words = [sys.executable, "-c", RANK_1, str(tmp_path / "pairs.npz"), str(tmp_path / "rendezvous")]
    other = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=2)
    try:
        metric = tm.MotionFidelity(tracker="lk")
        metric.update(made[:1], true[:1])
        value = metric.compute().item()
        with metric.sync_context():
            together = int(metric.measured), int(metric.missing)
    finally:
        out, error = other.communicate(timeout=120)
        dist.destroy_process_group()
    assert other.returncode == 0, error
    expected = np.mean([value for value in ours("motion_fidelity") if value is not None])
    assert value == pytest.approx(expected, abs=1e-12)
    assert together == (2, 1)
    assert (int(metric.measured), int(metric.missing)) == (1, 0)
    assert out.splitlines() == [f"{value!r} 2 1", "1 1"]
