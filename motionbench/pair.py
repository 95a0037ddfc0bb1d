"""Pair: makes a generated clip and its reference comparable, and has a metric measure them.

One rule for scoring, exam, gate, preset search, `transfer` and backbones: **a clip is cut at its center and scaled,
never stretched.** A generated clip is taken to show the center of its reference, as large as its own aspect allows:
what a backbone of that aspect is handed (`to_shape`). So the reference is cut to the generated clip's field of view,
the narrower one, and both are scaled to the size that this part has in the reference; in time, both take the frames
that the shorter one has. Whatever hands back what it was handed is compared with itself, at any aspect, size and
length.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from motionbench.clip import Clip
from motionbench.errors import MotionBenchError
from motionbench.metric import Measurement, Metric, Sample
from motionbench.tracks import Tracks

GEOMETRY = 2  # version of the rule; 1 cut the generated clip to the reference's aspect and repeated its frames


@dataclass(frozen=True)
class ScoringShape:
    """The limits on T and size at which pairs are scored.

    frames: at most so many, by nearest-frame sampling. long_side: at most so many pixels, of the whole reference.
    grid: tracked points per side. Motion scores at another T or size are other numbers (the noise floor of direction
    matching goes with 1/sqrt(T)), so the reference decides, whoever made the generated clip: one of another size is
    scaled, one of another aspect seen against the part of the reference that it shows. Only a shorter one lowers T, and
    not below `fewest`: frames that are not there cannot be judged, but two or three fit any motion; so it repeats some.
    Clips of the embedded world, 17 frames of 64x64, are scored as they are; 81 of 832x480 at 49 frames.
    """

    frames: int = 49
    long_side: int = 832
    grid: int = 20
    fewest: int = 8

    def of(self, reference: Clip) -> tuple[int, int, int]:
        """(T, H, W) for a reference and a generated clip of its shape."""
        return min(self.frames, len(reference)), *self.size(reference, reference)

    def size(self, part: Clip, whole: Clip) -> tuple[int, int]:
        """(H, W) of a part of the reference, at the scale of the whole."""
        scale = min(1.0, self.long_side / max(whole.height, whole.width))
        return max(1, round(part.height * scale)), max(1, round(part.width * scale))


SHAPE = ScoringShape()


def to_shape(clip: Clip, frames: int, height: int, width: int) -> Clip:
    """The clip with so many nearest frames, cut at its center to the aspect of height x width, and scaled to it."""
    return clip.sample(frames).cover(height, width)


@dataclass(frozen=True)
class View:
    """How two clips become a pair. aspect: (H, W) of the generated clip, which the reference is cut to.

    Both take `shared` frames, those of the shorter clip, and `frames` of them, the limit: a clip that was sampled from
    the reference then meets the very frames that it was made from. height, width: of both, in pixels.
    """

    aspect: tuple[int, int]
    shared: int
    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, generated: Clip, reference: Clip, limits: ScoringShape = SHAPE) -> Self:
        """The view in which these two are compared."""
        aspect = generated.height, generated.width
        shared = min(len(reference), max(len(generated), limits.fewest))
        return cls(aspect, shared, min(limits.frames, shared), *limits.size(reference.crop(*aspect), reference))

    def generated(self, clip: Clip) -> Clip:
        """The generated clip as it is compared."""
        return clip.sample(self.shared).sample(self.frames).resize(self.height, self.width)

    def reference(self, clip: Clip) -> Clip:
        """The reference as it is compared: the part of it that the generated clip shows."""
        return self.generated(clip.crop(*self.aspect))


def to_pair(generated: Clip, reference: Clip) -> tuple[Clip, Clip]:
    """(generated, reference) with the same T, size and field of view; clips that agree already stay as they are."""
    view = View.of(generated, reference)
    return view.generated(generated), view.reference(reference)


def to_sample(
    generated: Clip,
    reference: Clip,
    tracks: Callable[[Clip], Tracks],
    *,
    prompt: str = "",
    caption: str = "",
    case_id: str = "",
    category: str = "",
) -> Sample:
    """What a metric looks at: two clips of any shapes as a pair, and who tracks them."""
    made, true = to_pair(generated, reference)
    return Sample(made, true, prompt, caption, case_id, category, tracks)


def measure(metric: Metric, sample: Sample) -> Measurement:
    """A metric's measurement, where an error of ours or a value that is not finite is a null with a note."""
    try:
        measured = metric.measure(sample)
    except MotionBenchError as error:
        return unmeasured(error)
    if measured.value is not None and not math.isfinite(measured.value):
        return Measurement(None, f"{metric.info.name} returned {measured.value}", {"error": "NotFiniteError"})
    return measured


def unmeasured(error: MotionBenchError) -> Measurement:
    """The null that an error amounts to; `details` name it, so that it is tried again."""
    return Measurement(None, f"{type(error).__name__}: {error}", {"error": type(error).__name__})
