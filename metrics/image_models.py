"""Models of images and texts, any that open_clip knows: found, fetched once on request, loaded; frames seen whole."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from motionbench.errors import MissingWeightsError, UnknownNameError
from motionbench.files import file_sha256
from motionbench.footage import judged_world
from motionbench.loading import loading

from .efficientnet import NAME as EFFICIENTNET

TINY = "tiny-clip"
REAL = "ViT-B-32:openai"  # for footage of no installed world
# Commits of the Hub repositories that named weights are taken from; OpenAI's own files are named by their hash instead.
REVISIONS = {("ViT-B-32", "laion2b_s34b_b79k"): "1a25a446712ba5ee05982a381eed697ef9b435cf"}
# Named weights that a metric of ours uses: how a user fetches them once.
PREFETCH = {REAL: "text_alignment", "ViT-L-14:openai": "text_alignment_l14"}


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
    with loading():
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
    paths = (try_to_load_from_cache(recipe["hf_hub"].rstrip("/"), name, revision=revision) for name in names)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def fetch_command(name: str) -> str:
    """The command that fetches a named model once."""
    if name in PREFETCH:
        return f"motionbench prefetch {PREFETCH[name]}"
    return (
        f"python -c \"from motionbench.metrics.image_models import load_clip; load_clip('{name}', 'cpu', fetch=True)\""
    )


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
