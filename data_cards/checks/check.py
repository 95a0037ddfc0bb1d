"""`data check`: all findings on a split, and what moves in its clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from motionbench.case import Case, Category
from motionbench.errors import ManifestError
from motionbench.manifest import MANIFEST
from motionbench.split import cases_to_revision, read_split, split_names, splits_folder

from ..hub.card_check import check_card
from .duplicates import Look, find_duplicates
from .finding import Finding, Severity
from .manifest import Line, read_lines
from .motion import MotionStatistics, measure_motion
from .videos import (
    RENDERED,
    check_sizes,
    check_truth,
    check_unlisted,
    find_mixture,
    read_lock,
    read_reference,
    shape_of,
    true_objects,
)
from .words import check_balance, check_prompts, check_words

Progress = Callable[[int, int], None]
LEAST_MOVING = 0.004  # share of the frame: an object that moves less is not seen


@dataclass(frozen=True)
class Inspection:
    """What a check found: findings in the order of the manifest, and the motion statistics of each reference."""

    name: str
    revision: str | None
    cases: int
    findings: list[Finding]
    motion: dict[str, MotionStatistics] = field(default_factory=dict)

    @property
    def errors(self) -> int:
        """How many findings make the split unfit."""
        return sum(finding.severity is Severity.ERROR for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain values for machines."""
        return asdict(self) | {"errors": self.errors}


def check_split(path_or_name: str | Path) -> list[Finding]:
    """Everything wrong with a split, given by name, folder or manifest; [] for a sound one. Nothing is written.

    Raises UnknownNameError or ManifestError if there is no such split.
    """
    return inspect_split(path_or_name).findings


def inspect_split(path_or_name: str | Path, report: Progress = lambda done, total: None) -> Inspection:
    """All findings on a split and its motion statistics; `report` is told (references done, of how many)."""
    manifest = find_manifest(path_or_name)
    root = manifest.parent
    findings: list[Finding] = []
    lines = read_lines(manifest, findings)
    for line in lines:
        findings += check_words(manifest, line)
    findings += check_prompts(manifest, lines)
    findings += check_balance(manifest, lines) if lines else []
    findings += check_card_beside(manifest)
    seen = look_at_clips(root, lines, findings, report)
    try:
        shapes = {name: one.shape for name, one in seen.items()}
        lock = read_lock(root)
        findings += check_sizes(shapes, {name: one.look.file for name, one in seen.items()}, lock)
        findings += find_mixture({name: shape for name, shape in shapes.items() if name not in lock})
    except ValueError as error:
        findings.append(Finding("lock", "lock.json", f"malformed: {error}", str(root / "lock.json")))
    findings += find_duplicates({name: one.look for name, one in seen.items()})
    findings += check_unlisted(root, [line.case for line in lines])
    cases = tuple(line.case for line in lines)
    name = root.name if manifest.name == MANIFEST else manifest.stem
    return Inspection(
        name, cases_to_revision(cases) if cases else None, len(cases), findings, {n: o.motion for n, o in seen.items()}
    )


def find_manifest(path_or_name: str | Path) -> Path:
    """The manifest of a split: of an embedded one by name, in a folder, or the file itself. Raises as `read_split`."""
    path = splits_folder() / str(path_or_name) if str(path_or_name) in split_names() else Path(path_or_name)
    manifest = path / MANIFEST if path.is_dir() else path
    if not manifest.is_file():
        read_split(path_or_name)  # says what is wrong, and what there is
        raise ManifestError(f"{manifest}: expected a manifest, found nothing; check the path")
    return manifest.resolve()


@dataclass(frozen=True, eq=False)
class Seen:
    """What is kept of a reference's clip; its frames are not, since a split may be larger than the memory."""

    shape: dict[str, float]
    look: Look
    motion: MotionStatistics


def look_at_clips(root: Path, lines: list[Line], findings: list[Finding], report: Progress) -> dict[str, Seen]:
    """What is seen in the clips that decode, by reference; what is wrong with them goes to `findings`."""
    firsts: dict[str, Case] = {}
    for line in lines:
        firsts.setdefault(line.case.reference_id, line.case)
    seen: dict[str, Seen] = {}
    for done, (name, case) in enumerate(firsts.items()):
        report(done, len(firsts))
        clip = read_reference(root, case, findings)
        if clip is None:
            continue
        seen[name] = Seen(shape_of(clip), Look.of(clip), measure_motion(clip))
        findings += check_truth(root / case.reference, case, clip)
        findings += check_motion(case, seen[name].motion, str(root / case.reference))
    report(len(firsts), len(firsts))
    return seen


def check_motion(case: Case, seen: MotionStatistics, file: str) -> Iterator[Finding]:
    """Motion that contradicts the declared category."""
    name, still = case.reference_id, seen.camera_class == "static"
    # Of footage the measured motion is an estimate, and a person's word may be right; a renderer's is not estimated.
    doubt = Severity.ERROR if RENDERED in case.tags else Severity.WARNING
    if still and seen.moving_area < LEAST_MOVING:
        yield Finding("static", name, "nothing moves; a reference needs motion", file)
    elif still and case.category is Category.CAMERA:
        text = f"declared camera, but the camera stands and {seen.moving_area:.0%} of the picture moves"
        yield Finding("motion", name, text, file, severity=doubt)
    elif case.category is not Category.CAMERA and seen.moving_area < LEAST_MOVING:
        text = f"declared {case.category}, but only the camera moves ({seen.camera_class})"
        yield Finding("motion", name, text, file, severity=doubt)
    elif case.category is Category.MULTI_OBJECT and (true_objects(Path(file)) or seen.objects) < 2:
        text = "declared multi_object, but one region moves; look at the clip"
        yield Finding("objects", name, text, file, severity=Severity.WARNING)


def check_card_beside(manifest: Path) -> list[Finding]:
    """What is wrong with the card beside a manifest."""
    card = manifest.with_name("README.md")
    if not card.is_file():
        text = "there is no card; describe composition, sources, prompts, uses and limits in README.md"
        return [Finding("card", card.name, text, str(card), severity=Severity.WARNING)]
    problems = check_card(card.read_text(encoding="utf-8", errors="replace"), configs=False)
    return [Finding("card", card.name, text, str(card), severity=Severity.WARNING) for text in problems]
