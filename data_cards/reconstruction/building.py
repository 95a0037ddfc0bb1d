"""`data build motionbench`: checks a download, cuts the references, writes manifest, card and lock."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from motionbench.case import Case
from motionbench.errors import ManifestError
from motionbench.files import (
    append_line,
    canonical_json,
    file_sha256,
    make_folder,
    read_lines,
    write_atomically,
    write_json,
)
from motionbench.manifest import MANIFEST, write_manifest

from .cards import render_split_card
from .recipe import NAME, Entry, read_recipe, recipe_hash
from .sources import find_problems, find_sequence, hash_source, read_camera, read_frames

HEIGHT, WIDTH = 480, 832  # what the large backbones take
CRF = 14
LOCK, LOCK_SCHEMA = "lock.json", 1
PROGRESS = ".progress.jsonl"
SHOWN = 12  # problems that one message lists

Progress = Callable[[int, int], None]


def build_reconstruction(
    sources: Path, out: Path, *, partial: bool = False, lock: Path | None = None,
    report: Progress = lambda done, total: None, entries: Sequence[Entry] | None = None,
) -> tuple[Case, ...]:  # fmt: skip
    """Cuts the split `motionbench` from the user's download into `out`, and returns its cases.

    All sources are checked first; with any problem nothing is written (ManifestError lists them), unless `partial`:
    then references without sources are left out, and the card counts them. lock: a lock.json of another user whose
    source hashes must be met. Interrupted, the same call goes on: clips that are whole are kept. Raises StoreError.
    """
    if not sources.is_dir():
        raise ManifestError(f"{sources}: expected the folder of your downloads, found none; check --sources")
    planned = tuple(entries if entries is not None else read_recipe())
    problems = {entry.id: list(find_problems(sources, entry)) for entry in planned}
    bad = [text for texts in problems.values() for text in texts]
    taken = [entry for entry in planned if not problems[entry.id]]
    if bad and not (partial and taken):
        raise ManifestError(describe_problems(bad, partial))
    expected = read_lock(lock) if lock else {}
    make_folder(out)
    references: dict[str, dict[str, Any]] = {}
    done = {line["id"]: line for _, line in read_lines(out / PROGRESS)}
    for number, entry in enumerate(taken):
        report(number, len(taken))
        references[entry.id] = cut_once(sources, out, entry, done.get(entry.id), expected.get(entry.id))
    report(len(taken), len(taken))
    return finish(out, taken, references, len(planned))


def describe_problems(problems: list[str], partial: bool) -> str:
    """One message for all that is wrong with a download."""
    rest = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    hint = "" if partial else "; mend them, or build without those references with --partial"
    listed = "\n".join(problems[:SHOWN])
    return f"{len(problems)} problems with the sources{hint}:\n{listed}{rest}"


def cut_once(
    sources: Path, out: Path, entry: Entry, done: dict[str, Any] | None, expected: dict[str, Any] | None
) -> dict[str, Any]:
    """The lock's line for a reference, its clip cut now unless an earlier call did it from the same source."""
    sequence = find_sequence(sources, entry)
    if sequence is None:  # it was there when the sources were checked
        raise ManifestError(f"{entry.id}: {entry.sequence} has gone from {sources}; repeat the command")
    source = hash_source(entry, sequence)
    if expected is not None and expected.get("source_sha256") != source:
        raise ManifestError(
            f"{entry.id}: the frames of {entry.sequence} are not those of the lock ({source[:12]}… here,"
            f" {str(expected.get('source_sha256'))[:12]}… there); download {entry.sequence} again"
        )
    path = out / entry.reference
    if done and is_done(done, source, path):
        return without_keys(done)
    clip = read_frames(entry, sequence)
    cut = clip.cover(HEIGHT, WIDTH)
    sha = cut.write(path, crf=CRF)
    if (camera := read_camera(entry, sequence)) is not None:
        memory = io.BytesIO()
        np.savez(memory, **camera)  # type: ignore[arg-type]  # stubs take the names for options
        write_atomically(path.with_suffix(".camera.npz"), memory.getvalue())
    line = {"id": entry.id, "recipe": recipe_hash(), "sha256": sha, "source_sha256": source, "frames": len(cut),
            "width": WIDTH, "height": HEIGHT, "fps": round(entry.fps, 3), "source_width": clip.width,
            "source_height": clip.height, "camera_poses": camera is not None}  # fmt: skip
    append_line(out / PROGRESS, canonical_json(line))
    return without_keys(line)


def is_done(line: dict[str, Any], source: str, path: Path) -> bool:
    """Whether an earlier call cut this clip from this source by this recipe, and the file is still that one."""
    same = line["recipe"] == recipe_hash() and line["source_sha256"] == source
    return same and path.is_file() and file_sha256(path) == line["sha256"]


def without_keys(line: dict[str, Any]) -> dict[str, Any]:
    """A line of progress as the lock keeps it."""
    return {key: line[key] for key in sorted(line) if key not in ("id", "recipe")}


def finish(out: Path, taken: list[Entry], references: dict[str, dict[str, Any]], planned: int) -> tuple[Case, ...]:
    """Writes lock, card and, last, the manifest: a split with a manifest is whole."""
    cases = tuple(case for entry in taken for case in entry.cases(references[entry.id]["sha256"]))
    head = {"schema": LOCK_SCHEMA, "split": NAME, "recipe": recipe_hash(), "planned": planned}
    write_json(out / LOCK, head | {"references": references})
    write_atomically(out / "README.md", render_split_card(taken, planned).encode())
    write_manifest(out / MANIFEST, cases)
    (out / PROGRESS).unlink(missing_ok=True)
    return cases


def read_lock(path: Path) -> dict[str, dict[str, Any]]:
    """The references of a lock file. Raises ManifestError if it is none, or is of another recipe."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["recipe"] != recipe_hash():
            raise ManifestError(f"{path}: is of recipe {value['recipe']}, this is {recipe_hash()}; use its version")
        return dict(value["references"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, ManifestError):
            raise
        raise ManifestError(f"{path}: expected a lock.json that `data build` wrote ({error})") from error
