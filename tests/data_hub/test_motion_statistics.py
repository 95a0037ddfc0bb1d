"""Motion statistics against motions whose size is known: warps of one picture, and patches over it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from motionbench.data_cards.checks.motion import fit_similarity, measure_motion
from small_split import texture

from motionbench.clip import Clip

SIDE, LENGTH = 96, 13
DIAGONAL = np.hypot(SIDE, SIDE)
PICTURE = texture(3, 256).astype(np.uint8)


def warped(step: np.ndarray, fps: float = 8.0, frames: int = LENGTH) -> Clip:
    """The middle of a picture under a motion (2, 3) about its center, repeated each frame."""
    move, shown = np.vstack([step, [0, 0, 1]]), []
    to_center, back = np.eye(3), np.eye(3)
    to_center[:2, 2], back[:2, 2] = -127.5, 127.5
    for t in range(frames):
        whole = back @ np.linalg.matrix_power(move, t) @ to_center
        frame = cv2.warpAffine(PICTURE, whole[:2], (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        shown.append(frame[80 : 80 + SIDE, 80 : 80 + SIDE])
    return Clip(np.stack(shown), fps)


def similarity(tx: float = 0, ty: float = 0, zoom: float = 0, roll: float = 0) -> np.ndarray:
    return np.array([[1 + zoom, -roll, tx], [roll, 1 + zoom, ty]])


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("pan", similarity(tx=-1.5)),
        ("tilt", similarity(ty=1.5)),
        ("zoom", similarity(zoom=0.03)),
        ("roll", similarity(roll=0.04)),
        ("static", similarity()),
        ("mixed", similarity(tx=1.0, ty=1.0)),
    ],
)
def test_a_plain_camera_motion_is_named_and_nothing_else_moves(kind: str, step: np.ndarray) -> None:
    seen = measure_motion(warped(step))
    assert seen.camera_class == kind
    assert seen.moving_area < 0.02


def test_the_speed_of_a_pan_is_in_percent_of_the_diagonal_per_frame() -> None:
    assert measure_motion(warped(similarity(tx=2.0))).camera_speed == pytest.approx(200 / DIAGONAL, rel=0.03)


def test_a_tremor_that_gets_nowhere_is_called_shake() -> None:
    frames = [PICTURE[80 + dy : 80 + dy + SIDE, 80 + dx : 80 + dx + SIDE]
              for dx, dy in np.random.default_rng(0).integers(-3, 4, (LENGTH, 2))]  # fmt: skip
    assert measure_motion(Clip(np.stack(frames), 8.0)).camera_class == "shake"


@pytest.mark.parametrize("speed", [1.5, 3.0])
def test_a_patch_over_a_moving_picture_is_told_from_it(speed: float) -> None:
    clip = warped(similarity(tx=1.0))
    frames = clip.frames.copy()
    for t in range(LENGTH):
        y = 10 + round(speed * t)
        frames[t, y : y + 24, 30:54] = texture(9)[:24, :24]
    seen = measure_motion(Clip(frames, 8.0))
    assert seen.camera_class == "pan"
    assert seen.moving_area == pytest.approx((24 / SIDE) ** 2, rel=0.6)
    # Against the background it moves by speed downwards and one pixel to the left. Dense flow is smooth: around the
    # patch it fades out, which lowers the median by up to a quarter.
    assert seen.object_speed == pytest.approx(100 * np.hypot(speed, 1.0) / DIAGONAL, rel=0.3)


def test_one_motion_filmed_at_two_rates_has_one_speed_per_second() -> None:
    clips = [warped(similarity(tx=2.0 * 8 / fps), fps, 1 + 12 * int(fps) // 8) for fps in (8.0, 24.0)]
    found = [measure_motion(clip) for clip in clips]
    assert {seen.camera_class for seen in found} == {"pan"}
    per_second = [seen.camera_speed * clip.fps for seen, clip in zip(found, clips, strict=True)]
    assert per_second == pytest.approx([per_second[0]] * 2, rel=0.05)


def test_the_fitted_camera_is_exact_and_does_not_follow_a_minority() -> None:
    y, x = np.mgrid[-40:41:4, -40:41:4].astype(np.float32)
    points = np.stack([x, y], axis=-1)
    flow = np.stack([1.5 + 0.02 * x - 0.03 * y, -0.5 + 0.02 * y + 0.03 * x], axis=-1).astype(np.float32)
    weights = np.ones(points.shape[:2], np.float32)
    np.testing.assert_allclose(fit_similarity(points, flow, weights), [1.5, -0.5, 0.02, 0.03], atol=1e-5)
    flow[2:9, 3:12] = [-6.0, 5.0]  # a seventh of the picture goes its own way
    np.testing.assert_allclose(fit_similarity(points, flow, weights), [1.5, -0.5, 0.02, 0.03], atol=2e-3)
