"""What goes wrong on the way to the Hub: clear errors, nothing half done, and the same call goes on."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hub_server import HubServer, environment
from motionbench.data_cards.hub.address import Address
from motionbench.data_cards.hub.catalog import bytes_to_catalog
from motionbench.data_cards.hub.errors import HubError, without_token
from motionbench.data_cards.hub.publishing import push_splits
from motionbench.data_cards.hub.pulling import pull_splits

from motionbench.errors import StoreError
from motionbench.split import Split

REPO = Address("ann/motion")


def test_a_wrong_token_is_named_as_such_and_never_shown(
    hub: HubServer, small: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrong")
    with pytest.raises(HubError, match="refuses the token; log in with") as caught:
        push_splits([small], REPO)
    assert "hf_wrong" not in str(caught.value) + repr(caught.value.__cause__)
    assert hub.repos == {}


def test_no_token_is_said_before_anything_is_asked(
    hub: HubServer, small: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="no token found"):
        push_splits([small], REPO)
    assert hub.log == []


def test_another_s_namespace_is_refused_with_its_mend(hub: HubServer, small: Split) -> None:
    with pytest.raises(HubError, match="may not write there; use a namespace of your own"):
        push_splits([small], Address("bob/motion"))
    assert hub.repos == {}


def test_another_s_repository_is_refused(hub: HubServer, small: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    push_splits([small], REPO)
    monkeypatch.setenv("HF_TOKEN", "hf_otherotherother")
    changed = Split("other", small.revision, small.root, small.cases)
    with pytest.raises(HubError, match="may not write there"):
        push_splits([changed], REPO)
    assert len(hub.commits("ann/motion")) == 1


def test_without_a_network_both_ways_say_so(
    small: Split, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubError, match="cannot be reached"):
        push_splits([small], REPO)
    with pytest.raises(HubError, match="cannot be reached"):
        pull_splits(REPO, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_hub_of_these_tests_counts_uploads_that_come_at_once(hub: HubServer) -> None:
    hub.puts_before_failure = 2
    bodies = [bytes([number]) * 2_000_000 for number in range(8)]

    def put(body: bytes) -> int:
        address = f"{hub.url}/lfs/{hashlib.sha256(body).hexdigest()}"
        try:
            return int(urlopen(Request(address, data=body, method="PUT")).status)
        except HTTPError as error:
            return int(error.code)

    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(put, bodies))
    assert sorted(answers) == [200] * 2 + [400] * 6


def test_a_broken_upload_commits_nothing_and_is_taken_up_again(hub: HubServer, small: Split) -> None:
    hub.puts_before_failure = 2
    with pytest.raises(HubError, match="push to ann/motion"):
        push_splits([small], REPO)
    assert hub.commits("ann/motion") == []
    assert len(hub.puts) == 2
    hub.puts_before_failure = None
    push_splits([small], REPO)
    assert len(hub.commits("ann/motion")) == 1
    assert len(hub.puts) == 4  # the two that were missing; none was sent twice
    assert len(set(hub.puts)) == 4


def test_a_change_by_another_in_the_meantime_is_not_overwritten(
    hub: HubServer, small: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    import motionbench.data_cards.hub.publishing as publishing

    push_splits([small], REPO)
    written = publishing.write_tables

    def write_late(*arguments: object) -> object:
        files = hub.repos["ann/motion"].branches["main"][-1].files
        late = hub.new_commit("by another", "x", files | {"notes.md": b"hello"}, frozenset())
        hub.repos["ann/motion"].branches["main"].append(late)
        return written(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(publishing, "write_tables", write_late)
    with pytest.raises(HubError, match="changed it in the meantime; repeat"):
        push_splits([Split("other", small.revision, small.root, small.cases)], REPO)
    assert hub.commits("ann/motion")[-1].title == "by another"


def test_a_cut_download_leaves_no_split_and_is_taken_up_again(
    hub: HubServer, small: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.file_download as file_download

    push_splits([small], REPO)
    hub.cut_downloads = True
    monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
    with pytest.raises(HubError, match="ann/motion"):
        pull_splits(REPO, [], tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
    hub.cut_downloads = False
    (pulled,) = pull_splits(REPO, [], tmp_path / "out")
    assert pulled.revision == small.revision


def test_a_revision_that_is_not_there_is_said(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], REPO)
    with pytest.raises(HubError, match="no such branch, tag or commit"):
        pull_splits(Address("ann/motion", "v9"), [], tmp_path / "out")
    with pytest.raises(HubError, match="has no split 'lite'; it has small"):
        pull_splits(REPO, ["lite"], tmp_path / "out")
    with pytest.raises(HubError, match="no such dataset repository"):
        pull_splits(Address("ann/nothing"), [], tmp_path / "out")


def test_a_full_disk_while_pulling_leaves_nothing_behind(
    hub: HubServer, small: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import motionbench.files as files

    push_splits([small], REPO)

    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        pull_splits(REPO, [], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))  # every write of a larger file fails, as on a full disk
from pathlib import Path
from motionbench.data_cards.hub.address import Address
from motionbench.data_cards.hub.publishing import push_splits
from motionbench.split import read_split
from motionbench.errors import MotionBenchError
try:
    push_splits([read_split(sys.argv[1])], Address("ann/motion"))
except MotionBenchError as error:
    print(error)
"""


def test_a_disk_that_takes_no_table_stops_a_push_before_anything_is_sent(
    hub: HubServer, small_folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", LIMITED, str(small_folder)]
    done = subprocess.run(command, env=environment(hub, tmp_path), capture_output=True, text=True)
    assert "the disk is full (or a quota or file-size limit" in done.stdout, done.stdout + done.stderr[-1500:]
    assert hub.repos == {}


def test_a_split_from_elsewhere_cannot_write_outside_of_its_folder(
    hub: HubServer, small: Split, tmp_path: Path
) -> None:
    push_splits([small], REPO)
    commit = hub.commits("ann/motion")[-1]
    for evil in (b"../../evil", b"/tmp/evil", b"splits/small/../../../evil"):
        text = commit.files["splits.json"].replace(b"splits/small/README.md", evil)
        with pytest.raises(HubError, match="outside of its folder"):
            bytes_to_catalog(text, "here")
    with pytest.raises(HubError, match="not a catalog"):
        bytes_to_catalog(b"[]", "here")


def test_tokens_are_blotted_out_of_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret-of-another-kind")
    assert without_token("a hf_abcdefgh12 b secret-of-another-kind c") == "a hf_*** b hf_*** c"
