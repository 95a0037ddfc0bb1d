"""Pairs of a reference and a clip that somebody made from it: the manifest, and what of it can be asked about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from motionbench.clip import Clip
from motionbench.errors import ManifestError, ShapeError, VideoError
from motionbench.manifest import parse_reference, parse_text
from motionbench.pair import SHAPE
from motionbench.typed_json import to_object

OPPONENTS = 4  # references of other footage that each output is shown
_SAME_ASPECT = 0.05
_FILES = ("reference", "generated")


@dataclass(frozen=True)
class Pair:
    """One output and the reference that it was made from, as paths below the manifest's folder.

    id: `GENERATED from REFERENCE` by default. project: who made it; only references of one project are opponents.
    group: which footage the reference shows, where that is in the list under several names. kind: `transfer`, or `edit`
    (the reference's own geometry).
    """

    reference: str
    generated: str
    id: str = ""
    project: str = ""
    category: str = ""
    kind: str = "transfer"
    group: str = ""
    method: str = ""


@dataclass(frozen=True)
class Survey:
    """What of a manifest can be asked about. shapes: reference -> (T, H, W) at which it is scored.

    left_out: what cannot be asked and why; unequal: how many outputs have another length, size or rate than their
    reference, and are shown at the reference's.
    """

    pairs: tuple[Pair, ...]
    shapes: Mapping[str, tuple[int, int, int]]
    left_out: tuple[str, ...] = ()
    unequal: Mapping[str, int] = field(default_factory=dict)

    def opponents(self, pair: Pair) -> list[str]:
        """Up to four references of other footage, of the same project, length and (within 5%) aspect; drawn by id."""
        frames, height, width = self.shapes[pair.reference]
        pool = []
        for name in sorted({p.reference for p in self.pairs if p.project == pair.project and p.group != pair.group}):
            t, h, w = self.shapes[name]
            if t == frames and abs(w / h / (width / height) - 1) < _SAME_ASPECT:
                pool.append(name)
        order = np.random.default_rng(sum(map(ord, pair.id))).permutation(len(pool))
        return [pool[i] for i in order[:OPPONENTS]]


def read_pairs(path: Path) -> tuple[list[Pair], list[str]]:
    """The pairs of a JSON Lines file, and what is wrong with the other lines.

    A line needs `reference` and `generated`; `id`, `project`, `category`, `kind`, `group`, `method` may follow, and any
    other key is passed over. Raises ManifestError if the file cannot be read or holds no pair at all.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read the pairs in {path}: {error}") from None
    pairs: dict[str, Pair] = {}
    wrong = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            pair = _to_pair(json.loads(line))
            if pair.id in pairs:
                raise ValueError(f"the id {pair.id} is there already")
            pairs[pair.id] = pair
        except ValueError as error:
            wrong.append(f"line {number}: {error}")
    if not pairs:
        first = f"; {wrong[0]}" if wrong else ""
        raise ManifestError(f'{path} holds no pair: one {{"reference": "…", "generated": "…"}} a line{first}')
    return list(pairs.values()), wrong


def _to_pair(line: Any) -> Pair:
    pair = to_object(Pair, line, refuse_unknown=False)
    for key in sorted(vars(pair).keys() & set(line)):
        (parse_reference if key in _FILES else parse_text)(key, line[key])
    named = pair.id or f"{pair.generated} from {pair.reference}"
    return replace(pair, id=named, group=pair.group or pair.reference)


def survey_pairs(folder: Path, pairs: Iterable[Pair], wrong: Iterable[str] = ()) -> Survey:
    """Looks at every file once: what cannot be read, has one frame or is there twice is named and left out.

    References with the same frames are the same footage, whatever their names and groups.
    """
    left_out, unequal = list(wrong), Counter[str]()
    seen: dict[str, _Seen | str] = {}
    groups: dict[str, str] = {}
    kept: dict[tuple[str, str], Pair] = {}
    shapes = {}
    for pair in pairs:
        reference, generated = (_look(folder, name, seen) for name in (pair.reference, pair.generated))
        problem = _problem(reference, generated)
        if problem is None and isinstance(reference, _Seen) and isinstance(generated, _Seen):
            pair = replace(pair, group=groups.setdefault(reference.sha256, pair.group))
            twin = kept.setdefault((reference.sha256, generated.sha256), pair)
            if twin is not pair:
                left_out.append(f"{pair.id}: the same clips as {twin.id}")
                continue
            shapes[pair.reference] = reference.scored
            unequal.update(
                name for name in ("length", "size", "rate") if getattr(reference, name) != getattr(generated, name)
            )
        else:
            left_out.append(f"{pair.id}: {problem}")
    return Survey(tuple(kept.values()), shapes, tuple(left_out), dict(unequal))


@dataclass(frozen=True)
class _Seen:
    """What must be known of a clip without keeping it."""

    sha256: str
    length: int
    size: tuple[int, int]
    rate: float
    scored: tuple[int, int, int]


def _look(folder: Path, name: str, seen: dict[str, _Seen | str]) -> _Seen | str:
    """The facts of a clip, or why there are none; each file is read once."""
    if name not in seen:
        try:
            if not (folder / name).resolve().is_relative_to(folder.resolve()):
                raise VideoError(f"{name} leads out of the manifest's folder")
            clip = Clip.read(folder / name)
            size = clip.height, clip.width
            digest = clip.with_frames(clip.frames).sha256
            seen[name] = _Seen(digest, len(clip), size, round(clip.fps, 2), SHAPE.of(clip))
        except (VideoError, ShapeError) as error:
            seen[name] = str(error)
    return seen[name]


def _problem(reference: _Seen | str, generated: _Seen | str) -> str | None:
    for role, clip in (("reference", reference), ("output", generated)):
        if isinstance(clip, str):
            return f"the {role} cannot be read ({clip})"
        if clip.length < 2:
            return f"the {role} has one frame, and one frame has no motion"
    if reference == generated:
        return "the output is the reference itself"
    return None
