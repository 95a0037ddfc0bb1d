"""Image and text embeddings by any open_clip model: loaded once, computed once per clip, frames seen whole."""

from __future__ import annotations

import functools
import io
import logging
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from motionbench.clip import Clip
from motionbench.disk_cache import DiskCache
from motionbench.errors import MissingWeightsError, UnknownNameError
from motionbench.files import file_sha256
from motionbench.footage import judged_world
from motionbench.metric import MetricRuntime

from .efficientnet import NAME as EFFICIENTNET
from .threads import one_thread
from .tiny_clip.tokenizer import WordTokenizer

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
TINY = "tiny-clip"
REAL = "ViT-B-32:openai"  # for footage of no installed world
# Commits of the Hub repositories that named weights are taken from; OpenAI's own files are named by their hash instead.
REVISIONS = {("ViT-B-32", "laion2b_s34b_b79k"): "1a25a446712ba5ee05982a381eed697ef9b435cf"}
# Named weights that a metric of ours uses: how a user fetches them once.
PREFETCH = {REAL: "text_alignment", "ViT-L-14:openai": "text_alignment_l14"}
_BATCH = 32  # frames
_IN_MEMORY = 64  # clips
NAMED = 12  # unknown words that a note lists


@dataclass(frozen=True, eq=False)
class ClipModel:
    """An open_clip model with what reads its inputs.

    preprocess: frames (T, H, W, 3) uint8 -> (T, 3, S, S); tokenize: texts, L or None -> (B, L) token numbers, cut at L.
    weights: the first 16 hex digits of the SHA-256 of the weights file, which pins the model whatever it is called.
    """

    name: str
    model: Any
    preprocess: Callable[[NDArray[np.uint8]], torch.Tensor]
    tokenize: Callable[..., torch.Tensor]
    weights: str
    device: str


def model_for(world: str | None) -> str:
    """The model that knows a world's pictures: the world's own, and for all other footage one that saw photographs."""
    judged = None if world is None else judged_world(world)
    return REAL if judged is None else judged.image_model


def load_clip(name: str, device: str, *, fetch: bool = False) -> ClipModel:
    """The model of a name: `tiny-clip` (embedded), `ARCHITECTURE:TAG` or `ARCHITECTURE:/path/to/checkpoint`.

    `efficientnet-lite0` (extra `[efficientnet]`) sees frames only, and has no texts.

    fetch: get weights that are not here; else nothing is downloaded, since nobody asked for it while scoring.
    Raises MissingWeightsError with the command that gets them, or UnknownNameError for what open_clip does not know.
    """
    if name == TINY:
        return _load_tiny(device)
    if name == EFFICIENTNET:
        return _load_efficientnet(device)
    if name in PREFETCH and not fetch and not _openai_file(name.partition(":")[0]).is_file():
        raise _not_here(name)  # said before open_clip, whose import takes seconds
    import open_clip

    architecture, _, tag = name.partition(":")
    if architecture not in open_clip.list_models():
        raise UnknownNameError(
            f"open_clip knows no architecture {architecture!r}; `open_clip.list_models()` names them"
        )
    path, recipe = (Path(tag), {}) if Path(tag).is_file() else _weights(architecture, tag, fetch)
    model = open_clip.create_model(
        architecture, pretrained=str(path), device=device, force_quick_gelu=bool(recipe.get("quick_gelu"))
    )
    mean = recipe.get("mean", open_clip.OPENAI_DATASET_MEAN)
    std = recipe.get("std", open_clip.OPENAI_DATASET_STD)
    return _assemble(name, model, open_clip.get_tokenizer(architecture), path, device, (mean, std))


def _weights(architecture: str, tag: str, fetch: bool) -> tuple[Path, dict[str, Any]]:
    """The weights file behind a tag, from the local cache or downloaded at a fixed revision, and how to read it."""
    from open_clip import pretrained as source

    recipe = source.get_pretrained_cfg(architecture, tag)
    if not recipe:
        known = ", ".join(source.list_pretrained_tags_by_model(architecture))
        raise UnknownNameError(
            f"open_clip knows no weights {tag!r} of {architecture}; known: {known}; or give a file's path"
        )
    revision = REVISIONS.get((architecture, tag))
    path = _kept(recipe, revision)
    if path is None and not fetch:
        raise _not_here(f"{architecture}:{tag}")
    try:
        if path is None and recipe.get("url"):  # holds the file's hash, which open_clip checks
            path = Path(source.download_pretrained(recipe, prefer_hf_hub=False))
        elif path is None:
            path = Path(source.download_pretrained_from_hf(recipe["hf_hub"].rstrip("/"), revision=revision))
    except (OSError, RuntimeError) as error:
        raise _not_here(f"{architecture}:{tag}", f" and cannot be fetched ({error})") from error
    return path, dict(recipe)


