"""Text alignment: how well the frames fit the prompt, by an image-text model."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from motionbench.metric import Measurement, MetricInfo, Sample

from .embed import SeenByModel
from .image_models import REAL


def mean_text_cosine(frames: NDArray[np.float32], text: NDArray[np.float32]) -> float:
    """Mean cosine between unit frame embeddings (T, D) and a unit text embedding (D,), in [-1, 1].

    The raw cosine, of every frame: no logit scale (x 100 in some papers, see the details), no clamp at 0, no sampling.
    """
    return float((frames.astype(np.float64) @ text.astype(np.float64)).mean())


class TextAlignment(SeenByModel):
    """Mean cosine between every frame and the prompt, by the image-text model for the footage (whole frames)."""

    info: ClassVar[MetricInfo] = MetricInfo(
        name="text_alignment",
        version=2,
        unit="cosine",
        range=(-1.0, 1.0),
        better="higher",
        source="mean frame-text cosine (EvalCrafter, DiTFlow), CLIP: Radford et al., arXiv:2103.00020",
        summary="how well frames fit the prompt; blind to motion, so read it beside the backbone's",
        floor="copy",
        ceiling=("oracle", "backbone"),
        measures="text",
        faults=("wrong_appearance", "leak"),
    )

    def measure(self, sample: Sample) -> Measurement:
        if why := self.embedder.cannot_read(sample.prompt):
            return Measurement(None, f"the prompt cannot be read: {why}", {"model": self.embedder.label})
        value = mean_text_cosine(self.embedder.frames(sample.generated), self.embedder.text(sample.prompt))
        tokens, truncated = self.embedder.count_tokens(sample.prompt)
        details = {
            "model": self.embedder.label,
            "x100": round(100 * value, 4),
            "tokens": tokens,
            "truncated": truncated,
        }
        notes = ["the prompt was cut"] * truncated + [
            note for note in [self.embedder.name_unknown(sample.prompt)] if note
        ]
        return Measurement(value, "; ".join(notes), details)


class TextAlignmentB32(TextAlignment):
    """Mean cosine between every frame and the prompt, by OpenAI's CLIP ViT-B/32 for all footage (needs weights)."""

    model = REAL
    info = MetricInfo(
        **{**vars(TextAlignment.info), "name": "text_alignment_b32", "version": 1, "title": "Text alignment (B/32)"}
    )


class TextAlignmentL14(TextAlignment):
    """Mean cosine between every frame and the prompt, by OpenAI's CLIP ViT-L/14 for all footage (needs weights)."""

    model = "ViT-L-14:openai"
    info = MetricInfo(
        **{**vars(TextAlignment.info), "name": "text_alignment_l14", "version": 1, "title": "Text alignment (L/14)"}
    )
