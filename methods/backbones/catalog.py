"""The backbones that can be named: each is a folder of weights and a spec."""

from __future__ import annotations

import hashlib
from pathlib import Path

from motionbench.backbone import BackboneEntry
from motionbench.method import Runtime

from .backbone import Backbone
from .backbone_spec import BackboneSpec
from .random_weights import save_random_wan
from .wan_backbone import WanBackbone
from .wan_models import WAN_1_3B, WAN_14B, WanModel
from .wan_weights import expected_revision, fetch_weights, find_weights

WEIGHTS = Path(__file__).parent / "weights"
_REPORTS = ("training.json", "exam.json")  # say something of the weights; change no result


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


def _tiny(runtime: Runtime) -> Backbone:
    return from_folder("tiny", WEIGHTS / "tiny", runtime)


def _wan(model: WanModel, help: str) -> BackboneEntry:
    return BackboneEntry(
        help=help,
        create=lambda runtime: WanBackbone.create(model, runtime),
        revision=lambda: expected_revision(model),
        check=lambda: find_weights(model),
        prefetch=lambda: str(fetch_weights(model).folder),
        make_random=lambda folder, **options: save_random_wan(folder, model, **options),
        dtype="bfloat16",
    )


tiny = BackboneEntry(
    help="Embedded Wan-type model of 4.5M parameters, trained on the procedural world; runs on two CPU cores.",
    create=_tiny,
    revision=lambda: folder_revision(WEIGHTS / "tiny"),
    small=True,
    gpus=0.125,  # eight feed a large card
)
wan_1_3b = _wan(
    WAN_1_3B, help="Wan2.1 T2V 1.3B, 81 frames 480x832: 29 GB of weights from the Hub or a local folder, one GPU."
)
wan_14b = _wan(
    WAN_14B,
    help="Wan2.1 T2V 14B, 81 frames 480x832: 80 GB of weights from the Hub or a local folder, one GPU of 80 GB.",
)
