"""Checking a split: every promise of its manifest against its files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.errors import MotionBenchError, VideoError
from motionbench.split import Split

from .world.truth import truth_path


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a split. where: a case id, a reference id, a file, or the split itself."""

    kind: str
    where: str
    message: str


def check_split(split: Split) -> list[Finding]:
    """Everything wrong with a split, in the order of its cases; [] for a sound one.

    Checked: files, checksums, decoding, equal length and size, duplicates, licences, prompts against levels, the
    balance of categories, and ground truth where there is any. The manifest's own form is `read_split`'s to check.
    """
    found = [finding for case in split.cases for finding in _check_words(case)]
    clips: dict[str, Clip] = {}
    for case in {case.reference_id: case for case in split.cases}.values():
        try:
            clips[case.reference_id] = split.read_reference(case)
        except VideoError as error:
            found.append(Finding("video", case.reference_id, str(error)))
            continue
        found += _check_truth(split.reference_path(case), clips[case.reference_id], case)
    return found + _check_clips(clips) + _check_prompts(split) + _check_balance(split)


def _check_words(case: Case) -> list[Finding]:
    fields = ("licence", "source", "caption", "prompt")
    found = [Finding(field, case.id, f"{field} is empty") for field in fields if not getattr(case, field).strip()]
    same = case.prompt.strip().lower() == case.caption.strip().lower()
    if same != (case.level is Level.CAPTION):
        be = "differ from" if same else "be"
        found.append(Finding("level", case.id, f"at level {case.level} the prompt must {be} the caption"))
    return found


def _check_clips(clips: dict[str, Clip]) -> list[Finding]:
    first: dict[str, str] = {}
    pairs = [(name, first.setdefault(clip.sha256, name)) for name, clip in clips.items()]
    found = [Finding("duplicate", name, f"same frames as {other}") for name, other in pairs if name != other]
    shapes = Counter((c.frames.shape[:3], c.fps) for c in clips.values())
    usual = shapes.most_common(1)[0][0] if shapes else None
    for name, clip in clips.items():
        if (clip.frames.shape[:3], clip.fps) != usual:
            found.append(Finding("format", name, f"{clip.frames.shape[:3]} at {clip.fps:g} fps, the others {usual}"))
        if np.abs(clip.frames.astype(np.int16) - clip.frames[:1]).max() <= 8:
            found.append(Finding("static", name, "nothing moves: every frame equals the first"))
    return found


def _check_truth(path: Path, clip: Clip, case: Case) -> list[Finding]:
    beside = truth_path(path)
    if not beside.is_file():
        return [Finding("truth", case.reference_id, f"{beside} is missing")] if "rendered" in case.tags else []
    from .world.truth import read_truth

    try:
        truth = read_truth(beside)
        with np.load(beside, allow_pickle=False) as held:
            points, visible = held["points"].shape, held["visible"].shape
    except (MotionBenchError, KeyError, ValueError) as error:
        return [Finding("truth", case.reference_id, str(error))]
    found = []
    if points[1:] != (len(clip), 2) or visible != points[:2]:
        found.append(Finding("truth", case.reference_id, f"tracks are {points} and {visible} for {len(clip)} frames"))
    if (truth.name, truth.caption) != (case.reference_id, case.caption):
        found.append(Finding("truth", case.reference_id, f"truth is that of {truth.name}: {truth.caption!r}"))
    return found


def _check_prompts(split: Split) -> list[Finding]:
    """Each prompt of a reference is another one, and so is each level."""
    found = []
    held: dict[tuple[str, str], str] = {}
    for case in split.cases:
        other = held.setdefault((case.reference_id, case.prompt.strip().lower()), case.id)
        if other != case.id:
            found.append(Finding("prompt", case.id, f"same prompt as {other}"))
    return found


def _check_balance(split: Split) -> list[Finding]:
    counts = {str(c): len({x.reference_id for x in split.cases if x.category is c}) for c in Category}
    if min(counts.values()) * 2 < max(counts.values()):
        told = ", ".join(f"{name} {n}" for name, n in counts.items())
        return [Finding("balance", split.name, f"a category has under half the references of another: {told}")]
    return []
