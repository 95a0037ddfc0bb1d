"""The captions' small language: what a clip shows, as words and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from motionbench.words import split_words

from .scenes import SCENE_NAMES, SCENES
from .shapes import OBJECT_SHAPES

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (226, 24, 28),
    "orange": (255, 132, 0),
    "yellow": (252, 232, 20),
    "green": (20, 206, 40),
    "cyan": (0, 222, 230),
    "blue": (24, 60, 240),
    "purple": (112, 28, 216),
    "pink": (255, 92, 186),
}
COLOR_NAMES = tuple(COLORS)
FIGURES = ("person", "robot")
ACTIONS = ("walking", "running", "waving", "jumping", "squatting", "kicking", "dancing")
_PREPOSITIONS = {scene.name: scene.preposition for scene in SCENES}
_MOTION_WORDS = frozenset({
    "moving", "left", "right", "up", "down", "circle", "bouncing", "swinging", "spinning", "growing", "shrinking",
    "moves", "pans", "tilts", "zooms", "rolls", "orbits", "shakes", "out", *ACTIONS,
})  # fmt: skip
_GLUE_WORDS = frozenset({"a", "an", "the", "and", "in", "on", "over", "with", "to", "while", "camera", "shirt"})
# Words that a reader may use for ours; understood in prompts, never written.
_SYNONYMS = {
    "sphere": "ball", "disc": "ball", "cube": "square", "box": "square", "hoop": "ring", "plus": "cross",
    "rhombus": "diamond", "man": "person", "woman": "person", "boy": "person", "girl": "person", "human": "person",
    "figure": "person",
    "android": "robot", "meadow": "grass", "lawn": "grass", "field": "grass", "ocean": "sea", "water": "sea",
    "sand": "desert", "dunes": "desert", "town": "city", "street": "city", "woods": "forest",
    "jungle": "forest",
    "stars": "space", "sky": "space", "brick": "bricks", "wall": "bricks", "violet": "purple", "magenta": "pink",
    "turquoise": "cyan", "teal": "cyan", "golden": "yellow",
}  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """One thing in a clip: kind, an object shape or figure, and color, one of COLORS (a person's is the shirt's)."""

    kind: str
    color: str

    @property
    def is_figure(self) -> bool:
        return self.kind in FIGURES

    def words(self) -> str:
        """The subject with its article: `a red ball`, `a person in a red shirt`."""
        article = "an" if self.color[0] in "aeiou" else "a"
        if self.kind == "person":
            return f"a person in {article} {self.color} shirt"
        return f"{article} {self.color} {self.kind}"


@dataclass(frozen=True)
class Content:
    """What a clip shows, without its motion; scene None and an empty tuple mean that the words did not say."""

    scene: str | None
    subjects: tuple[Subject | None, ...]


@dataclass(frozen=True)
class Parsed:
    """A caption understood: its content, its motion words in order, and the words that mean nothing here."""

    content: Content
    motion: tuple[str, ...]
    unknown: tuple[str, ...]


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted."""
    return tuple(sorted({*_GLUE_WORDS, *_MOTION_WORDS, *COLORS, *OBJECT_SHAPES, *FIGURES, *SCENE_NAMES}))


def write_caption(category: str, scene: str, subjects: list[Subject], phrases: list[str], camera: str = "") -> str:
    """The caption of a clip.

    phrases: one motion phrase for all subjects, or one each; an empty one leaves the motion unsaid. camera: the phrase
    after "the camera"; it leads in camera clips and follows with "while" in the others.
    """
    names = [subject.words() for subject in subjects]
    if category == "camera":
        head = f"the camera {camera} over the {scene}" if camera else f"the {scene}"
        return f"{head} with {' and '.join(names)}"
    if len(set(phrases)) == 1:
        sentence = " ".join(filter(None, [" and ".join(names), phrases[0]]))
    else:
        sentence = " and ".join(" ".join(filter(None, pair)) for pair in zip(names, phrases, strict=True))
    tail = f" while the camera {camera}" if camera else ""
    return f"{sentence} {_PREPOSITIONS[scene]} the {scene}{tail}"


def parse_caption(text: str) -> Parsed:
    """Content and motion words of a caption or prompt, in any reasonable word order; unknown words are set aside.

    A color belongs to the next subject; after a person, to the shirt. A subject without a color has color "".
    """
    words = [_SYNONYMS.get(w, w) for w in split_words(text)]
    known = vocabulary()
    scene: str | None = None
    color = ""
    subjects: list[Subject] = []
    for place, word in enumerate(words):
        if word in COLORS:
            color = word
        elif word == "shirt":
            if color and subjects and subjects[-1].is_figure:
                subjects[-1] = replace(subjects[-1], color=color)
                color = ""
        elif word in OBJECT_SHAPES or word in FIGURES:
            # "diamond shape in red": a color right after "in" still reaches a subject that has none
            subjects.append(Subject(word, color))
            color = ""
        elif word in SCENE_NAMES:
            scene = word if scene is None or words[place - 1] == "the" else scene
            color = ""
    if color and subjects and not subjects[-1].color:
        subjects[-1] = replace(subjects[-1], color=color)
    motion = tuple(w for w in words if w in _MOTION_WORDS)
    unknown = tuple(w for w in words if w not in known)
    return Parsed(Content(scene, tuple(subjects)), motion, unknown)
