"""Which two outputs a rater is shown: questions drawn evenly over pairs of systems, categories and references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from motionbench.case import Case
from motionbench.errors import ConfigError, StoreError
from motionbench.files import file_sha256
from motionbench.record import Record
from motionbench.split import Split

from ..boards import Board, make_boards
from ..merging import Entry, merge
from ..reading import read_runs


@dataclass(frozen=True, eq=False)
class Systems:
    """What is compared: entries of one board by label, on the cases of one split. clips: label -> case -> record."""

    board: Board
    split: Split
    entries: dict[str, Entry]
    clips: dict[str, dict[str, Record]]

    def video(self, label: str, case_id: str) -> Path:
        """The file of a system's output. Raises StoreError if it is not the one recorded."""
        record = self.clips[label][case_id]
        return _checked(self.entries[label].stores[record.key].inside(str(record.video)), str(record.video_sha256))

    def reference(self, case: Case) -> Path:
        """The file of a case's reference. Raises StoreError if it is not the manifest's."""
        return _checked(self.split.reference_path(case), case.sha256)


@dataclass(frozen=True)
class Pair:
    """One question: two systems, by label, on one case."""

    case_id: str
    a: str
    b: str


def _checked(path: Path, sha256: str) -> Path:
    if not path.is_file() or file_sha256(path) != sha256:
        raise StoreError(f"{path}: expected the video with sha256 {sha256[:16]}…; make it again, or fetch it")
    return path


def read_systems(folders: Sequence[Path], names: Sequence[str] = ()) -> Systems:
    """The systems in results folders: all methods that are no controls, or those of these names (method or label).

    Raises StoreError if the folders hold results that no table may rank together (other split, backbone, version), or
    the references are not here; ConfigError if fewer than two systems are left.
    """
    boards = make_boards(merge(read_runs(folders)))
    shared = [board for board in boards if any(_taken(board, entry, names) for entry in board.entries)]
    if len(shared) != 1:
        kinds = "; ".join(f"{b.key.backbone} on {b.key.split} {b.key.revision} by {b.tracker}" for b in shared)
        raise StoreError(f"expected results of one backbone, split and tracker, got {kinds or 'none'}; give fewer")
    (board,) = shared
    entries = {board.labels[e.id]: e for e in board.entries if _taken(board, e, names)}
    if len(entries) < 2:
        known = ", ".join(board.labels[e.id] for e in board.entries)
        raise ConfigError(f"expected two systems or more, got {', '.join(entries) or 'none'}; there are {known}")
    split = next((entry.split for entry in entries.values() if entry.split is not None), None)
    if split is None:
        raise StoreError(f"split {board.key.split} revision {board.key.revision} is not here; raters need its clips")
    return Systems(board, split, entries, {label: _clips(entry) for label, entry in entries.items()})


def _taken(board: Board, entry: Entry, names: Sequence[str]) -> bool:
    return bool({entry.method, board.labels[entry.id]} & set(names)) if names else not entry.facts.is_control


def _clips(entry: Entry) -> dict[str, Record]:
    """Case -> the first seed's clip: one prompt asks for one motion, and more draws are no more references."""
    clips: dict[str, Record] = {}
    for record in entry.records:
        if record.status == "ok" and record.video is not None:
            clips.setdefault(record.case_id, record)
    return clips


def choose_pairs(systems: Systems, count: int, seed: int) -> list[Pair]:
    """At most `count` questions: each pair of systems as often as any other, its cases spread over the categories.

    Of a pair's cases those of new references come first. Raises ConfigError if no case was answered by two systems.
    """
    rng = np.random.default_rng(seed)
    pairs = list(combinations(sorted(systems.clips), 2))
    queues = [_spread(systems.clips[a].keys() & systems.clips[b].keys(), rng) for a, b in pairs]
    if not any(queues):
        raise ConfigError("no case has clips of two systems; generate with the same split, categories and seeds")
    chosen: list[Pair] = []
    order = [int(i) for i in rng.permutation(len(pairs))]
    for turn in range(max(map(len, queues))):
        for index in order:
            if turn < len(queues[index]) and len(chosen) < count:
                a, b = (pairs[index][int(i)] for i in rng.permutation(2))
                chosen.append(Pair(queues[index][turn], a, b))
    return chosen


def _spread(cases: set[str], rng: np.random.Generator) -> list[str]:
    """Cases in random order, categories taking turns, and no reference twice before all have been there."""
    shuffled = [sorted(cases)[int(i)] for i in rng.permutation(len(cases))]
    seen: dict[str, int] = defaultdict(int)
    places: dict[str, tuple[int, int]] = {}
    turns: dict[tuple[str, int], int] = defaultdict(int)
    for case in shuffled:
        reference = case.rpartition("/")[0]
        layer = seen[reference]
        seen[reference] += 1
        group = case.partition("/")[0], layer
        places[case] = layer, turns[group]
        turns[group] += 1
    return sorted(shuffled, key=lambda case: places[case])
