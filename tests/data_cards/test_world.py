"""The procedural world: what it draws, and that its ground truth is the truth of what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from motionbench.data_cards.world.procedural import ProceduralWorld
from motionbench.data_cards.world.rendering import FRAMES, Shots, render, track
from motionbench.data_cards.world.shapes import ATLAS_SHAPES, atlas

from motionbench.world import Batch, World

BATCH, POINTS = 24, 40


@pytest.fixture(scope="module")
def batch() -> Batch:
    torch.set_num_threads(1)
    return ProceduralWorld().sample(BATCH, seed=11, device="cpu", points=POINTS)


def make_shots(shape: str = "square", layers: int = 1) -> Shots:
    """One still clip: layers of one shape, radius 0.3, in the middle of the frame; scene 0, camera at rest."""
    return Shots(
        camera=torch.zeros(1, FRAMES, 4, dtype=torch.float64),
        scene=torch.zeros(1, dtype=torch.long),
        shape=torch.full((1, layers), ATLAS_SHAPES.index(shape)),
        color=torch.ones(1, layers, 3, dtype=torch.float64),
        center=torch.zeros(1, FRAMES, layers, 2, dtype=torch.float64),
        angle=torch.zeros(1, FRAMES, layers, dtype=torch.float64),
        size=torch.full((1, FRAMES, layers, 2), 0.3, dtype=torch.float64),
        parallax=torch.ones(1, layers, dtype=torch.float64),
        active=torch.ones(1, layers, dtype=torch.bool),
        rim=torch.ones(1, layers, dtype=torch.float64),
        extent=2.0,
    )


def follow(shots: Shots, x: float, y: float) -> tuple[np.ndarray, np.ndarray, int]:
    """The track, visibility and owner of one first-frame point, in pixels."""
    points, visible, owner = track(shots, torch.tensor([[[x, y]]], dtype=torch.float64))
    return points[0, 0].numpy(), visible[0, 0].numpy(), int(owner[0, 0])


def test_the_world_keeps_its_protocol_and_shapes(batch: Batch) -> None:
    world = ProceduralWorld()
    assert isinstance(world, World)
    assert batch.frames.shape == (BATCH, world.frames, 3, world.height, world.width)
    assert batch.frames.dtype == torch.float32
    assert batch.frames.min() >= 0
    assert batch.frames.max() <= 1
    assert batch.points.shape == (BATCH, POINTS, FRAMES, 2)
    assert batch.visible.shape == (BATCH, POINTS, FRAMES)
    assert batch.background.shape == (BATCH, POINTS)
    assert {labels["category"] for labels in batch.labels} == {"single_object", "multi_object", "camera", "human"}


def test_the_same_seed_gives_the_same_clips_and_another_seed_others(batch: Batch) -> None:
    world = ProceduralWorld()
    again = world.sample(BATCH, seed=11, device="cpu", points=POINTS)
    assert again.captions == batch.captions
    assert torch.equal(again.frames, batch.frames)
    assert torch.equal(again.points, batch.points)
    assert world.sample(4, seed=12, device="cpu").captions != batch.captions[:4]


def test_captions_use_the_vocabulary_only(batch: Batch) -> None:
    words = set(ProceduralWorld().vocabulary())
    assert len(words) <= 80
    assert {word for caption in batch.captions for word in caption.split()} <= words
    for caption, labels in zip(batch.captions, batch.labels, strict=True):
        assert all(labels[key] in caption for key in ("scene", "color", "shape"))
        assert labels["motion"] is None or labels["motion"] in caption


def test_queries_start_where_they_are_and_are_seen_there(batch: Batch) -> None:
    assert torch.allclose(batch.points[:, :, 0], batch.queries, atol=1e-3)
    assert batch.visible[:, :, 0].all()
    assert 0.3 < batch.background.float().mean() < 0.7


def test_a_visible_point_keeps_its_color_and_a_hidden_one_does_not(batch: Batch) -> None:
    grid = ((batch.points.transpose(1, 2) + 0.5) / 32 - 1).flatten(0, 1)[:, :, None]
    seen = F.grid_sample(batch.frames.flatten(0, 1), grid, align_corners=False)[..., 0]
    seen = seen.reshape(BATCH, FRAMES, 3, POINTS)
    change = (seen - seen[:, :1]).abs().mean(2).transpose(1, 2)
    inside = ((batch.points > 0) & (batch.points < 63)).all(-1)
    assert change[batch.visible].mean() < 0.03  # what re-sampling a moving texture costs
    assert change[~batch.visible & inside].mean() > 0.1


def test_a_shifted_object_carries_its_points_and_leaves_the_scene() -> None:
    shots = make_shots()
    shots.center[0, :, 0, 0] = torch.linspace(-0.4, 0.4, FRAMES, dtype=torch.float64)
    on_object, visible, owner = follow(shots, 31.5 - 0.4 * 32 + 3, 33.0)
    assert owner == 0
    assert visible.all()
    assert on_object[-1] - on_object[0] == pytest.approx((0.8 * 32, 0.0))
    on_scene, seen, owner = follow(shots, 31.5, 31.5)
    assert owner == -1
    assert on_scene[-1] == pytest.approx(on_scene[0])
    assert not seen[FRAMES // 2]  # the object stands before it
    assert seen[0]
    assert seen[-1]


@pytest.mark.parametrize(
    ("channel", "value", "start", "end"),
    [
        (0, 0.25, (40.0, 20.0), (32.0, 20.0)),  # the camera goes right, the scene left: 0.25 * 32 pixels
        (1, -0.5, (40.0, 20.0), (40.0, 36.0)),
        (2, np.log(2.0), (41.5, 26.5), (51.5, 21.5)),  # away from the center (31.5, 31.5) by twice
        (3, np.pi / 2, (41.5, 31.5), (31.5, 41.5)),  # a quarter turn clockwise, y down
    ],
)
def test_camera_moves_take_scene_points_where_geometry_says(
    channel: int, value: float, start: tuple[float, float], end: tuple[float, float]
) -> None:
    shots = make_shots()
    shots.active[:] = False
    shots.camera[0, :, channel] = torch.linspace(0, value, FRAMES, dtype=torch.float64)
    path, _, _ = follow(shots, *start)
    assert path[-1] == pytest.approx(end)


def test_the_layer_in_front_hides_the_one_behind() -> None:
    shots = make_shots(layers=2)
    shots.center[0, :, 1, 0] = torch.linspace(1.2, 0.0, FRAMES, dtype=torch.float64)
    _, visible, owner = follow(shots, 31.5, 31.5)
    assert owner == 0
    assert visible[0]
    assert not visible[-1]
    _, visible, owner = follow(make_shots(layers=2), 31.5, 31.5)
    assert owner == 1
    assert visible.all()


def test_points_that_leave_the_frame_are_tracked_on_but_not_visible() -> None:
    shots = make_shots()
    shots.center[0, :, 0, 0] = torch.linspace(0.0, 1.5, FRAMES, dtype=torch.float64)
    path, visible, _ = follow(shots, 31.5, 31.5)
    assert path[-1, 0] == pytest.approx(31.5 + 48)
    assert visible[0]
    assert not visible[-1]


def test_what_is_drawn_lies_where_its_points_lie() -> None:
    shots = make_shots("ball")
    shots.color[:] = torch.tensor([1.0, 0.0, 1.0])  # no scene has this color
    shots.center[0, :, 0] = torch.stack(
        [torch.linspace(-0.5, 0.5, FRAMES), torch.linspace(0.3, -0.2, FRAMES)], -1
    ).double()
    frames = render(shots, np.random.default_rng(0))[0]
    magenta = (frames[:, 0] + frames[:, 2] - 2 * frames[:, 1]).clamp(min=0.3) - 0.3
    where = torch.arange(64, dtype=torch.float64)
    x = (magenta.sum(1) * where).sum(-1) / magenta.sum((1, 2))
    y = (magenta.sum(2) * where).sum(-1) / magenta.sum((1, 2))
    center = (shots.center[0, :, 0] + 1) * 32 - 0.5
    assert torch.stack([x, y], -1).numpy() == pytest.approx(center.numpy(), abs=0.8)


def test_silhouettes_are_distances_with_a_fair_area() -> None:
    held = atlas()
    slope = np.hypot(*np.gradient(held[0], 2 * 1.4 / 64))
    assert np.median(slope) == pytest.approx(1.0, abs=0.02)  # the ball's distance rises by one per unit
    assert ((held[:8] < 0).mean((1, 2)) > 0.1).all()
    assert (held[:, 0] > 0).all()
    assert (held[:, :, 0] > 0).all()


def test_float64_frames_do_not_depend_on_the_batch() -> None:
    shots = make_shots("star")
    frames = render(shots, np.random.default_rng(3))
    again = render(shots.to("cpu", torch.float64), np.random.default_rng(3))
    assert torch.equal(frames, again)
