"""Pinhole cameras in three dimensions: matrices, projection of points, and points from depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAR, FAR = 0.1, 60.0  # meters


@dataclass(frozen=True, eq=False)
class Camera:
    """A camera in a world with y up.

    eye, target: (3,) meters; roll: radians about the line of sight; fov: vertical, degrees.
    """

    eye: Floats
    target: Floats
    roll: float = 0.0
    fov: float = 45.0

    def view(self) -> Floats:
        """(4, 4) from the world to the camera, which looks along its -z, as OpenGL has it."""
        back = self.eye - self.target
        back = back / np.linalg.norm(back)
        right = np.cross([0.0, 1.0, 0.0], back)
        right = right / np.linalg.norm(right)
        up = np.cross(back, right)
        c, s = np.cos(self.roll), np.sin(self.roll)
        axes = np.stack([c * right + s * up, c * up - s * right, back])
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = axes, -axes @ self.eye
        return matrix

    def projection(self, aspect: float) -> Floats:
        """(4, 4) from the camera to clip space; aspect: width over height."""
        f = 1.0 / np.tan(np.radians(self.fov) / 2)
        matrix = np.zeros((4, 4))
        matrix[0, 0], matrix[1, 1] = f / aspect, f
        matrix[2, 2], matrix[2, 3] = (FAR + NEAR) / (NEAR - FAR), 2 * FAR * NEAR / (NEAR - FAR)
        matrix[3, 2] = -1.0
        return matrix

    def project(self, points: Floats, height: int, width: int) -> tuple[Floats, Floats]:
        """Pixels (N, 2) and distances (N,) along the line of sight of points (N, 3).

        Pixels are x, y with the centers of pixels at integers.
        """
        seen = points @ self.view()[:3, :3].T + self.view()[:3, 3]
        distance = -seen[:, 2]
        safe = np.where(np.abs(distance) < 1e-9, 1e-9, distance)
        matrix = self.projection(width / height)
        x, y = matrix[0, 0] * seen[:, 0] / safe, matrix[1, 1] * seen[:, 1] / safe
        return np.stack([(x + 1) * width / 2 - 0.5, (1 - y) * height / 2 - 0.5], axis=1), distance

    def unproject(self, pixels: Floats, distance: Floats, height: int, width: int) -> Floats:
        """Points (N, 3) at pixels (N, 2) and distances (N,) along the line of sight: the inverse of `project`."""
        matrix = self.projection(width / height)
        x = ((pixels[:, 0] + 0.5) * 2 / width - 1) * distance / matrix[0, 0]
        y = (1 - (pixels[:, 1] + 0.5) * 2 / height) * distance / matrix[1, 1]
        seen = np.stack([x, y, -distance], axis=1)
        view = self.view()
        return np.asarray((seen - view[:3, 3]) @ view[:3, :3])


def buffer_to_distance(buffer: Floats) -> Floats:
    """Distances along the line of sight, meters, of a depth buffer in [0, 1]."""
    return np.asarray(FAR * NEAR / (FAR - (FAR - NEAR) * buffer))


def quaternion_to_matrix(q: Floats) -> Floats:
    """Rotation matrices (..., 3, 3) of unit quaternions (..., 4), x, y, z, w."""
    x, y, z, w = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
