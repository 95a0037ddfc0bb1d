"""The backbones that can be named: each is a folder of weights and a spec."""

from __future__ import annotations

import hashlib
from pathlib import Path

from motionbench.method import Setting

from .backbone import Backbone, BackboneSpec

WEIGHTS = Path(__file__).parent / "weights"
_REPORTS = ("training.json", "exam.json")  # say something of the weights; change no result


def tiny(setting: Setting) -> Backbone:
    """Embedded Wan-type model of 4.5M parameters, trained on the procedural world; runs on two CPU cores."""
    return from_folder("tiny", WEIGHTS / "tiny", setting)


def from_folder(name: str, folder: Path, setting: Setting) -> Backbone:
    """The backbone in any diffusers folder that also holds a `motionbench.json`."""
    spec = BackboneSpec.read(folder / "motionbench.json")
    return Backbone.load(name, folder, spec, device=setting.device, dtype=setting.dtype)


def folder_revision(folder: Path) -> str:
    """Hash of a folder's weights, settings and vocabulary: other weights are another backbone, with other results."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".json") and file.name not in _REPORTS:
            digest.update(file.relative_to(folder).as_posix().encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


tiny.revision = lambda: folder_revision(WEIGHTS / "tiny")  # type: ignore[attr-defined]
