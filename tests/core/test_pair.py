"""One geometry: a perfect transfer at any aspect, size and length is compared with what it was made from."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from moving_texture import moving_texture
from small_world import make_clip, make_metric

from motionbench import registry
from motionbench.backbone import make_backbone
from motionbench.clip import Clip
from motionbench.errors import ShapeError
from motionbench.method import Runtime
from motionbench.metric import Measurement, MetricRuntime
from motionbench.pair import SHAPE, ScoringShape, View, measure, to_pair, to_sample, to_shape
from motionbench.track_cache import TrackCache

# Height, width. The first of each as a reference has it, the second as a backbone makes it.
ASPECTS = {
    "16:9": ((108, 192), (64, 112)),
    "9:16": ((192, 108), (112, 64)),
    "1:1": ((128, 128), (64, 64)),
    "4:3": ((120, 160), (96, 128)),
    "2.39:1": ((100, 240), (80, 192)),
}


@pytest.fixture
def tracks(tmp_path: Path) -> TrackCache:
    return TrackCache("lk", device="cpu", grid=SHAPE.grid, folder=tmp_path)


def fidelity(generated: Clip, reference: Clip, tracks: TrackCache) -> float:
    metric = registry.load("metrics", "motion_fidelity").create(MetricRuntime())
    value = metric.measure(to_sample(generated, reference, tracks)).value
    assert value is not None
    return float(value)


@pytest.mark.parametrize(("shown", "made"), list(product(ASPECTS, ASPECTS)))
def test_what_a_backbone_is_handed_lies_on_its_reference_at_every_aspect(shown: str, made: str) -> None:
    reference = moving_texture("roll", *ASPECTS[shown][0], frames=3)
    generated, seen = to_pair(to_shape(reference, 3, *ASPECTS[made][1]), reference)
    assert generated.frames.shape == seen.frames.shape
    off = np.abs(generated.frames.astype(int) - seen.frames)[:, 4:-4, 4:-4].mean()
    moved = np.abs(seen.frames[1:].astype(int) - seen.frames[:-1])[:, 4:-4, 4:-4].mean()
    assert off < 0.15 * moved  # what scaling down and up costs; half a pixel of shift would be more


@pytest.mark.parametrize(("shown", "made"), [(17, 17), (17, 81), (60, 81), (100, 81), (49, 17), (50, 16), (300, 9)])
def test_sampled_frames_meet_the_frames_that_they_were_taken_from(shown: int, made: int) -> None:
    numbers = np.arange(shown, dtype=np.uint16)
    frames = np.zeros((shown, 2, 2, 3), np.uint8)
    frames[..., 0], frames[..., 1] = (numbers % 256)[:, None, None], (numbers // 256)[:, None, None]
    reference = Clip(frames, 24.0)
    generated, seen = to_pair(reference.sample(made), reference)
    np.testing.assert_array_equal(generated.frames, seen.frames)
    assert len(seen) == min(shown, made, SHAPE.frames)


def test_clip_of_two_frames_gains_nothing_by_its_shortness() -> None:
    reference = make_clip(0, frames=24)
    generated, seen = to_pair(reference.sample(2), reference)
    assert len(generated) == len(seen) == SHAPE.fewest
    assert len(np.unique(generated.frames.reshape(SHAPE.fewest, -1), axis=0)) == 2


def test_clips_of_one_shape_are_compared_as_they_are() -> None:
    clips = make_clip(1, 17, 64, 64), make_clip(2, 17, 64, 64)
    pair = to_pair(*clips)
    assert all(one is other for one, other in zip(pair, clips, strict=True))


def test_reference_alone_gives_the_scale() -> None:
    reference = make_clip(0, frames=2, height=1080, width=1920)
    for height, width, scored in ((64, 64, (468, 468)), (480, 832, (468, 811)), (1080, 1920, (468, 832))):
        view = View.of(make_clip(0, 2, height, width), reference)
        assert (view.height, view.width) == scored


@pytest.mark.parametrize("motion", ["roll", "pan"])
def test_transfer_of_a_wide_clip_by_a_square_backbone_scores_like_the_copy(motion: str, tracks: TrackCache) -> None:
    # 0.77 and 0.90 when the backbone stretched and the scorer cropped.
    backbone = make_backbone(Runtime())
    reference = moving_texture(motion, 108, 192, frames=24)
    copied = fidelity(reference, reference, tracks)
    assert fidelity(backbone.prepare(reference), reference, tracks) == pytest.approx(copied, abs=0.02)


def test_backward_transfer_of_another_aspect_scores_as_backwards(tracks: TrackCache) -> None:
    reference = moving_texture("pan", 108, 192)
    made = to_shape(reference, 17, 112, 64)
    assert fidelity(made.with_frames(made.frames[::-1].copy()), reference, tracks) < -0.95


@pytest.mark.slow
@pytest.mark.parametrize(("shown", "made"), list(product(ASPECTS, ASPECTS)))
@pytest.mark.parametrize(("frames", "kept"), [(40, 17), (17, 33)])
@pytest.mark.parametrize("motion", ["roll", "pan"])
def test_perfect_transfer_scores_like_the_copy(
    shown: str, made: str, frames: int, kept: int, motion: str, tmp_path: Path
) -> None:
    # Not `lk`: it loses points at the edge of a coarser clip (0.968 for a pan of 2.39:1 in 16:9, and all others hold).
    tracks = TrackCache("tiny", device="cpu", grid=SHAPE.grid, folder=tmp_path)
    reference = moving_texture(motion, *ASPECTS[shown][0], frames=frames)
    copied = fidelity(reference, reference, tracks)
    transfer = to_shape(reference, kept, *ASPECTS[made][1])
    assert fidelity(transfer, reference, tracks) == pytest.approx(copied, abs=0.02)


def test_measurement_that_fails_is_a_null_that_names_the_error() -> None:
    def fail(sample: object) -> Measurement:
        raise ShapeError("too small")

    sample = to_sample(make_clip(0), make_clip(0), lambda clip: None)
    made = measure(make_metric(fail, "fails").create(MetricRuntime()), sample)
    assert (made.value, made.note, made.details) == (None, "ShapeError: too small", {"error": "ShapeError"})


@pytest.mark.parametrize(
    ("reference", "scored"),
    [
        ((17, 64, 64), (17, 64, 64)),  # the embedded world: as it is
        ((81, 480, 832), (49, 480, 832)),
        ((81, 1080, 1920), (49, 468, 832)),
        ((20, 1920, 1080), (20, 832, 468)),
    ],
)
def test_scoring_shape_follows_the_reference_within_limits(
    reference: tuple[int, int, int], scored: tuple[int, int, int]
) -> None:
    clip = Clip(np.zeros((*reference[:1], 1, 1, 3), np.uint8), 8.0)
    object.__setattr__(clip, "frames", np.broadcast_to(clip.frames, (*reference, 3)))  # no need for the memory
    assert ScoringShape().of(clip) == scored
