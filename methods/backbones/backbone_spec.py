"""BackboneSpec: the clips that a folder of weights was made for, and how they are sampled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from motionbench.errors import ShapeError
from motionbench.typed_json import to_object


@dataclass(frozen=True)
class BackboneSpec:
    """What a folder's weights were made for; kept as `motionbench.json` beside them.

    frames, height, width: of a clip in pixels (frames = 4k + 1, as Wan's VAE takes them); fps: frames per second.
    text_tokens: prompts are padded to this length. shift, guidance, steps: sampling defaults.
    negative_prompt: the other side of classifier-free guidance.
    """

    frames: int
    height: int
    width: int
    fps: float
    text_tokens: int
    shift: float
    guidance: float
    steps: int
    negative_prompt: str = ""

    @classmethod
    def read(cls, path: Path) -> BackboneSpec:
        """The spec in a JSON file; unknown keys are an error, so that a misspelled default is not lost."""
        try:
            return to_object(cls, json.loads(path.read_text("utf-8")))
        except ValueError as error:
            raise ShapeError(f"{path}: {error}") from error
