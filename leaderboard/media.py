"""Videos of a page: embedded up to a size, else linked beside it, named by the hash of their bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from motionbench.case import Case
from motionbench.errors import VideoError
from motionbench.files import file_sha256, write_atomically
from motionbench.record import Record

from .boards import Board
from .merging import Entry

Mode = Literal["embed", "link", "none"]
MODES: tuple[Mode, ...] = ("embed", "link", "none")
MEGABYTE = 1_000_000
EMBED_LIMIT = 32  # MB of video in a page: browsers open it at once, and mail and forges still take it
OURS = re.compile(r"[0-9a-f]{16}\.\w{2,4}")


@dataclass(frozen=True)
class Video:
    """One file to show. sha256: of its bytes, as the manifest or the record states it."""

    path: Path
    sha256: str

    @property
    def id(self) -> str:
        """What the page calls it."""
        return self.sha256[:16]


@dataclass
class Media:
    """What became of the videos: `embedded` id -> base64, `linked` id -> address, and notes on those missing.

    facts: id -> fps, frames, width, height, for players that step frame by frame. paths: id -> the file it came from.
    """

    embedded: dict[str, str] = field(default_factory=dict)
    linked: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    shown: list[tuple[Board, Entry, Record]] = field(default_factory=list)

    def has(self, video: Video | None) -> bool:
        """True if the page can play it."""
        return video is not None and video.id in self.paths


def generated_video(entry: Entry, record: Record) -> Video | None:
    """The video of an attempt; None if it failed."""
    if record.video is None or record.video_sha256 is None:
        return None
    return Video(entry.stores[record.key].inside(record.video), record.video_sha256)


def reference_video(entry: Entry, case: Case | None) -> Video | None:
    """The reference clip of a case; None where the split is not on this machine."""
    split = entry.split
    return None if split is None or case is None else Video(split.reference_path(case), case.sha256)


def gather(boards: Iterable[Board], page: Path, mode: Mode, limit_megabytes: float | None) -> Media:
    """Embeds or links the boards' videos; what is gone, or is not the file that was recorded, is noted and not shown.

    embed: up to the limit (default EMBED_LIMIT) in the page, the rest linked. link: up to the limit (default: all),
    the rest left out. Linked files are copied into a folder beside the page, so that both can be moved together; what
    the results no longer hold is taken from there, so that a page can be made anew from records alone.
    Under a limit every method gets its clips of the same cases, spread over the categories.
    """
    media = Media()
    if mode == "none":
        return media
    folder = page.with_name(f"{page.stem}-media")
    room = (limit_megabytes if limit_megabytes is not None else EMBED_LIMIT if mode == "embed" else 1e9) * MEGABYTE
    seen: set[str] = set()
    for board, entry, record, videos in _in_order(boards):
        for video in videos:
            if video.id in seen:
                continue
            seen.add(video.id)
            path, data = _read(video, folder, media.notes)
            fits = len(data) <= room
            if not data or (mode == "link" and not fits):
                continue
            if mode == "embed" and fits:
                media.embedded[video.id] = base64.b64encode(data).decode()
            else:
                media.linked[video.id] = _link(video, data, folder)
            room -= len(data) if fits else 0
            media.paths[video.id] = path
            media.facts[video.id] = video_facts(path)
        if all(media.has(video) for video in videos):
            media.shown.append((board, entry, record))
    absent = len(seen) - len(media.paths)
    if absent:
        media.notes.append(f"{absent} of {len(seen)} videos are not on this page: left out of it, or of the results.")
    _remove_stale(folder, media)
    return media


def _in_order(boards: Iterable[Board]) -> Iterator[tuple[Board, Entry, Record, list[Video]]]:
    """Every attempt with its videos: case after case through all entries, categories taking turns."""
    for board in boards:
        by_category: dict[str, list[str]] = {name: [] for name in board.categories}
        for case_id in sorted({r.case_id for e in board.entries for r in e.records}):
            by_category[case_id.partition("/")[0]].append(case_id)
        turns = [case for turn in zip_longest(*by_category.values()) for case in turn if case is not None]
        by_case: dict[str, list[tuple[Entry, Record]]] = {}
        for entry in board.entries:
            for record in entry.records:
                by_case.setdefault(record.case_id, []).append((entry, record))
        for case_id in turns:
            for entry, record in by_case[case_id]:
                videos = reference_video(entry, board.cases.get(case_id)), generated_video(entry, record)
                yield board, entry, record, [video for video in videos if video is not None]


def _read(video: Video, folder: Path, notes: list[str]) -> tuple[Path, bytes]:
    """The file with the recorded bytes, and these; no bytes if there is none. One that was changed is noted."""
    for path in (video.path, _beside(video, folder)):
        try:
            if file_sha256(path) == video.sha256:
                return path, path.read_bytes()
        except OSError:
            continue
        notes.append(f"{_place(path)} is not the video that was recorded (its checksum differs), and is not shown.")
    return video.path, b""


def _beside(video: Video, folder: Path) -> Path:
    """Where a linked video lies: under the hash of its bytes."""
    suffix = video.path.suffix.lower()
    return folder / f"{video.id}{suffix if OURS.fullmatch(video.id + suffix) else '.mp4'}"


def _place(path: Path) -> str:
    """The end of a path: a page that is published must not tell where a home folder is."""
    return "/".join(path.parts[-4:])


def _link(video: Video, data: bytes, folder: Path) -> str:
    target = _beside(video, folder)
    if not target.is_file() or file_sha256(target) != video.sha256:
        write_atomically(target, data)
    return f"{folder.name}/{target.name}"


def _remove_stale(folder: Path, media: Media) -> None:
    """Deletes videos that an earlier page of this name linked and this one does not; touches no other file."""
    kept = {Path(address).name for address in media.linked.values()}
    for path in folder.glob("*") if folder.is_dir() else ():
        if OURS.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def video_facts(path: Path) -> dict[str, Any]:
    """Rate, count and size of a video, as its header states them; {} if it cannot be opened."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            rate = stream.average_rate
            return {
                "fps": float(rate) if rate else None,
                "frames": stream.frames or None,
                "width": stream.codec_context.width,
                "height": stream.codec_context.height,
            }
    except (av.error.FFmpegError, IndexError, OSError, VideoError):
        return {}
