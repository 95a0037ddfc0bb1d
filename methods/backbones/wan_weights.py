"""Finding a Wan model's weights, and saying exactly what is wrong with those that were found.

Looked for in `$MOTIONBENCH_WEIGHTS/NAME`, then in the Hub's local cache at the pinned revision; downloaded only when a
run begins, and only if the Hub may be asked.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motionbench.errors import MissingWeightsError

from .backbone_spec import BackboneSpec
from .parts import PARTS
from .wan_models import WanModel

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "MOTIONBENCH_WEIGHTS"
RANDOM_MARK = "random.json"  # in folders that `doctor --make-random` wrote
_PATTERNS = [*(f"{part}/*" for part in PARTS), "model_index.json"]
_SAMPLES = 16  # places of a weight file that a fingerprint reads, 64 KiB at each
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Weights:
    """A checked folder of weights. revision: the Hub's commit, `local-HASH`, or `random-SEED-SCALE-HASH`."""

    folder: Path
    revision: str
    spec: BackboneSpec


def find_weights(model: WanModel) -> Weights:
    """The weights on this machine; downloads nothing. Raises MissingWeightsError with the command that gets them."""
    local = _local_folder(model)
    if local is not None:
        return check_weights(local, model)
    folder = _snapshot(model, offline=True)
    if folder is None:
        raise MissingWeightsError(
            f"backbone {model.name}: no weights on this machine; get them ({model.download_bytes / 1e9:.0f} GB) by "
            f"{model.fetch_command()!r}, or put a diffusers folder at ${FOLDER_VARIABLE}/{model.name}"
        )
    return check_weights(folder, model, revision=model.revision)


def expected_revision(model: WanModel) -> str:
    """The revision of the weights that a run will use: of those on this machine, else the pinned one, to be fetched.

    Raises MissingWeightsError if nothing may be fetched (HF_HUB_OFFLINE), or a folder of the user's own is at fault.
    """
    from huggingface_hub.constants import HF_HUB_OFFLINE

    try:
        return find_weights(model).revision
    except MissingWeightsError:
        if HF_HUB_OFFLINE or _local_folder(model) is not None:
            raise
        return model.revision


def fetch_weights(model: WanModel) -> Weights:
    """The weights on this machine, downloaded first if they are not there and the Hub can be reached.

    Raises MissingWeightsError with the command that gets them.
    """
    try:
        return find_weights(model)
    except MissingWeightsError as missing:
        if _local_folder(model) is not None:
            raise  # not ours to mend
        logger.warning("%s; asking the Hub", missing)
        folder = _snapshot(model, offline=False)
        if folder is None:
            raise
        return check_weights(folder, model, revision=model.revision)


def _local_folder(model: WanModel) -> Path | None:
    root = os.environ.get(FOLDER_VARIABLE)
    folder = Path(os.path.expanduser(root)) / model.name if root else None
    return folder if folder is not None and folder.is_dir() else None


