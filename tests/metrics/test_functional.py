"""The metrics as functions: what the classes answer on the same tracks and embeddings, and what cannot be measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from motionbench.metrics import functional as F
from motionbench.metrics import trajectory_error
from motionbench.metrics.appearance import AppearanceLeak
from motionbench.metrics.temporal import TemporalConsistency, TemporalGap
from motionbench.metrics.text_alignment import TextAlignment
from plain_motion import HEIGHT, WIDTH, make_sample, make_tracks, still_clip, straight, wandering

from motionbench import registry
from motionbench.errors import ShapeError
from motionbench.metric import MetricRuntime, Sample
from motionbench.tracks import Tracks

SIZE = (HEIGHT, WIDTH)
WITH_MASKS = ("motion_fidelity", "camera_agreement", "speed_ratio", "motion_smoothness")
LEGACY = ("motion_fidelity_smm", "motion_fidelity_released", "motion_fidelity_det")


def hidden(points: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(points.shape[:2]) > 0.1


PAN = straight(40, 9, (6.0, 2.0))
CASES = {
    "alike": (straight(40, 9, (6.0, 2.0), seed=1), PAN),
    "unlike": (wandering(40, 9, 3), PAN),
    "still": (straight(40, 9, (0.0, 0.0)), PAN),
    "still reference": (PAN, straight(40, 9, (0.0, 0.0))),
    "one frame": (PAN[:, :1], PAN[:, :1]),
    "no tracks": (PAN[:0], PAN),
}


def answer(name: str, generated: Tracks, reference: Tracks) -> float | None:
    value: float | None = (
        registry.load("metrics", name).create(MetricRuntime()).measure(make_sample(generated, reference)).value
    )
    return value


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", WITH_MASKS)
def test_functions_of_tracks_answer_as_their_metrics(name: str, case: str) -> None:
    generated, reference = CASES[case]
    seen = hidden(generated, 1), hidden(reference, 2)
    expected = answer(name, make_tracks(generated, seen[0]), make_tracks(reference, seen[1]))
    assert getattr(F, name)(generated, reference, SIZE, visible=seen) == expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", LEGACY)
def test_the_published_formulas_answer_as_their_metrics(name: str, case: str) -> None:
    generated, reference = CASES[case]
    expected = answer(name, make_tracks(generated), make_tracks(reference))
    size = (SIZE,) if name.endswith("det") else ()
    assert getattr(F, name)(generated, reference, *size) == expected


@pytest.mark.parametrize("case", CASES)
def test_dynamic_degree_answers_as_its_metric(case: str) -> None:
    generated, reference = CASES[case]
    seen = hidden(generated, 1)
    expected = answer("dynamic_degree", make_tracks(generated, seen), make_tracks(reference))
    assert F.dynamic_degree(generated, SIZE, visible=seen) == expected


def test_trajectory_error_answers_as_its_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = np.repeat(np.random.default_rng(0).uniform([0, 0], [WIDTH, HEIGHT], (400, 2))[:, None], 9, axis=1)
    thing = (abs(scene[:, 0] - [400, 240]) < 90).all(axis=1)
    made = scene.copy()
    scene[thing] += np.arange(9)[:, None] * [8.0, 0.0]
    made[thing] += np.arange(9)[:, None] * [0.0, 8.0]
    monkeypatch.setattr(trajectory_error, "_true_tracks", lambda sample: make_tracks(scene))
    expected = answer("trajectory_error", make_tracks(made), make_tracks(scene))
    assert expected is not None
    assert expected > 1
    assert F.trajectory_error(made, scene, SIZE) == expected
    assert F.trajectory_error(made, np.repeat(scene[:, :1], 9, axis=1), SIZE) is None


class Embedder:
    """Stands for an image-text model: unit vectors that depend on what it is shown."""

    label = "fake"

    def frames(self, clip: Any) -> np.ndarray:
        return unit(np.random.default_rng(int(clip.frames[0, 0, 0, 0])).normal(1, 1, (len(clip), 8)))

    def text(self, text: str) -> np.ndarray:
        return unit(np.random.default_rng(len(text)).normal(1, 1, 8))

    def cannot_read(self, text: str) -> str:
        return ""

    def name_unknown(self, text: str) -> str:
        return ""

    def count_tokens(self, text: str) -> tuple[int, bool]:
        return len(text), False


def unit(x: np.ndarray) -> np.ndarray:
    y: np.ndarray = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    return y


def test_functions_of_embeddings_answer_as_their_metrics() -> None:
    embedder: Any = Embedder()
    sample = Sample(still_clip(5, 1), still_clip(5, 2), "a dog", "a red ball", "", "", lambda clip: make_tracks(PAN))
    made, true = embedder.frames(sample.generated), embedder.frames(sample.reference)
    prompt, caption = embedder.text(sample.prompt), embedder.text(sample.caption)
    assert F.text_alignment(made, prompt) == TextAlignment(embedder).measure(sample).value
    assert F.temporal_consistency(made) == TemporalConsistency(embedder).measure(sample).value
    assert F.temporal_gap(made, true) == TemporalGap(embedder).measure(sample).value
    assert F.appearance_leak(made, true, prompt, caption) == AppearanceLeak(embedder).measure(sample).value
    assert F.temporal_consistency(made[:1]) is None
    assert F.temporal_gap(made, true[:1]) is None
    assert F.appearance_leak(made, true, prompt, prompt) is None


def test_every_metric_of_tracks_or_embeddings_is_a_function() -> None:
    ours = {
        name for name in registry.names("metrics") if registry.load("metrics", name).__module__.startswith("motion")
    }
    other_models = {  # text_alignment, temporal_consistency and _gap, with embeddings of another model
        "text_alignment_b32", "text_alignment_l14", "temporal_consistency_efficientnet", "temporal_gap_efficientnet"
    }  # fmt: skip
    assert ours - set(F.__all__) - other_models == {"background_lpips"}  # has a network of its own, on pixels


def test_wrong_shapes_say_what_was_expected() -> None:
    with pytest.raises(ShapeError, match=r"points \(N, T, 2\)"):
        F.speed_ratio(np.zeros((3, 4)), PAN, SIZE)
    with pytest.raises(ShapeError, match=r"visible \(N, T\)"):
        F.camera_agreement(PAN, PAN, SIZE, visible=(np.ones((1, 9)), np.ones((40, 9))))
    with pytest.raises(ShapeError, match=r"\(T, D\) unit vectors"):
        F.temporal_consistency([1.0, 0.0])
    with pytest.raises(ShapeError, match=r"\(D,\) unit vectors"):
        F.text_alignment([[1.0, 0.0]], [[1.0, 0.0]])
