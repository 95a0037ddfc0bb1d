"""Videos: each reference is there, is the file that was hashed, decodes, and is as long and as large as declared."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.errors import VideoError
from motionbench.files import file_sha256
from motionbench.video import read_clip
from motionbench.video_file import check_file

from .finding import Finding, Severity

LOCK = "lock.json"
FPS_RANGE = (1.0, 120.0)
FPS_TOLERANCE = 0.01
TRUTH = ".truth.npz"
RENDERED = "rendered"  # the tag of clips that have ground truth beside them


def read_lock(root: Path) -> dict[str, dict[str, Any]]:
    """What a recipe declared of each reference (frames, width, height, fps) in lock.json; {} without one.

    Raises ValueError if it is malformed.
    """
    path = root / LOCK
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    references = value.get("references") if isinstance(value, dict) else None
    if not isinstance(references, dict) or not all(isinstance(entry, dict) for entry in references.values()):
        raise ValueError("expected {references: {id: {frames, width, height, fps}}}")
    return references


def read_reference(root: Path, case: Case, findings: list[Finding]) -> Clip | None:
    """The clip of a reference; None, and the reason among `findings`, if it cannot be used."""
    path, name = root / case.reference, case.reference_id
    if not path.resolve().is_relative_to(root.resolve()):
        findings.append(Finding("reference", name, "is a link that leaves the split's folder", str(path)))
        return None
    try:
        check_file(path)
        actual = file_sha256(path)
        if actual != case.sha256:
            text = f"expected sha256 {case.sha256[:12]}…, got {actual[:12]}…; fetch it again, or mend the sum"
            findings.append(Finding("sha256", name, text, str(path)))
        clip = read_clip(path).steady()
    except (VideoError, OSError) as error:
        kind = "missing" if not path.exists() else "video"
        findings.append(Finding(kind, name, str(error).removeprefix(f"{path}: "), str(path)))
        return None
    findings += check_clip(path, name, clip)
    return clip if len(clip) > 1 else None


def check_clip(path: Path, name: str, clip: Clip) -> Iterator[Finding]:
    """What is wrong with a decoded clip by itself."""
    if len(clip) < 2:
        yield Finding("length", name, "has a single frame; a reference needs motion", str(path))
    if not FPS_RANGE[0] <= clip.fps <= FPS_RANGE[1]:
        text = f"{clip.fps:g} frames per second; usual are {FPS_RANGE[0]:g} to {FPS_RANGE[1]:g}"
        yield Finding("fps", name, text, str(path), severity=Severity.WARNING)


def check_sizes(
    shapes: Mapping[str, Mapping[str, float]], files: Mapping[str, str], lock: Mapping[str, Mapping[str, Any]]
) -> Iterator[Finding]:
    """Clips that differ from what the lock declares of them."""
    for name, shape in shapes.items():
        for key, kind in KINDS.items():
            wanted = lock.get(name, {}).get(key)
            if wanted is None or abs(float(wanted) - shape[key]) <= (FPS_TOLERANCE if key == "fps" else 0):
                continue
            yield Finding(kind, name, f"{key} {shape[key]:g}, declared {wanted:g}", files[name])


def find_mixture(shapes: Mapping[str, Mapping[str, float]]) -> Iterator[Finding]:
    """A note on each of length, size and rate in which clips that no lock declares differ: footage does, and may."""
    ways = {
        "length": {name: f"{shape['frames']:g} frames" for name, shape in shapes.items()},
        "size": {name: f"{shape['width']:g}x{shape['height']:g}" for name, shape in shapes.items()},
        "fps": {name: f"{shape['fps']:g} per second" for name, shape in shapes.items()},
    }
    for kind, words in ways.items():
        counts = Counter(words.values()).most_common()
        if len(counts) < 2:
            continue
        alone = {text: next(name for name in words if words[name] == text) for text, count in counts if count == 1}
        listed = [f"{text} ({alone.get(text) or f'{count} references'})" for text, count in counts[:MIXTURES]]
        rest = f" and {len(counts) - MIXTURES} more" if len(counts) > MIXTURES else ""
        text = f"references differ: {', '.join(listed)}{rest}; every pair is compared at one length, size and rate"
        yield Finding(kind, "split", text, severity=Severity.NOTE)


MIXTURES = 4  # that a note lists
KINDS = {"frames": "length", "width": "size", "height": "size", "fps": "fps"}


def shape_of(clip: Clip) -> dict[str, float]:
    """Length, size and rate of a clip by the names that a lock uses."""
    return {"frames": len(clip), "width": clip.width, "height": clip.height, "fps": round(clip.fps, 3)}


def check_truth(path: Path, case: Case, clip: Clip) -> Iterator[Finding]:
    """Ground truth that is missing beside a rendered clip, unreadable, or of another length."""
    import numpy as np

    beside = path.with_suffix(TRUTH)
    if not beside.is_file():
        if RENDERED in case.tags:
            text = "the clip is rendered, but its ground truth is not beside it; build or pull the split again"
            yield Finding("truth", case.reference_id, text, str(beside))
        return
    try:
        with np.load(beside, allow_pickle=False) as arrays:
            points, visible = arrays["points"].shape, arrays["visible"].shape
            header = json.loads(bytes(arrays["header"])) if "header" in arrays.files else {}
    except (OSError, KeyError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        yield Finding("truth", case.reference_id, f"cannot be read: {error}", str(beside))
        return
    if len(points) != 3 or points[1:] != (len(clip), 2) or visible != points[:2]:
        text = f"tracks are {points} and {visible} for {len(clip)} frames"
        yield Finding("truth", case.reference_id, text, str(beside))
    words = (header.get("name", case.reference_id), header.get("caption", case.caption))
    if words != (case.reference_id, case.caption):
        yield Finding("truth", case.reference_id, f"is the truth of {words[0]}, {words[1]!r}", str(beside))


def true_objects(path: Path) -> int | None:
    """How many objects the ground truth beside a clip has (`owner`: layer per point, -1 the scene); None without."""
    import numpy as np

    try:
        with np.load(path.with_suffix(TRUTH), allow_pickle=False) as arrays:
            return len(set(arrays["owner"].tolist()) - {-1})
    except (OSError, KeyError, ValueError, EOFError, BadZipFile, zlib.error):
        return None  # what is wrong with it is check_truth's to say


def check_unlisted(root: Path, cases: list[Case]) -> Iterator[Finding]:
    """Videos in the folders of references that no case names: forgotten, or left over."""
    listed = {(root / case.reference).resolve() for case in cases}
    for folder in sorted({path.parent for path in listed if path.is_relative_to(root.resolve())}):
        for path in sorted(folder.glob("*.mp4")) if folder.is_dir() else ():
            if path.resolve() not in listed:
                text = "no case names this video; list it or remove it"
                yield Finding("unlisted", path.name, text, str(path), severity=Severity.WARNING)
