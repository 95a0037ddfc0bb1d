"""Motion-captured poses of a humanoid: the JSON files that pybullet carries, sampled at any time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from motionbench.errors import ManifestError

Floats = NDArray[np.float64]
# Joints of pybullet_data/humanoid/humanoid.urdf by index, in the order of the files; 4 numbers: a quaternion w x y z.
JOINTS = ((1, 4), (2, 4), (9, 4), (10, 1), (11, 4), (3, 4), (4, 1), (12, 4), (13, 1), (14, 4), (6, 4), (7, 1))
NUMBERS = 1 + 3 + 4 + sum(size for _, size in JOINTS)


@dataclass(frozen=True, eq=False)
class Pose:
    """A pose: root position (3,) in meters, y up, and rotation (4,) x y z w; a quaternion or an angle per joint."""

    position: Floats
    rotation: Floats
    joints: dict[int, Floats]


@dataclass(frozen=True, eq=False)
class Motion:
    """A recorded motion: times (F,) seconds from 0; values (F, NUMBERS - 1); wraps: it goes on from its end."""

    times: Floats
    values: Floats
    wraps: bool

    @property
    def seconds(self) -> float:
        """How long one round lasts."""
        return float(self.times[-1])

    def pose(self, seconds: float) -> Pose:
        """The pose at a time: positions and angles interpolated, rotations along the shortest arc.

        Beyond the end a motion that wraps goes on from where it got to; another one holds its last pose.
        """
        rounds = int(seconds // self.seconds) if self.wraps else 0
        at = min(seconds - rounds * self.seconds, self.seconds)
        index = int(np.clip(np.searchsorted(self.times, at, side="right") - 1, 0, len(self.times) - 2))
        share = (at - self.times[index]) / (self.times[index + 1] - self.times[index])
        a, b = self.values[index], self.values[index + 1]
        gone = (self.values[-1, :3] - self.values[0, :3]) * [1.0, 0.0, 1.0] * rounds
        joints: dict[int, Floats] = {}
        start = 7
        for joint, size in JOINTS:
            one, two = a[start : start + size], b[start : start + size]
            joints[joint] = slerp(one, two, share) if size == 4 else (1 - share) * one + share * two
            start += size
        return Pose((1 - share) * a[:3] + share * b[:3] + gone, slerp(a[3:7], b[3:7], share), joints)


def slerp(a: Floats, b: Floats, share: float) -> Floats:
    """The unit quaternion (4,) x y z w between a and b, (4,) w x y z, at a share of the shortest arc."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    if cosine > 0.9995:
        mixed = (1 - share) * a + share * b
    else:
        angle = np.arccos(cosine)
        mixed = (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)
    return np.asarray(np.roll(mixed / np.linalg.norm(mixed), -1))


def read_motion(path: Path) -> Motion:
    """The motion in a file. Raises ManifestError if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        table = np.array(value["Frames"], dtype=np.float64)
        loops = str(value["Loop"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{path}: expected a motion (JSON with Loop and Frames): {error}") from error
    if table.ndim != 2 or table.shape[1] != NUMBERS or len(table) < 2:
        raise ManifestError(f"{path}: expected (F, {NUMBERS}) numbers, got {table.shape}")
    times = np.concatenate([[0.0], np.cumsum(table[:-1, 0])])  # a frame's first number is how long it lasts
    return Motion(times, table[:, 1:], loops == "wrap")
