"""Tensors on disk under what they were computed from: latents of references, embeddings of prompts."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from motionbench.disk_cache import LIMIT_BYTES, DiskCache


class TensorCache:
    """Tensors in a bounded cache (`DiskCache`); the default folder is `backbones` in the user's cache."""

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self._disk = DiskCache("backbones", folder, limit_bytes=limit_bytes)

    def get(self, *key: str) -> Tensor | None:
        """The tensor kept under a key, on the CPU; None if it is not there."""
        return self._disk.get("\0".join(key), lambda data: load(data)["tensor"])

    def put(self, tensor: Tensor, *key: str) -> None:
        """Keeps a tensor under a key and makes room if the folder has grown past its limit."""
        self._disk.put("\0".join(key), save({"tensor": tensor.detach().cpu().contiguous()}))
