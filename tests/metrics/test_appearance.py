"""Appearance leak and background distance on embeddings and nets whose answers are known."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from motionbench.metrics import appearance
from motionbench.metrics.appearance import (
    AppearanceLeak,
    BackgroundLpips,
    background_mask,
    leak_share,
    residual_cosine,
)
from plain_motion import make_sample, make_tracks

from motionbench.clip import Clip
from motionbench.errors import MissingExtra
from motionbench.metric import Metric, MetricRuntime, Sample
from motionbench.tracks import Tracks, grid_queries

PROMPT, CAPTION = np.array([1.0, 0, 0, 0]), np.array([0, 1.0, 0, 0])


def frames_of(*rows: list[float]) -> np.ndarray:
    e = np.array(rows, float)
    return (e / np.linalg.norm(e, axis=1, keepdims=True)).astype(np.float32)


REFERENCE = frames_of([0, 0.9, 0.3, 0], [0, 0.9, 0.3, 0])


def test_leak_is_0_on_the_prompts_side_and_1_for_a_copy() -> None:
    obedient = frames_of([0.9, 0, 0, 0.3], [0.9, 0, 0, 0.3])
    between = frames_of([0.5, 0.5, 0.5, 0.5])
    assert leak_share(REFERENCE, REFERENCE, PROMPT, CAPTION) == pytest.approx(1)
    assert leak_share(obedient, REFERENCE, PROMPT, CAPTION) == pytest.approx(0, abs=1e-6)
    assert leak_share(between, REFERENCE, PROMPT, CAPTION) == pytest.approx(0.5)


def test_leak_is_a_null_where_prompt_and_caption_are_one() -> None:
    assert leak_share(REFERENCE, REFERENCE, CAPTION, CAPTION) is None


def test_residual_cosine_sees_only_what_neither_text_says() -> None:
    same_rest = frames_of([0.9, 0, 0.3, 0], [0.1, 0.4, 0.8, 0])
    other_rest = frames_of([0.9, 0, 0, 0.3], [0, 0.9, 0, 0.3])
    assert residual_cosine(same_rest, REFERENCE, PROMPT, CAPTION) == pytest.approx(1)
    assert residual_cosine(other_rest, REFERENCE, PROMPT, CAPTION) == pytest.approx(0, abs=1e-6)


class Embedder:
    """Knows the clips of this test by their first pixel, and the two texts."""

    label = "test"

    def frames(self, clip: Clip) -> np.ndarray:
        return REFERENCE if clip.frames[0, 0, 0, 0] == 2 else frames_of([0.9, 0, 0, 0.3])

    def cannot_read(self, text: str) -> str:
        return ""

    def text(self, text: str) -> np.ndarray:
        return PROMPT if text == "prompt" else CAPTION


def test_the_metric_takes_prompt_and_caption() -> None:
    tracks = make_tracks(np.zeros((3, 4, 2)))
    base = make_sample(tracks, tracks)
    sample = Sample(base.generated, base.reference, "prompt", "caption", "", "", base.tracks)
    metric: Any = AppearanceLeak(Embedder())  # type: ignore[arg-type]
    assert isinstance(metric, Metric)
    assert metric.measure(sample).value == pytest.approx(0, abs=1e-6)
    same = Sample(base.generated, base.reference, "caption", "caption", "", "", base.tracks)
    assert metric.measure(same).value is None
    assert "nothing can leak" in metric.measure(same).note


def grid_tracks(path: np.ndarray, radius: float = 9.0) -> Tracks:
    grid = grid_queries(64, 64, 16).astype(np.float64)
    points = np.repeat(grid[:, None], len(path), axis=1)
    points[np.hypot(grid[:, 0] - 20, grid[:, 1] - 32) < radius] += path
    return Tracks(points.astype(np.float32), np.ones(points.shape[:2], bool), 64, 64)


def clips_sample(generated: np.ndarray, reference: np.ndarray, path: np.ndarray, radius: float = 9.0) -> Sample:
    return Sample(Clip(generated, 8.0), Clip(reference, 8.0), "p", "c", "", "", lambda clip: grid_tracks(path, radius))


RIGHT = np.stack([np.linspace(0, 24, 9), np.zeros(9)], axis=-1)


def test_the_background_is_where_nothing_moves() -> None:
    frames = np.zeros((9, 64, 64, 3), np.uint8)
    mask = background_mask(clips_sample(frames, frames, RIGHT))
    assert mask is not None
    assert not mask[0, 32, 20]
    assert not mask[8, 32, 44]
    assert mask[0, 32, 56]
    assert mask[:, 4].all()


def test_under_a_moving_camera_there_is_no_background_to_compare() -> None:
    frames = np.zeros((9, 64, 64, 3), np.uint8)
    assert background_mask(clips_sample(frames, frames, RIGHT, radius=999)) is None


class Net:
    """A stand-in for the perceptual net: mean absolute difference per pixel."""

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).abs().mean(1, keepdim=True)


def test_background_distance_counts_the_background_only() -> None:
    reference = np.full((9, 64, 64, 3), 100, np.uint8)
    other_thing = reference.copy()
    other_thing[:, 28:37, 16:48] = 255  # where the thing is, all along its way
    metric = BackgroundLpips(Net(), "cpu")
    covered = clips_sample(other_thing, reference, RIGHT)
    assert metric.measure(covered).value < 0.2 * metric.measure(clips_sample(reference + 55, reference, RIGHT)).value
    assert metric.measure(clips_sample(reference, reference, RIGHT)).value == 0
    assert metric.measure(clips_sample(reference, reference, RIGHT, radius=999)).value is None


def test_without_the_extra_the_pip_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    appearance._perceptual_net.cache_clear()
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'motionbench-transfer\[lpips\]'"):
        BackgroundLpips.create(MetricRuntime())
