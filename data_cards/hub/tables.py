"""Tables: a split as parquet files with the videos inside, and back. One row is one reference with all its prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from motionbench.case import Case, Category
from motionbench.errors import ManifestError
from motionbench.files import hash_json, write_atomically
from motionbench.split import Split

from .address import is_inside
from .client import sha256_of
from .errors import HubError, hub_errors

TABLE_SCHEMA = 2
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")  # what `datasets` takes as the name of a split
SHARD_BYTES = 400_000_000  # of videos and truth; an interrupted push sends at most one such file again
ROWS_PER_GROUP = 8  # small row groups: a stream shows its first clip after a few megabytes


@dataclass(frozen=True)
class Reference:
    """One reference of a split: its cases, its video, and the files of ground truth beside it."""

    id: str
    cases: tuple[Case, ...]
    video: Path
    truth: tuple[tuple[str, Path], ...]  # path below the split's root, and where it lies

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return self.video.stat().st_size + sum(path.stat().st_size for _, path in self.truth)

    def describe(self) -> dict[str, Any]:
        """All of the row but its bytes: these are named by their hash. Equal descriptions mean equal rows."""
        first = self.cases[0]
        shared = {"id": self.id, "reference": first.reference, "sha256": first.sha256, "caption": first.caption,
                  "license": first.license, "source": first.source}  # fmt: skip
        prompts = [{"id": c.id, "level": c.level.value, "prompt": c.prompt, "tags": list(c.tags)} for c in self.cases]
        return shared | {"prompts": prompts, "truth": [[name, sha256_of(path)] for name, path in self.truth]}

    def row(self) -> dict[str, Any]:
        """The row with its bytes."""
        first = self.cases[0]
        video = {"bytes": self.video.read_bytes(), "path": PurePosixPath(first.reference).name}
        truth = [{"path": name, "bytes": path.read_bytes()} for name, path in self.truth]
        described = self.describe()
        return described | {"category": first.category.value, "video": video, "truth": truth}


def references_of(split: Split, category: Category) -> list[Reference]:
    """The references of a category in manifest order. Raises ManifestError for a missing or changed video."""
    grouped: dict[str, list[Case]] = {}
    for case in split.cases:
        if case.category == category:
            grouped.setdefault(case.reference_id, []).append(case)
    return [to_reference(split, name, tuple(cases)) for name, cases in grouped.items()]


def to_reference(split: Split, name: str, cases: tuple[Case, ...]) -> Reference:
    """One reference with its files, the video checked against its hash. Raises ManifestError."""
    video = split.reference_path(cases[0])
    if not video.is_file():
        raise ManifestError(f"{video}: the reference of {cases[0].id} is missing; build or pull the split again")
    actual = sha256_of(video)
    if actual != cases[0].sha256:
        raise ManifestError(
            f"{video}: expected sha256 {cases[0].sha256}, got {actual}; run `motionbench data check` first"
        )
    # Truth lies beside its clip under the clip's name: 0001.mp4, 0001.npz, 0001.tracks.npz.
    beside = sorted(p for p in video.parent.glob(f"{video.stem}.*") if p != video and p.is_file())
    taken = {c.reference for c in split.cases}
    truth = [(str(PurePosixPath(cases[0].reference).parent / path.name), path) for path in beside]
    return Reference(name, cases, video, tuple((name, path) for name, path in truth if name not in taken))


def fingerprint(split: Split, references: list[Reference]) -> str:
    """16 hex digits of a category's content: it tells, without building a table, whether the Hub holds it already."""
    return hash_json([TABLE_SCHEMA, split.name, [reference.describe() for reference in references]])


def features() -> Any:
    """The columns, as `datasets` knows them; the video stays bytes, since decoding needs a library that few have."""
    from datasets import Features, Value, Video

    text = Value("string")
    prompts = [{"id": text, "level": text, "prompt": text, "tags": [text]}]
    truth = [{"path": text, "bytes": Value("binary")}]
    names = ("id", "category", "caption", "license", "source", "reference", "sha256")
    return Features({"video": Video(decode=False), **dict.fromkeys(names, text), "prompts": prompts, "truth": truth})


def write_tables(split: Split, category: Category, references: list[Reference], folder: Path) -> dict[str, Path]:
    """Writes a category as parquet files; returns them by their path in the repository. Raises HubError."""
    shards = list(cut_shards(references))
    made: dict[str, Path] = {}
    for number, shard in enumerate(shards):
        path = f"data/{category}/{split.name}-{number:05d}-of-{len(shards):05d}.parquet"
        with hub_errors("prepare the table", path):
            write_table(shard, folder / path)
        made[path] = folder / path
    return made


def cut_shards(references: list[Reference]) -> Iterator[list[Reference]]:
    """References in runs of at most SHARD_BYTES (or one reference)."""
    shard: list[Reference] = []
    size = 0
    for reference in references:
        if shard and size + reference.bytes > SHARD_BYTES:
            yield shard
            shard, size = [], 0
        shard.append(reference)
        size += reference.bytes
    if shard:
        yield shard


def write_table(references: list[Reference], path: Path) -> None:
    """Writes one parquet file. The same references give the same bytes with the same pyarrow."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = features().arrow_schema
    # Not Dataset.from_list: it takes a video's bytes away wherever a file of that relative path happens to exist.
    rows = [reference.row() for reference in references]  # from_pylist takes the columns that the schema names
    Dataset(pa.Table.from_pylist(rows, schema=schema)).to_parquet(path, batch_size=ROWS_PER_GROUP)


def unpack_table(path: Path, folder: Path) -> int:
    """Writes the videos and the ground truth in a parquet file below a folder; returns how many references.

    Raises HubError if a path in it leaves the folder or a video is not the one its hash names.
    """
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    count = 0
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_size=1, columns=["id", "reference", "sha256", "video", "truth"]):
            for row in batch.to_pylist():
                unpack_row(path, row, folder)
                count += 1
    return count


def unpack_row(table: Path, row: dict[str, Any], folder: Path) -> None:
    """Writes the files of one row. Raises HubError before anything of it is written."""
    video = row["video"]["bytes"]
    files = [(row["reference"], video), *((item["path"], item["bytes"]) for item in row["truth"])]
    for name, data in files:
        if not is_inside(name) or data is None:
            raise HubError(
                f"{table.name}: row {row['id']} names a file {name!r} that may not be written; do not use it"
            )
    if sha256_of(video) != row["sha256"]:
        raise HubError(f"{table.name}: the video of {row['id']} is not the one its sha256 names; pull again")
    for name, data in files:
        write_atomically(folder / name, data)
