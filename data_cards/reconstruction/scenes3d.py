"""The rendered references: ten camera paths over a still scene and eleven captured human motions, as plain values.

A scene file (`scenes/ID.json`) holds one of them with all numbers that its clip depends on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from motionbench.case import Category
from motionbench.seeds import derive_seed

from .camera3d import Camera

FRAMES, FPS = 81, 24.0
PATHS = ("dolly_in", "dolly_out", "truck", "pedestal", "pan", "tilt", "roll", "zoom", "orbit", "handheld")
MOTIONS = {  # file of pybullet_data: (what it shows; a walk goes on, the others last the whole clip once)
    "walk": "walks", "dance_a": "dances", "dance_b": "dances with turns", "jump": "jumps",
    "kick": "kicks", "punch": "punches", "cartwheel": "turns a cartwheel", "backflip": "turns a backflip",
    "spinkick": "spins and kicks", "crawl": "crawls", "roll": "rolls over the ground",
}  # fmt: skip
PATH_WORDS = {
    "dolly_in": "moves forward toward", "dolly_out": "moves back from", "truck": "moves sideways past",
    "pedestal": "rises before", "pan": "pans across", "tilt": "tilts up over", "roll": "rolls before",
    "zoom": "zooms in on", "orbit": "circles around", "handheld": "shakes in the hand before",
}  # fmt: skip
SUBJECTS = ("stacks of crates", "market stalls", "parked cars", "snowmen", "haystacks", "barrels", "statues",
            "cupboards", "tents", "vending machines")  # fmt: skip
PLACES = ("pillars of a sunken temple", "rocks on Mars", "towers of a toy city", "trees of a frozen forest",
          "cliffs in the fog", "stones of a ring at dawn", "ruins in a jungle", "icebergs under the aurora",
          "shelves of a vast library", "domes of a desert town")  # fmt: skip
ACTORS = ("a knight in armor", "a woman in a red coat", "a gorilla", "a chef in white", "an astronaut",
          "a wooden puppet", "a pirate", "a firefighter", "a monk in orange", "a skeleton", "a bear")  # fmt: skip
STAGES = ("on the surface of the Moon", "in a palace of ice", "on a theater stage", "in a field of lavender",
          "on a roof at night", "on the deck of a ship", "in a subway station", "on a beach at sunset",
          "in a bamboo forest", "on a chessboard of giants", "in a desert camp")  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One rendered reference. kind: one of PATHS or MOTIONS; seed: of textures and places; prompts at three levels."""

    id: str
    category: Category
    kind: str
    seed: int
    caption: str
    subject: str
    scene: str

    def to_json(self) -> dict[str, Any]:
        """Plain values, camera and frame rate included."""
        cameras = [self.camera(t) for t in range(FRAMES)]
        rows = [[*c.eye.tolist(), *c.target.tolist(), c.roll, c.fov] for c in cameras]
        return asdict(self) | {
            "fps": FPS,
            "camera_columns": "eye xyz, target xyz, roll rad, vertical fov deg",
            "camera": rows,
        }

    def camera(self, t: int) -> Camera:
        """The camera at frame t."""
        share = t / (FRAMES - 1)
        if self.category is Category.HUMAN:
            x, z = (0.4, 4.0) if self.kind == "walk" else (-0.1, 3.0)  # a walk crosses the picture
            return Camera(np.array([x, 1.2, z]), np.array([x, 0.85, 0.0]))
        return camera_on_path(self.kind, share, np.random.default_rng(self.seed))


def list_scenes() -> tuple[Scene, ...]:
    """The rendered references, camera first: ids begin at 1001, away from those of the filmed ones."""
    scenes = []
    for number, kind in enumerate(PATHS):
        words = f"the camera {PATH_WORDS[kind]}"
        scenes.append(make_scene(Category.CAMERA, number, kind, f"{words} blocks with colored patterns",
                                 f"{words} {SUBJECTS[number]}", f"{words} {PLACES[number]}"))  # fmt: skip
    for number, (kind, verb) in enumerate(MOTIONS.items()):
        scenes.append(make_scene(Category.HUMAN, number, kind, f"a figure with colored limbs {verb} in a room",
                                 f"{ACTORS[number]} {verb} in a room",
                                 f"{ACTORS[number - 5]} {verb} {STAGES[number]}"))  # fmt: skip
    return tuple(scenes)


def make_scene(category: Category, number: int, kind: str, caption: str, subject: str, scene: str) -> Scene:
    """One scene, its seed from its name."""
    name = f"{category}/{1001 + number:04d}"
    return Scene(name, category, kind, derive_seed(0, "motionbench3d", name) % 2**31, caption, subject, scene)


def camera_on_path(kind: str, share: float, rng: np.random.Generator) -> Camera:
    """The camera at a share, 0 to 1, of a path; rng: gives the sign and, for handheld, the tremor."""
    sign = float(rng.choice([-1.0, 1.0]))
    s = share * share * (3 - 2 * share)  # starts and ends at rest
    eye, target, roll, fov = np.array([0.0, 1.6, 6.0]), np.array([0.0, 1.0, 0.0]), 0.0, 45.0
    side, up, near = np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
    if kind in ("dolly_in", "dolly_out"):
        eye = eye - near * 2.5 * (s if kind == "dolly_in" else 1 - s)
    elif kind == "truck":
        shift = side * sign * 2.0 * (2 * s - 1)
        eye, target = eye + shift, target + shift
    elif kind == "pedestal":
        shift = up * (1.6 * s - 0.6)
        eye, target = eye + shift, target + shift
    elif kind == "pan":
        target = target + side * sign * 2.4 * (2 * s - 1)
    elif kind == "tilt":
        target = target + up * (1.8 * s - 0.6)
    elif kind == "roll":
        roll = sign * np.radians(50) * (s - 0.5)
    elif kind == "zoom":
        fov = 50 - 26 * s
    elif kind == "orbit":
        angle = sign * np.radians(70) * (s - 0.5)
        eye = np.array([6 * np.sin(angle), 1.8, 6 * np.cos(angle)])
    elif kind == "handheld":
        phase, rate = rng.uniform(0, 2 * np.pi, (2, 3)), np.array([1.3, 2.9, 5.3])
        tremor = (np.sin(2 * np.pi * rate * share * 2 + phase) / rate).sum(axis=1)
        eye, target = eye + side * 0.10 * tremor[0], target + side * 0.25 * tremor[0] + up * 0.18 * tremor[1]
    return Camera(eye, target, roll, fov)
