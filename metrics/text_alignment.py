"""Text alignment: how well the frames fit the prompt, by an image-text model."""

from __future__ import annotations

from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from motionbench.metric import Measurement, MetricInfo, MetricSetting, Sample

from .embed import TINY, ClipEmbedder, shared_embedder


def mean_text_cosine(frames: NDArray[np.float32], text: NDArray[np.float32]) -> float:
    """Mean cosine between unit frame embeddings (T, D) and a unit text embedding (D,), in [-1, 1].

    The raw cosine, of every frame: no logit scale (x 100 in some papers, see the details), no clamp at 0, no sampling.
    """
    return float((frames.astype(np.float64) @ text.astype(np.float64)).mean())


class TextAlignment:
    """Mean cosine between every frame and the prompt, by the embedded image-text model (whole frames, letterboxed)."""

    model: ClassVar[str] = TINY
    info: ClassVar[MetricInfo] = MetricInfo(
        name="text_alignment",
        version=1,
        unit="cosine",
        range=(-1.0, 1.0),
        better="higher",
        source="mean frame-text cosine (EvalCrafter, DiTFlow), CLIP: Radford et al., arXiv:2103.00020",
        summary="how well frames fit the prompt; blind to motion, so read it beside the backbone's",
        floor="copy",
        ceiling=("oracle", "backbone"),
    )

    def __init__(self, embedder: ClipEmbedder) -> None:
        self.embedder = embedder

    @classmethod
    def create(cls, setting: MetricSetting) -> Self:
        """Raises MissingWeightsError with the command that gets the weights."""
        return cls(shared_embedder(cls.model, setting.device))

    def measure(self, sample: Sample) -> Measurement:
        if not sample.prompt.strip():
            return Measurement(None, "empty prompt")
        value = mean_text_cosine(self.embedder.frames(sample.generated), self.embedder.text(sample.prompt))
        tokens, truncated = self.embedder.count_tokens(sample.prompt)
        details = {
            "model": self.embedder.label,
            "x100": round(100 * value, 4),
            "tokens": tokens,
            "truncated": truncated,
        }
        return Measurement(value, "the prompt was cut" if truncated else "", details)


class TextAlignmentB32(TextAlignment):
    """Mean cosine between every frame and the prompt, by OpenAI's CLIP ViT-B/32 (for real footage; needs weights)."""

    model = "ViT-B-32:openai"
    info = MetricInfo(**{**vars(TextAlignment.info), "name": "text_alignment_b32"})

    @classmethod
    def prefetch(cls) -> str:
        """Fetches the model where it is not; says which it is. Raises MissingWeightsError."""
        return f"{cls.create(MetricSetting()).embedder.label} (MIT)"


class TextAlignmentL14(TextAlignmentB32):
    """Mean cosine between every frame and the prompt, by OpenAI's CLIP ViT-L/14 (for real footage; needs weights)."""

    model = "ViT-L-14:openai"
    info = MetricInfo(**{**vars(TextAlignment.info), "name": "text_alignment_l14"})
