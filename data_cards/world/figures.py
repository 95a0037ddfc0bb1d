"""Articulated figures: forward kinematics from joint angles to layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .paths import TIME
from .shapes import ATLAS_SHAPES

Array = NDArray[np.float64]

# Joint angles in radians from straight down, positive toward the figure's front (+x before it is turned around).
JOINTS = (
    "lean", "nod", "near_shoulder", "far_shoulder", "near_elbow", "far_elbow", "near_hip", "far_hip",
    "near_knee", "far_knee",
)  # fmt: skip
LEAN, NOD, NEAR_SHOULDER, FAR_SHOULDER, NEAR_ELBOW, FAR_ELBOW, NEAR_HIP, FAR_HIP, NEAR_KNEE, FAR_KNEE = range(
    len(JOINTS)
)
# Lengths and half widths as shares of the figure's height.
_TORSO, _ARM, _FOREARM, _THIGH, _SHIN, _HEAD, _NECK = 0.30, 0.165, 0.165, 0.225, 0.225, 0.088, 0.03
_WIDTHS = {
    "person": {"torso": 0.090, "arm": 0.048, "leg": 0.056, "head": 1.0},
    "robot": {"torso": 0.115, "arm": 0.050, "leg": 0.062, "head": 1.05},
}
PARTS = (
    "far_arm", "far_forearm", "far_thigh", "far_shin", "near_thigh", "near_shin", "torso", "head",
    "near_arm", "near_forearm",
)  # fmt: skip
JOINT_POINTS = (
    "pelvis", "neck", "head", "near_elbow", "near_hand", "far_elbow", "far_hand",
    "near_knee", "near_foot", "far_knee", "far_foot",
)  # fmt: skip
SKIN = ((238, 190, 152), (150, 100, 72), (206, 150, 112))
TROUSERS = ((74, 74, 84), (122, 104, 84), (58, 82, 122))


@dataclass
class FigureMotion:
    """Motions of M figures, free of their looks.

    angles: (M, T, 10) in the order of JOINTS. spread: (M, T), 1 = facing the camera (hips and shoulders apart), 0 = in
    profile. travel: (M, T) sideways position in scene units. lift: (M, T) height of the feet above the floor, in figure
    heights. facing: (M,) +1 to the right, -1 to the left. height and floor (its y): (M,) in scene units. words: a
    phrase each.
    """

    angles: Array
    spread: Array
    travel: Array
    lift: Array
    facing: Array
    height: Array
    floor: Array
    words: list[str]

    @classmethod
    def empty(cls, count: int) -> FigureMotion:
        flat = np.zeros((count, len(TIME)))
        angles = np.zeros((*flat.shape, len(JOINTS)))
        one = np.ones(count)
        return cls(angles, flat.copy(), flat.copy(), flat.copy(), one, 1.55 * one, 0.8 * one, [""] * count)


def _down(angle: Array) -> Array:
    return np.stack([np.sin(angle), np.cos(angle)], -1)


def joint_positions(motion: FigureMotion) -> Array:
    """Positions (M, T, len(JOINT_POINTS), 2) of the joints in scene units; the lower foot is `lift` above the floor."""
    a = motion.angles
    aside = motion.spread[..., None] * np.array([1.0, 0.0])
    pelvis = np.zeros((*a.shape[:2], 2))
    neck = -_TORSO * _down(-a[..., LEAN])
    head = neck - (_NECK + _HEAD) * _down(-(a[..., LEAN] + a[..., NOD]))
    points = {"pelvis": pelvis, "neck": neck, "head": head}
    for side, sign, arm, elbow, hip, knee in (
        ("near", 1.0, NEAR_SHOULDER, NEAR_ELBOW, NEAR_HIP, NEAR_KNEE),
        ("far", -1.0, FAR_SHOULDER, FAR_ELBOW, FAR_HIP, FAR_KNEE),
    ):
        shoulder = _shoulder(neck, aside, sign)
        points[f"{side}_elbow"] = shoulder + _ARM * _down(a[..., arm])
        points[f"{side}_hand"] = points[f"{side}_elbow"] + _FOREARM * _down(a[..., arm] + a[..., elbow])
        points[f"{side}_knee"] = _hip(pelvis, aside, sign) + _THIGH * _down(a[..., hip])
        points[f"{side}_foot"] = points[f"{side}_knee"] + _SHIN * _down(a[..., hip] - a[..., knee])
    stacked = np.stack([points[name] for name in JOINT_POINTS], axis=2)
    lowest = np.maximum(points["near_foot"][..., 1], points["far_foot"][..., 1])
    stacked[..., 1] -= (lowest + motion.lift)[..., None]
    stacked[..., 0] *= motion.facing[:, None, None]
    stacked *= motion.height[:, None, None, None]
    stacked[..., 0] += motion.travel[..., None]
    stacked[..., 1] += motion.floor[:, None, None]
    return np.asarray(stacked)


def _shoulder(neck: Array, aside: Array, sign: float) -> Array:
    return np.asarray(neck + sign * 0.105 * aside + np.array([0.0, 0.035]))


def _hip(pelvis: Array, aside: Array, sign: float) -> Array:
    return np.asarray(pelvis + sign * 0.055 * aside)


@dataclass
class FigureLayers:
    """Layers of M figures: center (M, T, K, 2), angle (M, T, K), size (M, T, K, 2), shape (M, K), color (M, K, 3)."""

    center: Array
    angle: Array
    size: Array
    shape: NDArray[np.int64]
    color: Array


def figure_layers(motion: FigureMotion, kinds: list[str], colors: Array, looks: NDArray[np.int64]) -> FigureLayers:
    """The layers that draw each figure. kinds: `person` or `robot`; colors: (M, 3); looks: (M, 2) skin, trousers."""
    joints = dict(zip(JOINT_POINTS, np.moveaxis(joint_positions(motion), 2, 0), strict=True))
    scale = (motion.height * motion.facing)[:, None, None]
    aside = motion.spread[..., None] * np.array([1.0, 0.0]) * scale
    for side, sign in (("near", 1.0), ("far", -1.0)):
        joints[f"{side}_shoulder"] = joints["neck"] + sign * 0.105 * aside + np.array([0.0, 0.035]) * np.abs(scale)
        joints[f"{side}_hip"] = joints["pelvis"] + sign * 0.055 * aside
    ends = {
        "torso": ("neck", "pelvis"), "head": ("head", "neck"),
        **{f"{s}_arm": (f"{s}_shoulder", f"{s}_elbow") for s in ("near", "far")},
        **{f"{s}_forearm": (f"{s}_elbow", f"{s}_hand") for s in ("near", "far")},
        **{f"{s}_thigh": (f"{s}_hip", f"{s}_knee") for s in ("near", "far")},
        **{f"{s}_shin": (f"{s}_knee", f"{s}_foot") for s in ("near", "far")},
    }  # fmt: skip
    start = np.stack([joints[ends[part][0]] for part in PARTS], axis=2)
    end = np.stack([joints[ends[part][1]] for part in PARTS], axis=2)
    along = end - start
    length = np.linalg.norm(along, axis=-1)
    width = (
        np.array([[_half_width(kind, part) for part in PARTS] for kind in kinds])[:, None]
        * motion.height[:, None, None]
    )
    wide = np.array([0.055 if part == "torso" else 0.0 for part in PARTS]) * motion.spread[..., None]
    width = width + wide * motion.height[:, None, None]
    size = np.stack([width, length / 2 + width * 0.9], -1)
    center = (start + end) / 2
    head = PARTS.index("head")
    center[:, :, head] = start[:, :, head]
    size[:, :, head] = width[:, :, head, None]
    return FigureLayers(
        center=center,
        angle=np.unwrap(np.arctan2(-along[..., 0], along[..., 1]), axis=1),
        size=size,
        shape=np.array([[_part_shape(kind, part) for part in PARTS] for kind in kinds]),
        color=np.stack([_part_colors(*each) for each in zip(kinds, colors, looks, strict=True)]),
    )


def _half_width(kind: str, part: str) -> float:
    widths = _WIDTHS[kind]
    if part == "head":
        return _HEAD * widths["head"]
    if part == "torso":
        return widths["torso"]
    return widths["arm" if "arm" in part else "leg"]


def _part_shape(kind: str, part: str) -> int:
    if part == "head":
        return ATLAS_SHAPES.index("ball" if kind == "person" else "square")
    return ATLAS_SHAPES.index("limb" if kind == "person" else "plate")


def _part_colors(kind: str, color: Array, look: NDArray[np.int64]) -> Array:
    if kind == "robot":  # one color all over, limbs behind a little darker
        return np.stack([color * (0.72 if part.startswith("far") else 1.0) for part in PARTS])
    skin, trousers = np.array(SKIN[look[0]]) / 255.0, np.array(TROUSERS[look[1]]) / 255.0
    shown = {"torso": color, "head": skin, "arm": color, "forearm": skin, "thigh": trousers, "shin": trousers}
    return np.stack([shown[part.rsplit("_", 1)[-1]] * (0.78 if part.startswith("far") else 1.0) for part in PARTS])