def _not_here(name: str, why: str = "") -> MissingWeightsError:
    return MissingWeightsError(f"weights {name} are not here{why}; with network run: {fetch_command(name)}")


def _openai_file(architecture: str) -> Path:
    """Where open_clip keeps OpenAI's own file of an architecture."""
    return Path(os.path.expanduser("~/.cache/clip")) / f"{architecture}.pt"


def _kept(recipe: dict[str, Any], revision: str | None) -> Path | None:
    """The weights that open_clip fetched before, if they are whole: a broken download is none."""
    if recipe.get("url"):
        *_, digest, name = str(recipe["url"]).split("/")
        path = Path(os.path.expanduser("~/.cache/clip")) / name
        hashed = len(digest) == 64  # of OpenAI's files; other addresses hold no hash
        return path if path.is_file() and (not hashed or file_sha256(path) == digest) else None
    from huggingface_hub import try_to_load_from_cache

    names = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
    found = (try_to_load_from_cache(recipe["hf_hub"].rstrip("/"), name, revision=revision) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def fetch_command(name: str) -> str:
    """The command that fetches a named model once."""
    if name in PREFETCH:
        return f"motionbench prefetch {PREFETCH[name]}"
    return f"python -c \"from motionbench.metrics.embed import load_clip; load_clip('{name}', 'cpu', fetch=True)\""


def _load_tiny(device: str) -> ClipModel:
    from .tiny_clip import model as tiny

    loaded = tiny.TinyClip.from_folder(device=device)
    path = tiny.FOLDER / f"{tiny.NAME}.safetensors"
    mean, std = (tuple(x.flatten().tolist()) for x in (loaded.mean, loaded.std))
    return _assemble(TINY, loaded.model, loaded.tokenizer, path, device, (mean, std))


def _load_efficientnet(device: str) -> ClipModel:
    from . import efficientnet as net

    def no_texts(texts: list[str]) -> torch.Tensor:
        raise UnknownNameError(f"{EFFICIENTNET} reads no texts")

    preprocess = functools.partial(letterbox, side=net.SIDE, mean=net.MEAN, std=net.STD)
    return ClipModel(EFFICIENTNET, net.load_network(device), preprocess, no_texts, net.SHA256[:16], device)


def _assemble(
    name: str, model: Any, tokenize: Any, path: Path, device: str, scale: tuple[tuple[float, ...], tuple[float, ...]]
) -> ClipModel:
    size = model.visual.image_size
    side = int(size if isinstance(size, int) else size[0])
    preprocess = functools.partial(letterbox, side=side, mean=scale[0], std=scale[1])
    return ClipModel(name, model.eval().requires_grad_(False), preprocess, tokenize, file_sha256(path)[:16], device)


def letterbox(frames: NDArray[np.uint8], side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> torch.Tensor:
    """Whole frames (T, H, W, 3) uint8 as (T, 3, side, side), normalized, the rest filled with the mean color.

    CLIP's own preprocessing crops the center square: of an 832x480 frame it never sees 42%. Bicubic with antialiasing.
    """
    x = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    height, width = x.shape[-2:]
    scale = side / max(height, width)
    new = (max(1, round(height * scale)), max(1, round(width * scale)))
    if new != (height, width):
        x = F.interpolate(x, size=new, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    top, left = (side - new[0]) // 2, (side - new[1]) // 2
    return F.pad(x, (left, side - new[1] - left, top, side - new[0] - top))


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
        found = self._memory.get(key)
        if found is None:
            found = self._from_disk(key, len(clip))
        if found is None:
            found = self._compute(clip)
            self._to_disk(key, found)
        self._memory[key] = found
        self._memory.move_to_end(key)
        if len(self._memory) > _IN_MEMORY:
            self._memory.popitem(last=False)
        return found

    def text(self, text: str) -> Array:
        """(D,) unit vector of a text, cut where it is too long (see `count_tokens`)."""
        if text not in self._texts:
            with torch.inference_mode(), one_thread(self.clip.device):
                tokens = self.clip.tokenize([text]).to(self.clip.device)
                found = F.normalize(self.clip.model.encode_text(tokens).float(), dim=-1)
            self._texts[text] = found[0].cpu().numpy()
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

        found = self._disk.get(f"{self.label} letterbox1 {key}", decode)
        return found if found is not None and found.ndim == 2 and len(found) == frames else None

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