def _snapshot(model: WanModel, *, offline: bool) -> Path | None:
    """The Hub's cached folder of the pinned revision; None if it is not there, or the Hub does not answer."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(
                model.repository, revision=model.revision, allow_patterns=_PATTERNS, local_files_only=offline
            )
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        if not offline:
            logger.warning("the Hub did not give %s: %s", model.repository, error)
        return None


def check_weights(folder: Path, model: WanModel, *, revision: str | None = None) -> Weights:
    """The folder as weights of this model, if it is whole, of this model, and of the pinned revision.

    revision: of a folder whose origin is known; else it is read from what `hf download --local-dir` notes, or hashed.
    Raises MissingWeightsError naming the fault and the command that gets the right ones.
    """
    fault = missing_files(folder)
    if fault:
        raise _wrong(model, folder, f"is incomplete: {fault}")
    mark = folder / RANDOM_MARK
    if mark.is_file():
        return _random_weights(folder, model, json.loads(mark.read_text("utf-8")))
    fault = other_model(folder, model)
    if fault:
        raise _wrong(model, folder, f"is of another model: {fault}")
    noted = noted_revision(folder) if revision is None else revision
    if noted not in (None, model.revision):
        raise _wrong(model, folder, f"is revision {noted}, expected {model.revision}")
    return Weights(folder, noted or f"local-{fingerprint(folder)}", model.spec)


def _wrong(model: WanModel, folder: Path, fault: str) -> MissingWeightsError:
    in_cache = "snapshots" in folder.parts
    target = " --force-download" if in_cache else f" --local-dir {folder}"
    return MissingWeightsError(
        f"backbone {model.name}: {folder} {fault}; get the right weights by {model.fetch_command() + target!r}"
    )


def _random_weights(folder: Path, model: WanModel, mark: dict[str, Any]) -> Weights:
    if mark["model"] != model.name:
        raise _wrong(model, folder, f"is of another model: random weights for {mark['model']}")
    logger.warning("%s holds random weights: its clips are noise, only times and memory mean something", folder)
    revision = f"random-{mark['seed']}-{mark['scale']}-{fingerprint(folder)}"
    return Weights(folder, revision, BackboneSpec.read(folder / "motionbench.json"))


def missing_files(folder: Path) -> str | None:
    """What of the four parts is absent or cut short, in words; None if nothing is."""
    absent = [part for part in PARTS if not (folder / part).is_dir()]
    if absent:
        return f"no folder {', '.join(absent)}"
    if not any((folder / "tokenizer" / name).exists() for name in ("tokenizer.json", "spiece.model")):
        return "tokenizer/ has neither tokenizer.json nor spiece.model"
    for part in ("transformer", "vae", "text_encoder"):
        fault = _missing_of(folder / part)
        if fault:
            return f"{part}/{fault}"
    return None


def _missing_of(part: Path) -> str | None:
    if not (part / "config.json").is_file():
        return "config.json is missing"
    index = next(iter(sorted(part.glob("*.safetensors.index.json"))), None)
    if index is None:
        files = sorted(part.glob("*.safetensors"))
    else:
        files = [part / name for name in sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))]
    if not files:
        return "*.safetensors is missing"
    faults = (f"{file.name} {fault}" for file in files if (fault := _cut_short(file)))
    return next(faults, None)


def _cut_short(file: Path) -> str | None:
    """What is wrong with the length of a safetensors file: its header says how long it must be."""
    if not file.is_file():
        return "is missing"
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if 8 + length > size:
            return f"is cut short at {size} bytes"
        try:
            entries = json.loads(stream.read(length))
        except ValueError:
            return "has a damaged header"
    end = max((entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"), default=0)
    return None if size == 8 + length + end else f"has {size} bytes, its header says {8 + length + end}"


def other_model(folder: Path, model: WanModel) -> str | None:
    """In which facts the transformer's configuration differs from the model's; None if in none."""
    config = json.loads((folder / "transformer" / "config.json").read_text("utf-8"))
    expected = model.transformer_config() | {"_class_name": "WanTransformer3DModel", "image_dim": None}
    faults = [
        f"{key} is {config.get(key)}, expected {value}"
        for key, value in expected.items()
        if key not in ("patch_size", "cross_attn_norm", "qk_norm") and config.get(key) != value
    ]
    return "; ".join(faults) or None


def noted_revision(folder: Path) -> str | None:
    """The commit that `hf download --local-dir` noted for the weights; None if it noted none.

    Files of several commits give them all, joined by `+`, which is no commit at all.
    """
    notes = sorted((folder / ".cache" / "huggingface" / "download").glob("*/*.safetensors.metadata"))
    commits = {note.read_text("utf-8").split("\n", 1)[0].strip() for note in notes}
    return "+".join(sorted(commits)) or None


def fingerprint(folder: Path) -> str:
    """16 hex digits of a folder's configurations and of samples of its weights: names, sizes, headers, 1 MiB of each.

    Hashing all 29 or 80 GB would take longer than a fit's classification of heads.
    """
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".model")):
        relative = file.relative_to(folder)
        if relative.parts[0].startswith("."):
            continue
        size = file.stat().st_size
        digest.update(f"{relative.as_posix()} {size}\n".encode())
        with file.open("rb") as stream:
            for i in range(_SAMPLES):
                stream.seek(i * max(0, size - _CHUNK) // (_SAMPLES - 1))
                digest.update(stream.read(_CHUNK))
    return digest.hexdigest()[:16]
