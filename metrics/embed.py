"""Image and text embeddings by one model: loaded once, computed once per clip."""

from __future__ import annotations

import functools
import io
import logging
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.disk_cache import DiskCache
from motionbench.metric import MetricRuntime

from .image_models import ClipModel, load_clip, model_for
from .threads import one_thread
from .tiny_clip.tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
_BATCH = 32  # frames
_IN_MEMORY = 64  # clips
NAMED = 12  # unknown words that a note lists


class ClipEmbedder:
    """Unit embeddings of frames and texts by one model, cached by the clip's and the weights' hashes."""

    def __init__(self, model: ClipModel, folder: Path | None = None) -> None:
        self.clip = model
        self._disk = DiskCache("embeddings", None if folder is None else folder / "embeddings")
        self._memory: OrderedDict[str, Array] = OrderedDict()
        self._texts: dict[str, Array] = {}

    @property
    def label(self) -> str:
        """Name and weights' hash: what a score made with this depends on."""
        return f"{self.clip.name} {self.clip.weights}"

    def frames(self, clip: Clip) -> Array:
        """(T, D) unit vectors of the clip's frames."""
        key = clip.sha256
        vectors = self._memory.get(key)
        if vectors is None:
            vectors = self._from_disk(key, len(clip))
        if vectors is None:
            vectors = self._compute(clip)
            self._to_disk(key, vectors)
        self._memory[key] = vectors
        self._memory.move_to_end(key)
        if len(self._memory) > _IN_MEMORY:
            self._memory.popitem(last=False)
        return vectors

    def text(self, text: str) -> Array:
        """(D,) unit vector of a text, cut where it is too long (see `count_tokens`)."""
        if text not in self._texts:
            with torch.inference_mode(), one_thread(self.clip.device):
                tokens = self.clip.tokenize([text]).to(self.clip.device)
                vectors = F.normalize(self.clip.model.encode_text(tokens).float(), dim=-1)
            self._texts[text] = vectors[0].cpu().numpy()
        return self._texts[text]

    def count_tokens(self, text: str) -> tuple[int, bool]:
        """How many tokens the model reads of a text, start and end included, and whether more of it was cut off.

        The tokenizer is asked again with room for all of it: no token stands for less than a byte.
        """
        read = self.clip.tokenize([text])
        room = max(read.shape[1], 2 * len(text.encode("utf-8", "surrogatepass")) + 2)
        whole = self.clip.tokenize([text], room)
        length, needed = (int(row[0].argmax()) + 1 for row in (read, whole))  # the end token has the largest number
        return length, needed > length

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the model does not know, in order, each once; [] for an open vocabulary."""
        tokenizer = self.clip.tokenize
        return list(dict.fromkeys(tokenizer.unknown_words(text))) if isinstance(tokenizer, WordTokenizer) else []

    def cannot_read(self, text: str) -> str:
        """Why the embedding of a text says nothing of it; "" where it says something.

        A model with a closed vocabulary gives all texts of words that it does not know one embedding.
        """
        tokenizer = self.clip.tokenize
        if not text.strip():
            return "it is empty"
        if isinstance(tokenizer, WordTokenizer) and tokenizer.is_foreign(text):
            return self.name_unknown(text) or f"no word for {self.clip.name} in it"
        return ""

    def name_unknown(self, text: str) -> str:
        """`tiny-clip does not know: dragon, castle`, or "" for a text of known words."""
        words = self.unknown_words(text)
        rest = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
        return f"{self.clip.name} does not know: {', '.join(words[:NAMED])}{rest}" if words else ""

    def _compute(self, clip: Clip) -> Array:
        rows = []
        with torch.inference_mode(), one_thread(self.clip.device):
            for start in range(0, len(clip), _BATCH):
                pixels = self.clip.preprocess(clip.frames[start : start + _BATCH]).to(self.clip.device)
                rows.append(F.normalize(self.clip.model.encode_image(pixels).float(), dim=-1).cpu().numpy())
        return np.concatenate(rows)

    def _from_disk(self, key: str, frames: int) -> Array | None:
        def decode(data: bytes) -> Array:
            loaded: Array = np.load(io.BytesIO(data), allow_pickle=False)
            return loaded

        vectors = self._disk.get(f"{self.label} letterbox1 {key}", decode)
        return vectors if vectors is not None and vectors.ndim == 2 and len(vectors) == frames else None

    def _to_disk(self, key: str, embeddings: Array) -> None:
        data = io.BytesIO()
        np.save(data, embeddings)
        self._disk.put(f"{self.label} letterbox1 {key}", data.getvalue())


@functools.cache
def shared_embedder(name: str, device: str) -> ClipEmbedder:
    """One embedder per model and device in this process, so that all metrics share it."""
    return ClipEmbedder(load_clip(name, device))


class SeenByModel:
    """What metrics by an image-text model share: the footage decides which, unless the class names one itself.

    model: the model's name, None where the footage decides.
    """

    model: ClassVar[str | None] = None

    def __init__(self, embedder: ClipEmbedder) -> None:
        self.embedder = embedder

    @classmethod
    def model_name(cls, runtime: MetricRuntime) -> str:
        """The model that a runtime asks for, without loading it."""
        return cls.model or model_for(runtime.world)

    @classmethod
    def create(cls, runtime: MetricRuntime) -> Self:
        """Raises MissingWeightsError with the command that gets the weights."""
        return cls(shared_embedder(cls.model_name(runtime), runtime.device))

    @classmethod
    def prefetch(cls) -> str:
        """Fetches the model for real footage where it is not; says which it is. Raises MissingWeightsError."""
        loaded = load_clip(cls.model_name(MetricRuntime()), "cpu", fetch=True)
        return f"{loaded.name} {loaded.weights} (MIT)"
