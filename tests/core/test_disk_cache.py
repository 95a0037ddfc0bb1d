"""The bounded cache on disk: what was used longest ago goes first, and nothing that is wrong with it costs a result."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from motionbench.disk_cache import DIGEST, DiskCache

SIZE = 1000 + DIGEST  # bytes of a file here


def file_of(cache: DiskCache, key: str) -> Path:
    """Where a key lies, found by what its absence changes."""
    (path,) = (path for path in cache.folder.glob("*/*") if path.read_bytes()[DIGEST:] == content(key))
    return path


def content(key: str) -> bytes:
    return key.encode() * 1000


def keys_of(cache: DiskCache, keys: str) -> str:
    return "".join(key for key in keys if cache.get(key, bytes) == content(key))


def test_what_was_used_longest_ago_is_dropped_past_the_limit(tmp_path: Path) -> None:
    cache = DiskCache("things", tmp_path, limit_bytes=int(3.5 * SIZE))
    for time, key in enumerate("abc"):
        cache.put(key, content(key))
        os.utime(file_of(cache, key), (time, time))
    assert keys_of(cache, "a") == "a"  # used just now, so b is the oldest
    cache.put("d", content("d"))
    assert keys_of(cache, "abcd") == "acd"


def test_what_other_processes_left_counts_toward_the_limit_of_a_new_one(tmp_path: Path) -> None:
    for number, key in enumerate("abcdef"):
        DiskCache("things", tmp_path, limit_bytes=int(3.5 * SIZE)).put(key, content(key))
        for path in tmp_path.glob("*/*"):
            os.utime(path, ns=(path.stat().st_mtime_ns - number, path.stat().st_mtime_ns - 10**9))
    assert len(list(tmp_path.glob("*/*"))) == 3


@pytest.mark.parametrize("change", [lambda d: b"", lambda d: d[:-1], lambda d: d[:-1] + b"?", lambda d: b"?" + d[1:]])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, change, caplog: pytest.LogCaptureFixture) -> None:  # type: ignore[no-untyped-def]
    cache = DiskCache("things", tmp_path)
    cache.put("a", content("a"))
    file = file_of(cache, "a")
    file.write_bytes(change(file.read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert cache.get("a", bytes) is None
    assert "cached things" in caplog.text
    assert "computed again" in caplog.text


def test_a_file_that_cannot_be_decoded_counts_as_absent(tmp_path: Path) -> None:
    def decode(data: bytes) -> int:
        raise KeyError(data[0])

    cache = DiskCache("things", tmp_path)
    cache.put("a", content("a"))
    assert cache.get("a", decode) is None


def test_a_folder_that_cannot_be_written_costs_speed_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = DiskCache("things", tmp_path / "file" / "below")
    with caplog.at_level(logging.WARNING):
        cache.put("a", content("a"))
    assert "not cached" in caplog.text
