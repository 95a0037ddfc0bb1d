"""The recipe: which frames of which public sequence each reference is, and the words written for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from motionbench.case import Case, Category, Level
from motionbench.schema import FORMER_LICENSE
from motionbench.typed_json import to_object

RECIPE = Path(__file__).with_name("references.jsonl")
NAME = "motionbench"
NAME_3D = "motionbench3d"  # the part that is rendered: see building3d


@dataclass(frozen=True)
class PublicSet:
    """A public set of videos: how its users credit it, where they get it, and at what rate it was filmed."""

    title: str
    url: str
    citation: str
    fps: float
    layout: str


SETS = {
    "davis2017": PublicSet(
        "DAVIS 2017 (train and val, 480p)",
        "https://davischallenge.org/davis2017/code.html",
        "Perazzi et al., CVPR 2016; Pont-Tuset et al., arXiv:1704.00675",
        24.0,
        "JPEGImages/480p/SEQUENCE/00000.jpg, and Annotations/480p/SEQUENCE/00000.png if you have it",
    ),
    "tum_rgbd": PublicSet(
        "TUM RGB-D SLAM benchmark",
        "https://cvg.cit.tum.de/data/datasets/rgbd-dataset",
        "Sturm et al., IROS 2012",
        30.0,
        "SEQUENCE/rgb/TIMESTAMP.png and SEQUENCE/groundtruth.txt, as the archives unpack",
    ),
}


@dataclass(frozen=True)
class Entry:
    """One reference of the recipe.

    id: `category/NNNN`, never reused. set: key of SETS. sequence: folder in it. length: frames that the whole sequence
    has, as its makers list them (None: not listed). start, step, frames: which are taken. license: of the clip; origin:
    who filmed it, or where its makers found it. caption, subject, scene: prompts at the three levels.
    """

    id: str
    category: Category
    set: str
    sequence: str
    length: int | None
    start: int
    step: int
    frames: int
    license: str
    origin: str
    caption: str
    subject: str
    scene: str

    @property
    def indices(self) -> range:
        """The frames taken, from 0."""
        return range(self.start, self.start + self.step * self.frames, self.step)

    @property
    def fps(self) -> float:
        """Rate of the cut clip, frames per second."""
        return SETS[self.set].fps / self.step

    @property
    def reference(self) -> str:
        """Path of the cut clip below the split's folder."""
        return f"references/{self.id}.mp4"

    @property
    def source(self) -> str:
        """Where the clip is from, in one line."""
        kept = f"frames {self.indices[0]}-{self.indices[-1]}" + (f" step {self.step}" if self.step > 1 else "")
        captured = SETS[self.set]
        return f"{captured.title}, {self.sequence}, {kept}; {captured.citation}; origin: {self.origin}"

    def cases(self, sha256: str) -> Iterator[Case]:
        """Its cases, one for each level; sha256: of the cut clip."""
        prompts = {Level.CAPTION: self.caption, Level.SUBJECT: self.subject, Level.SCENE: self.scene}
        for number, (level, prompt) in enumerate(prompts.items()):
            yield Case(f"{self.id}/{number}", self.category, self.reference, sha256, self.caption, prompt, level,
                       self.license, self.source, ("filmed", self.set, self.sequence))  # fmt: skip


@cache
def read_recipe() -> tuple[Entry, ...]:
    """The references of the reconstruction, by category and number."""
    lines = RECIPE.read_text(encoding="utf-8").splitlines()
    return tuple(to_object(Entry, json.loads(line)) for line in lines)


def recipe_hash() -> str:
    """16 hex digits of the recipe's file by the keys of schema 1, as it was when the first locks were made."""
    data = RECIPE.read_bytes().replace(b'"license":', f'"{FORMER_LICENSE}":'.encode())
    return hashlib.sha256(data).hexdigest()[:16]
