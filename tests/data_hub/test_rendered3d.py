"""The rendered 3D split: its geometry and captured motion alone, and whole clips where pybullet is installed."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motionbench.data_cards.checks import Severity, check_split
from motionbench.data_cards.hub.card_check import check_card
from motionbench.data_cards.reconstruction.building3d import CARD, build_rendered, scene_cases
from motionbench.data_cards.reconstruction.camera3d import FAR, NEAR, Camera, buffer_to_distance, quaternion_to_matrix
from motionbench.data_cards.reconstruction.mocap import NUMBERS, read_motion, slerp
from motionbench.data_cards.reconstruction.renderer3d import Rendered, native_prints_to_stderr, render_scene
from motionbench.data_cards.reconstruction.scenes3d import FRAMES, list_scenes

from motionbench.clip import Clip
from motionbench.errors import ManifestError, MissingExtra

HEIGHT, WIDTH = 120, 208


def test_a_point_on_the_line_of_sight_is_at_the_center_and_right_and_up_are_so() -> None:
    camera = Camera(np.array([0.0, 1.0, 5.0]), np.array([0.0, 1.0, 0.0]))
    points = np.array([[0, 1, 0], [1, 1, 0], [0, 2, 0]], dtype=float)
    pixels, distance = camera.project(points, HEIGHT, WIDTH)
    center = [(WIDTH - 1) / 2, (HEIGHT - 1) / 2]
    reach = HEIGHT / 2 / np.tan(np.radians(22.5)) / 5  # one meter at five meters, in pixels
    np.testing.assert_allclose(
        pixels, [center, [center[0] + reach, center[1]], [center[0], center[1] - reach]], atol=1e-9
    )
    np.testing.assert_allclose(distance, [5, 5, 5])


def test_a_rolled_camera_turns_the_picture_the_other_way() -> None:
    camera = Camera(np.array([0.0, 1.0, 5.0]), np.array([0.0, 1.0, 0.0]), roll=np.pi / 2)
    (pixel,), _ = camera.project(np.array([[1.0, 1.0, 0.0]]), HEIGHT, WIDTH)
    assert pixel[0] == pytest.approx((WIDTH - 1) / 2)
    assert pixel[1] > (HEIGHT - 1) / 2 + 10


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_unprojection_undoes_projection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    camera = Camera(
        rng.uniform([-3, -3, 5], [3, 3, 11]), rng.uniform(-1, 1, 3), rng.uniform(-1, 1), rng.uniform(20, 80)
    )
    points = rng.uniform(-2, 2, (5, 3))
    pixels, distance = camera.project(points, HEIGHT, WIDTH)
    np.testing.assert_allclose(camera.unproject(pixels, distance, HEIGHT, WIDTH), points, atol=1e-9)


def test_a_depth_buffer_becomes_distances_and_ends_at_the_planes() -> None:
    matrix = Camera(np.array([0.0, 0.0, 1.0]), np.zeros(3)).projection(1.0)
    for distance in (NEAR, 1.0, 7.5, FAR):
        clip = matrix @ [0, 0, -distance, 1]
        assert buffer_to_distance(np.array((clip[2] / clip[3] + 1) / 2)) == pytest.approx(distance)


def test_quaternions_turn_as_they_say() -> None:
    half = np.sqrt(0.5)
    np.testing.assert_allclose(quaternion_to_matrix(np.array([0, half, 0, half])) @ [0, 0, 1], [1, 0, 0], atol=1e-12)


def turn_y(angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), 0, np.sin(angle / 2), 0])  # w x y z


def test_rotations_are_interpolated_along_the_shortest_arc() -> None:
    for sign in (1, -1):  # q and -q are one rotation
        x, y, z, w = slerp(turn_y(0.2), sign * turn_y(1.0), 0.25)
        assert 2 * np.arctan2(y, w) == pytest.approx(0.4)
        assert (x, z) == pytest.approx((0, 0))


def write_motion(path: Path, loop: str = "wrap") -> Path:
    rows = [[0.1, 0.5 * i, 0.9, 0.0, *turn_y(0), *np.tile([1.0, 0, 0, 0], 1)] for i in range(3)]
    rest = [1, 0, 0, 0, 1, 0, 0, 0, 0.3, 1, 0, 0, 0, 1, 0, 0, 0, 0.2, 1, 0, 0, 0, 0.3, 1, 0, 0, 0, 1, 0, 0, 0, 0.2]
    path.write_text(json.dumps({"Loop": loop, "Frames": [[*row, *rest] for row in rows]}))
    return path


def test_a_motion_that_wraps_goes_on_and_another_one_holds(tmp_path: Path) -> None:
    wraps, holds = (read_motion(write_motion(tmp_path / loop, loop)) for loop in ("wrap", "none"))
    assert wraps.values.shape == (3, NUMBERS - 1)
    assert wraps.seconds == pytest.approx(0.2)
    assert wraps.pose(0.05).position == pytest.approx([0.25, 0.9, 0])
    assert wraps.pose(0.45).position == pytest.approx([2.25, 0.9, 0])
    assert holds.pose(0.45).position == pytest.approx([1.0, 0.9, 0])
    assert wraps.pose(0.1).joints[10] == pytest.approx([0.3])


@pytest.mark.parametrize("text", ["", "[]", '{"Loop": "wrap", "Frames": [[1, 2], [3, 4]]}', '{"Loop": "wrap"}'])
def test_a_file_that_is_no_motion_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(ManifestError):
        read_motion(tmp_path / "bad.txt")


def test_there_are_ten_scenes_of_camera_and_of_human_motion_and_no_prompt_twice() -> None:
    scenes = list_scenes()
    assert min(sum(s.category == c for s in scenes) for c in ("camera", "human")) >= 10
    texts = [text for s in scenes for text in (s.caption, s.subject, s.scene)]
    assert len(set(texts)) == len(texts)
    assert len({s.id for s in scenes}) == len(scenes)


def test_every_camera_path_moves_and_stays_in_the_room() -> None:
    for scene in list_scenes()[:10]:
        cameras = [scene.camera(t) for t in range(FRAMES)]
        rows = np.array([[*c.eye, *c.target, c.roll, c.fov] for c in cameras])
        assert np.ptp(rows, axis=0).max() > 0.05, scene.kind
        assert np.abs(np.diff(rows, axis=0)[:, :7]).max() < 0.2, scene.kind  # no jumps
        assert (np.abs(rows[:, [0, 2]]) < 6.9).all()
        json.dumps(scene.to_json())


def test_the_card_is_valid_and_the_cases_are_three() -> None:
    card = CARD.format(camera=10, human=11, frames=81, width=832, height=480, fps=24.0)
    assert check_card(card, configs=False) == []
    assert [case.level for case in scene_cases(list_scenes()[0], "0" * 64)] == ["caption", "subject", "scene"]


def test_without_pybullet_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pybullet", None)
    with pytest.raises(MissingExtra, match=r"motionbench-transfer\[render\]"):
        build_rendered(tmp_path / "out")
    assert not list(tmp_path.rglob("*.mp4"))


def test_what_native_code_prints_does_not_mix_with_results(capfd: pytest.CaptureFixture[str]) -> None:
    library = ctypes.CDLL(None)
    with native_prints_to_stderr():
        library.puts(b"a warning")
    sys.stdout.write("a result\n")
    sys.stdout.flush()
    library.fflush(None)
    out, err = capfd.readouterr()
    assert (out, err) == ("a result\n", "a warning\n")


@pytest.mark.minimums
@pytest.mark.slow
def test_rendered_clips_have_tracks_that_stay_on_what_they_show(tmp_path: Path) -> None:
    pytest.importorskip("pybullet")
    scenes = [scene for scene in list_scenes() if scene.kind in ("orbit", "zoom", "walk", "cartwheel")]
    out = tmp_path / "motionbench3d"
    build_rendered(out, height=HEIGHT, width=WIDTH, frames=41, scenes=scenes)
    errors = [str(f) for f in check_split(out) if f.severity is Severity.ERROR]
    assert errors == []
    for scene in scenes:
        clip = Clip.read(out / f"references/{scene.id}.mp4")
        with np.load(out / f"references/{scene.id}.truth.npz") as held:
            points, visible = held["points"], held["visible"]
        assert visible[:, 0].mean() > 0.99
        if scene.category == "camera":  # the figure's limbs are plain: color does not say where on them a point is
            assert color_error(clip, points, visible, 0) < 0.6 * color_error(clip, points, visible, 5), scene.kind


@pytest.mark.minimums
@pytest.mark.slow
def test_enough_points_lie_on_the_figure() -> None:
    pytest.importorskip("pybullet")
    walk = next(scene for scene in list_scenes() if scene.kind == "walk")
    made = render_scene(walk, HEIGHT, WIDTH, frames=9)
    travel = np.linalg.norm(made.points[:, -1] - made.points[:, 0], axis=1)
    assert (travel > 2).sum() > 150  # of a grid of 960 alone, about 20
    assert (travel[:960] > 2).sum() < 40


@pytest.mark.minimums
@pytest.mark.slow
def test_at_full_size_tracks_agree_with_the_cameras_and_with_the_pictures() -> None:
    pytest.importorskip("pybullet")
    orbit = next(scene for scene in list_scenes() if scene.kind == "orbit")
    made = render_scene(orbit, 480, 832, frames=7)
    assert reprojection_error(made) < 0.001  # points are float32
    gray = [frame.mean(axis=2).astype(np.uint8) for frame in made.clip.frames]
    errors = []
    for t in range(len(gray) - 1):
        seen = made.visible[:, t] & made.visible[:, t + 1]
        start = np.ascontiguousarray(made.points[seen, t])
        end, found, _ = cv2.calcOpticalFlowPyrLK(gray[t], gray[t + 1], start, None, winSize=(21, 21), maxLevel=3)
        errors.append(np.linalg.norm(end - made.points[seen, t + 1], axis=1)[found[:, 0] == 1])
    assert np.median(np.concatenate(errors)) < 0.3  # pixels; 0.13 over all 81 frames


def reprojection_error(made: Rendered) -> float:
    """Greatest distance, pixels, of still points from where the cameras put the point that they fit best."""
    height, width = made.clip.height, made.clip.width
    matrices = made.projection @ made.view
    x = (made.points[..., 0] + 0.5) * 2 / width - 1
    y = 1 - (made.points[..., 1] + 0.5) * 2 / height
    worst = 0.0
    for a, b, track in zip(x, y, made.points, strict=True):
        rows = [matrices[:, 0] - a[:, None] * matrices[:, 3], matrices[:, 1] - b[:, None] * matrices[:, 3]]
        point = np.linalg.svd(np.concatenate(rows))[2][-1]  # the direct linear transform
        clip = matrices @ point
        column = (clip[:, 0] / clip[:, 3] + 1) * width / 2 - 0.5
        row = (1 - clip[:, 1] / clip[:, 3]) * height / 2 - 0.5
        worst = max(worst, float(np.abs(np.stack([column, row], axis=1) - track).max()))
    return worst


def color_error(clip: Clip, points: np.ndarray, visible: np.ndarray, shift: int) -> float:
    """Mean difference of the colors at a point in the first and, shifted, in the last frame, where both are seen."""
    last = len(clip) - 1
    first, second = np.round(points[:, 0]).astype(int), np.round(points[:, last]).astype(int) + shift
    inside = visible[:, 0] & visible[:, last]
    for p in (first, second):
        inside &= (p >= 0).all(axis=1) & (p[:, 0] < clip.width) & (p[:, 1] < clip.height)
    a, b = (
        clip.frames[0][first[:, 1] * inside, first[:, 0] * inside],
        clip.frames[last][second[:, 1] * inside, second[:, 0] * inside],
    )
    return float(np.abs(a.astype(float) - b)[inside].mean())
