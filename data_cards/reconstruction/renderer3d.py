"""Rendering on the CPU with pybullet's software renderer: pictures, exact tracks, camera poses; no GPU, no network.

pybullet (zlib) is optional: pip install 'motionbench-transfer[render]'. Its captured motions come from DeepMimic (MIT).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motionbench.case import Category
from motionbench.clip import Clip
from motionbench.errors import MissingExtra

from .camera3d import Camera, buffer_to_distance, quaternion_to_matrix
from .mocap import Motion, read_motion
from .room3d import blocks, pattern
from .scenes3d import FPS, FRAMES, Scene

Floats = NDArray[np.float64]
GRID = 40, 24  # tracked points, across and down
FINE_GRID = 160, 96  # on the figure, which fills a fiftieth of the picture
LOOPS = ("walk",)  # of the motions: it goes on; the others are played once over the clip
SAME_DEPTH = 0.03  # meters: a point is seen if what the renderer drew there is no nearer than this
LINK_BITS = 24  # of a segmentation mask: body below, link above
SCALE = 0.25  # of humanoid.urdf, to meters
LIGHT = (3.0, 6.0, 4.0)


@dataclass(frozen=True, eq=False)
class Rendered:
    """A clip with its truth: points (N, T, 2) in its pixels, visible (N, T), view and projection (T, 4, 4)."""

    clip: Clip
    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    view: Floats
    projection: Floats


@dataclass(frozen=True, eq=False)
class Shot:
    """One drawn frame: rgb (H, W, 3), distance (H, W) in meters, body and link (H, W); -1: nothing there."""

    rgb: NDArray[np.uint8]
    distance: Floats
    body: NDArray[np.int64]
    link: NDArray[np.int64]


class Stage:
    """A room of textured blocks, and in human scenes a figure; use as a context manager."""

    def __init__(self, scene: Scene) -> None:
        try:
            self.bullet: Any = importlib.import_module("pybullet")
            self.data = Path(str(importlib.import_module("pybullet_data").getDataPath()))
        except ImportError as error:
            raise MissingExtra(
                "split motionbench3d needs pybullet; pip install 'motionbench-transfer[render]'"
            ) from error
        self.scene = scene
        self.client = -1
        self.figure: int | None = None
        self.motion: Motion | None = None

    def __enter__(self) -> Stage:
        self.client = self.bullet.connect(self.bullet.DIRECT)
        self.folder = tempfile.TemporaryDirectory(prefix="motionbench-textures-")
        rng = np.random.default_rng(self.scene.seed)
        for center, half in blocks(self.scene, rng):
            self.add_block(center, half, rng)
        if self.scene.category is Category.HUMAN:
            self.motion = read_motion(self.data / f"data/motions/humanoid3d_{self.scene.kind}.txt")
            urdf = str(self.data / "humanoid/humanoid.urdf")
            with native_prints_to_stderr():
                self.figure = self.bullet.loadURDF(
                    urdf, globalScaling=SCALE, useFixedBase=True, physicsClientId=self.client
                )
            for link in range(-1, self.bullet.getNumJoints(self.figure, physicsClientId=self.client)):
                color = [*np.random.default_rng([self.scene.seed, link + 1]).uniform(0.15, 0.95, 3), 1.0]
                self.bullet.changeVisualShape(self.figure, link, rgbaColor=color, physicsClientId=self.client)
        return self

    def __exit__(self, *details: object) -> None:
        self.bullet.disconnect(self.client)
        self.folder.cleanup()

    def add_block(self, center: Floats, half: Floats, rng: np.random.Generator) -> None:
        """A block with a pattern of its own."""
        from PIL import Image

        path = Path(self.folder.name) / f"{rng.integers(2**31)}.png"
        contrast = 0.35 if self.scene.category is Category.HUMAN else 1.0  # a figure must stand out from its room
        Image.fromarray(pattern(rng, contrast)).save(path)
        shape = self.bullet.createVisualShape(
            self.bullet.GEOM_BOX, halfExtents=half.tolist(), physicsClientId=self.client
        )
        body = self.bullet.createMultiBody(
            0, baseVisualShapeIndex=shape, basePosition=center.tolist(), physicsClientId=self.client
        )
        texture = self.bullet.loadTexture(str(path), physicsClientId=self.client)
        self.bullet.changeVisualShape(
            body, -1, textureUniqueId=texture, rgbaColor=[1, 1, 1, 1], physicsClientId=self.client
        )

    def pose(self, t: int) -> None:
        """Puts the figure into its pose at frame t."""
        if self.motion is None or self.figure is None:
            return
        share = t / (FRAMES - 1)
        seconds = t / FPS if self.scene.kind in LOOPS else share * self.motion.seconds
        pose = self.motion.pose(seconds)
        at = pose.position - np.array([self.motion.values[0, 0] + 1.2 * (self.scene.kind in LOOPS), 0.0, 0.0])
        self.bullet.resetBasePositionAndOrientation(
            self.figure, at.tolist(), pose.rotation.tolist(), physicsClientId=self.client
        )
        for joint, value in pose.joints.items():
            self.bullet.resetJointStateMultiDof(self.figure, joint, value.tolist(), physicsClientId=self.client)

    def draw(self, camera: Camera, height: int, width: int) -> Shot:
        """One frame as the renderer makes it."""
        b = self.bullet
        _, _, rgb, depth, mask = b.getCameraImage(
            width, height, camera.view().T.ravel().tolist(), camera.projection(width / height).T.ravel().tolist(),
            lightDirection=LIGHT, shadow=1, renderer=b.ER_TINY_RENDERER,
            flags=b.ER_SEGMENTATION_MASK_OBJECT_AND_LINKINDEX, physicsClientId=self.client,
        )  # fmt: skip
        pixels = np.reshape(np.asarray(rgb, dtype=np.uint8), (height, width, 4))[:, :, :3]
        codes = np.reshape(np.asarray(mask, dtype=np.int64), (height, width))
        body = np.where(codes < 0, -1, codes & ((1 << LINK_BITS) - 1))
        link = np.where(codes < 0, -1, (codes >> LINK_BITS) - 1)
        distance = buffer_to_distance(np.reshape(np.asarray(depth, dtype=np.float64), (height, width)))
        return Shot(np.ascontiguousarray(pixels), distance, body, link)

    def placement(self, body: int, link: int) -> tuple[Floats, Floats]:
        """Rotation (3, 3) and position (3,) of a link's own frame in the world, now."""
        if link < 0:
            at, turn = self.bullet.getBasePositionAndOrientation(body, physicsClientId=self.client)
        else:
            state = self.bullet.getLinkState(body, link, computeForwardKinematics=1, physicsClientId=self.client)
            at, turn = state[4], state[5]
        return quaternion_to_matrix(np.array(turn)), np.array(at)


