"""The parts of a Wan-type model in a diffusers folder: all at once, or each when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from motionbench.errors import MissingWeightsError
from motionbench.loading import loading

PARTS = ("transformer", "vae", "text_encoder", "tokenizer")


def load_parts(name: str, folder: Path, *, device: str, dtype: str) -> dict[str, Any]:
    """The parts by name, on a device and without gradients; nothing is downloaded.

    The transformer gets `dtype`, but for the modules that Wan keeps in float32; VAE and text encoder stay float32.
    Raises MissingWeightsError naming the parts that are absent.
    """
    with loading():
        from diffusers import AutoencoderKLWan, WanTransformer3DModel
        from transformers import PreTrainedTokenizerFast, UMT5EncoderModel

    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise MissingWeightsError(
            f"backbone {name}: {folder} has no {', '.join(missing)}; expected a diffusers folder of a Wan model"
        )
    options: dict[str, Any] = {"local_files_only": True}
    parts = {
        "transformer": WanTransformer3DModel.from_pretrained(
            folder / "transformer", torch_dtype=getattr(torch, dtype), **options
        ),
        "vae": AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32, **options),
        "text_encoder": UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, **options),
        # Not AutoTokenizer: the class that transformers 5 noted in the folder has another name in transformers 4.
        "tokenizer": PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer", **options),
    }
    for part in ("transformer", "vae", "text_encoder"):
        parts[part] = parts[part].to(device).eval().requires_grad_(False)
    return parts


class LazyParts(Mapping[str, Any]):
    """The parts of a diffusers folder, each loaded when it is first asked for."""

    def __init__(self, loaders: Mapping[str, Callable[[], Any]]) -> None:
        self._loaders = loaders
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._loaders[name]()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders)

    def __len__(self) -> int:
        return len(self._loaders)

    def release(self, name: str) -> None:
        """Forgets a part; the next one who asks loads it again."""
        self._loaded.pop(name, None)
