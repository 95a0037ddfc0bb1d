"""A bounded folder of tensors under the hashes of what they were computed from."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from motionbench.errors import StoreError
from motionbench.files import write_atomically
from motionbench.track_cache import cache_folder

logger = logging.getLogger(__name__)

LIMIT_BYTES = 4 << 30  # latents of an 81-frame clip take 8 MB, a prompt's embeddings 4 MB


class TensorCache:
    """Tensors on disk, least recently used ones dropped past `limit_bytes`; a damaged file counts as absent.

    A folder that cannot be written costs speed only. The default folder is `backbones` in the user's cache.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = cache_folder() / "backbones" if folder is None else folder
        self.limit_bytes = limit_bytes

    def get(self, *key: str) -> Tensor | None:
        """The tensor kept under a key, on the CPU; None if it is not there."""
        path = self._path(key)
        try:
            tensor = load(path.read_bytes())["tensor"]
            path.touch()  # its turn to be dropped is the last again
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError) as error:
            logger.warning("cached tensor %s is damaged and will be computed again: %s", path, error)
            return None
        return tensor

    def put(self, tensor: Tensor, *key: str) -> None:
        """Keeps a tensor under a key and makes room if the folder has grown past its limit."""
        path = self._path(key)
        try:
            write_atomically(path, save({"tensor": tensor.detach().cpu().contiguous()}))
            self._make_room()
        except (OSError, StoreError) as error:
            logger.warning("tensor is not cached: %s", error)

    def _path(self, key: tuple[str, ...]) -> Path:
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def _make_room(self) -> None:
        kept = []
        for path in self.folder.glob("*/*.safetensors"):
            with suppress(OSError):  # another process may drop it meanwhile
                facts = path.stat()
                kept.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.limit_bytes:
                break
            with suppress(OSError):
                path.unlink()
            total -= size