@contextmanager
def native_prints_to_stderr() -> Iterator[None]:
    """Sends what native code prints on stdout to stderr: pybullet warns there, and stdout is for results."""
    flush = ctypes.CDLL(None).fflush  # the C library keeps what it prints until it is told
    sys.stdout.flush()
    flush(None)
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        flush(None)
        os.dup2(kept, 1)
        os.close(kept)


def render_scene(scene: Scene, height: int, width: int, *, sharp: int = 2, frames: int = FRAMES) -> Rendered:
    """The clip of a scene, (frames, height, width), and its truth.

    sharp: the frames are drawn so many times larger and averaged down, since the renderer itself does not smooth edges.
    frames: only the first ones of FRAMES. Raises MissingExtra.
    """
    with Stage(scene) as stage:
        pictures, cameras, points, seen = [], [], [], []
        anchors: list[tuple[int, int, Floats]] = []
        for t in range(frames):
            camera = scene.camera(t)
            stage.pose(t)
            shot = stage.draw(camera, height * sharp, width * sharp)
            if t == 0:
                anchors = take_anchors(stage, camera, shot)
            world = np.stack([turn @ local + at for (turn, at), local in placed(stage, anchors)])
            pixels, distance = camera.project(world, height * sharp, width * sharp)
            seen.append(are_visible(shot, pixels, distance))
            points.append((pixels + 0.5) / sharp - 0.5)
            pictures.append(Clip(shot.rgb[None], FPS).resize(height, width).frames[0])
            cameras.append(camera)
    view = np.stack([camera.view() for camera in cameras])
    projection = np.stack([camera.projection(width / height) for camera in cameras])
    tracks = np.stack(points, axis=1).astype(np.float32)
    return Rendered(Clip(np.stack(pictures), FPS), tracks, np.stack(seen, axis=1), view, projection)


def take_anchors(stage: Stage, camera: Camera, shot: Shot) -> list[tuple[int, int, Floats]]:
    """(body, link, position in the link's frame) of points on the first frame; empty places are left out.

    They lie on a grid, and on a finer one where the figure is.
    """
    height, width = shot.distance.shape
    pixels = grid_pixels(GRID, height, width)
    if stage.figure is not None:
        fine = grid_pixels(FINE_GRID, height, width)
        pixels = np.concatenate([pixels, fine[shot.body[fine[:, 1], fine[:, 0]] == stage.figure]])
    world = camera.unproject(pixels.astype(float), shot.distance[pixels[:, 1], pixels[:, 0]], height, width)
    anchors = []
    for (px, py), point in zip(pixels, world, strict=True):
        body, link = int(shot.body[py, px]), int(shot.link[py, px])
        if body >= 0:
            turn, at = stage.placement(body, link)
            anchors.append((body, link, turn.T @ (point - at)))
    return anchors


def grid_pixels(grid: tuple[int, int], height: int, width: int) -> NDArray[np.int64]:
    """Pixels (N, 2), x and y, in the middles of so many cells across and down."""
    across, down = grid
    x = np.round((np.arange(across) + 0.5) * width / across - 0.5).astype(np.int64)
    y = np.round((np.arange(down) + 0.5) * height / down - 0.5).astype(np.int64)
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def placed(stage: Stage, anchors: list[tuple[int, int, Floats]]) -> list[tuple[tuple[Floats, Floats], Floats]]:
    """Each anchor with its link's placement now; each link is asked once."""
    known = {(body, link): stage.placement(body, link) for body, link in {(b, n) for b, n, _ in anchors}}
    return [(known[body, link], local) for body, link, local in anchors]


def are_visible(shot: Shot, pixels: Floats, distance: Floats) -> NDArray[np.bool_]:
    """Whether points lie in the frame, before the camera, and not behind what was drawn at or around their pixel."""
    height, width = shot.distance.shape
    x, y = np.round(pixels[:, 0]).astype(int), np.round(pixels[:, 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (distance > 0)
    drawn = np.zeros(len(pixels))
    # At a slanted face the pixel's own depth may be a little nearer: the farthest around it counts.
    for dx, dy in product((-1, 0, 1), repeat=2):
        there = shot.distance[np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)]
        drawn = np.maximum(drawn, there)
    return np.asarray(inside & (distance <= drawn + SAME_DEPTH))
