"""The backbones that can be named: each is a folder of weights and a spec."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from motionbench.method import Runtime

from .backbone import Backbone, BackboneSpec
from .random_weights import save_random_wan
from .wan_backbone import WanBackbone
from .wan_models import WAN_1_3B, WAN_14B, WanModel
from .wan_weights import expected_revision, fetch_weights, find_weights

WEIGHTS = Path(__file__).parent / "weights"
_REPORTS = ("training.json", "exam.json")  # say something of the weights; change no result


def tiny(runtime: Runtime) -> Backbone:
    """Embedded Wan-type model of 4.5M parameters, trained on the procedural world; runs on two CPU cores."""
    return from_folder("tiny", WEIGHTS / "tiny", runtime)


def wan_1_3b(runtime: Runtime) -> Backbone:
    """Wan2.1 T2V 1.3B, 81 frames 480x832: 29 GB of weights from the Hub or a local folder, one GPU."""
    return WanBackbone.create(WAN_1_3B, runtime)


def wan_14b(runtime: Runtime) -> Backbone:
    """Wan2.1 T2V 14B, 81 frames 480x832: 80 GB of weights from the Hub or a local folder, one GPU of 80 GB."""
    return WanBackbone.create(WAN_14B, runtime)


def from_folder(name: str, folder: Path, runtime: Runtime) -> Backbone:
    """The backbone in any diffusers folder that also holds a `motionbench.json`."""
    spec = BackboneSpec.read(folder / "motionbench.json")
    return Backbone.load(name, folder, spec, device=runtime.device, dtype=runtime.dtype)


def folder_revision(folder: Path) -> str:
    """Hash of a folder's weights, settings and vocabulary: other weights are another backbone, with other results."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.suffix in (".safetensors", ".json") and file.name not in _REPORTS:
            digest.update(file.relative_to(folder).as_posix().encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _describe(factory: Any, model: WanModel) -> None:
    """What can be asked of a Wan backbone before it is made, and without a download."""
    factory.revision = lambda: expected_revision(model)
    factory.check = lambda: find_weights(model)
    factory.prefetch = lambda: str(fetch_weights(model).folder)
    factory.make_random = lambda folder, **options: save_random_wan(folder, model, **options)
    factory.dtype = "bfloat16"


tiny.small = True  # type: ignore[attr-defined]  # several fit in memory side by side
tiny.gpus = 0.125  # type: ignore[attr-defined]  # of one: eight feed a large card
tiny.revision = lambda: folder_revision(WEIGHTS / "tiny")  # type: ignore[attr-defined]
_describe(wan_1_3b, WAN_1_3B)
_describe(wan_14b, WAN_14B)
