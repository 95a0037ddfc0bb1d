"""Case: one question of the benchmark, that is a reference clip, its caption, and the prompt to follow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Category(StrEnum):
    """The four kinds of motion (Follow-Your-Motion, arXiv:2506.05207, MotionBench)."""

    CAMERA = "camera"
    SINGLE_OBJECT = "single_object"
    MULTI_OBJECT = "multi_object"
    HUMAN = "human"


class Level(StrEnum):
    """How far the prompt is from the reference's own words."""

    CAPTION = "caption"  # the reference's own caption
    SUBJECT = "subject"  # another subject
    SCENE = "scene"  # another subject and another scene


@dataclass(frozen=True)
class Case:
    """One case of a split.

    id: `category/NNNN/n`, never reused; NNNN is the reference, n the prompt.
    reference: path of the clip below the split's root; sha256: of that file.
    caption: what the reference shows; prompt: what the generated clip must show; level: how far apart the two are.
    license, source: of the reference; tags: free words for filters.
    """

    id: str
    category: Category
    reference: str
    sha256: str
    caption: str
    prompt: str
    level: Level
    license: str
    source: str
    tags: tuple[str, ...] = ()

    @property
    def reference_id(self) -> str:
        """`category/NNNN`: cases with the same one share a reference clip, and so one fitted adapter."""
        return self.id.rsplit("/", 1)[0]


@dataclass(frozen=True)
class Unit:
    """The work that one fitted adapter serves: the cases of one reference under one seed."""

    reference_id: str
    seed: int
    cases: tuple[Case, ...]
