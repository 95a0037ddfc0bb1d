"""What a caption says of content, apart from motion: its scene, and the color and kind of each subject."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from motionbench.seeds import derive_seed
from motionbench.world import World

FUNCTION_WORDS = frozenset(["a", "an", "the", "and", "in", "on", "over", "with", "to", "of", "shirt"])
Key = tuple[str | None, tuple[tuple[str | None, str | None], ...]]


@dataclass(frozen=True)
class ContentWords:
    """The content words of a world's captions, sorted: scenes, colors and shapes (figures among them)."""

    scene: tuple[str, ...]
    color: tuple[str, ...]
    shape: tuple[str, ...]

    @classmethod
    def from_labels(cls, labels: Iterable[Mapping[str, Any]]) -> ContentWords:
        """All words that occur in some clips' labels."""
        rows = list(labels)
        words = {
            kind: tuple(sorted({row[kind] for row in rows if row.get(kind)})) for kind in ("scene", "color", "shape")
        }
        return cls(**words)

    @classmethod
    def from_world(cls, world: World, device: str, clips: int = 384) -> ContentWords:
        """The words in the labels of `clips` clips: each of thirty words is missed with a probability of about 1e-5."""
        labels: list[dict[str, Any]] = []
        for start in range(0, clips, 32):
            labels += world.sample(32, seed=derive_seed(0, "tiny_clip words", str(start)), device=device).labels
        return cls.from_labels(labels)

    def kind(self, word: str) -> str | None:
        """`scene`, `color` or `shape`, or None for another word."""
        return next((kind for kind in ("scene", "color", "shape") if word in getattr(self, kind)), None)

    def key(self, words: list[str]) -> Key:
        """Scene and sorted (color, shape) pairs: equal for captions that show the same, in any order and with any
        motion."""
        scene, pairs, color, bare = None, [], None, None
        for word in words:
            kind = self.kind(word)
            if kind == "scene":
                scene = word
            elif kind == "color":
                if bare is not None and pairs[bare][0] is None and "shirt" in words:  # a person in a red shirt
                    pairs[bare] = (word, pairs[bare][1])
                    bare = None
                else:
                    color = word
            elif kind == "shape":
                pairs.append((color, word))
                bare, color = (len(pairs) - 1 if color is None else None), None
        return scene, tuple(sorted(pairs, key=str))

    def without_motion(self, words: list[str]) -> list[str]:
        """The words that tell content or hold the sentence together."""
        return [word for word in words if word in FUNCTION_WORDS or self.kind(word)]

    def alternatives(self, words: list[str], place: int) -> list[list[str]]:
        """The caption with the content word at `place` exchanged for every other of its kind; articles follow."""
        kind = self.kind(words[place])
        others = [w for w in getattr(self, kind) if w != words[place]] if kind else []
        return [mend_articles([*words[:place], other, *words[place + 1 :]]) for other in others]

    def near_miss(self, words: list[str], rng: np.random.Generator) -> list[str]:
        """The caption with one content word, drawn at random, exchanged for another of its kind."""
        places = [i for i, word in enumerate(words) if self.kind(word)]
        if not places:
            return words
        others = self.alternatives(words, places[int(rng.integers(len(places)))])
        return others[int(rng.integers(len(others)))] if others else words


def mend_articles(words: list[str]) -> list[str]:
    """The words with `a` and `an` as the next word asks."""
    out = list(words)
    for i in range(len(out) - 1):
        if out[i] in ("a", "an"):
            out[i] = "an" if out[i + 1][0] in "aeiou" else "a"
    return out


def describe(scene: str, color: str, shape: str) -> list[str]:
    """The words of a plain caption of one subject."""
    head = ["a", "person", "in", "a", color, "shirt"] if shape == "person" else ["a", color, shape]
    return mend_articles([*head, "in", "the", scene])
