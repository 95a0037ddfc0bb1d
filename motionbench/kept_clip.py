"""An adapter that is the reference itself, for methods that learn nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionbench.adapter_folder import MARK, new_adapter_folder
from motionbench.clip import Clip
from motionbench.errors import StoreError


@dataclass(frozen=True)
class KeptClip:
    """An adapter that is the reference itself, kept without loss; None for a method that looks at no reference."""

    clip: Clip | None

    def save(self, folder: Path) -> None:
        """Write `frames.safetensors` and `adapter.json`, in full or not at all. Raises StoreError."""
        from safetensors.numpy import save_file

        with new_adapter_folder(folder) as draft:
            if self.clip is not None:
                save_file({"frames": np.ascontiguousarray(self.clip.frames)}, draft / "frames.safetensors")
            fps = None if self.clip is None else self.clip.fps
            (draft / MARK).write_text(json.dumps({"schema": 1, "method": "control", "fps": fps}) + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> KeptClip:
        """The clip that `save` wrote. Raises StoreError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            fps = json.loads((folder / MARK).read_text("utf-8"))["fps"]
            return cls(None if fps is None else Clip(load_file(folder / "frames.safetensors")["frames"], fps))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            raise StoreError(f"cannot read an adapter from {folder}: {error!r}") from error
