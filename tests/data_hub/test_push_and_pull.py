"""Push and pull over real sockets: content, idempotence, revisions."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import HubServer, environment
from motionbench.data_cards.hub.address import Address, parse_address
from motionbench.data_cards.hub.card_check import check_card
from motionbench.data_cards.hub.publishing import push_splits
from motionbench.data_cards.hub.pulling import pull_splits

from motionbench.errors import ConfigError, ManifestError, StoreError
from motionbench.manifest import write_manifest
from motionbench.split import Split, read_split

pytestmark = pytest.mark.minimums

REPO = Address("ann/motion")


def files_below(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def change_prompt(split: Split) -> Split:
    """The split with other words in one camera case."""
    cases = list(split.cases)
    cases[1] = replace(cases[1], prompt="a field of sunflowers, the camera pans right")
    write_manifest(split.root / "manifest.jsonl", cases)
    return read_split(split.root)


def test_a_pushed_split_is_one_commit_of_tables_manifest_catalog_and_card(hub: HubServer, small: Split) -> None:
    pushed = push_splits([small], REPO)
    (commit,) = hub.commits("ann/motion")
    assert pushed.changed
    assert pushed.commit == commit.sha
    tables = [path for path in commit.files if path.endswith(".parquet")]
    assert tables == [
        f"data/{c}/small-00000-of-00001.parquet" for c in ("camera", "human", "multi_object", "single_object")
    ]
    assert {"README.md", "splits.json", "splits/small/manifest.jsonl", "splits/small/README.md"} < set(commit.files)
    assert check_card(commit.files["README.md"].decode()) == []


def test_a_second_push_of_the_same_content_sends_nothing_and_makes_no_commit(hub: HubServer, small: Split) -> None:
    first = push_splits([small], REPO)
    hub.log.clear()
    again = push_splits([small], REPO)
    assert not again.changed
    assert again.commit == first.commit
    assert len(hub.commits("ann/motion")) == 1
    assert [line for line in hub.log if line.startswith(("POST", "PUT"))] == []


def test_a_changed_case_makes_a_commit_that_sends_its_category_only(hub: HubServer, small: Split) -> None:
    push_splits([small], REPO)
    hub.puts.clear()
    push_splits([change_prompt(small)], REPO)
    first, second = hub.commits("ann/motion")
    changed = {path for path in second.files if second.files[path] != first.files.get(path)}
    assert changed == {
        "data/camera/small-00000-of-00001.parquet",
        "splits.json",
        "splits/small/manifest.jsonl",
        "README.md",
    }
    assert len(hub.puts) == 1


def test_a_pulled_split_has_the_same_bytes_and_says_where_it_is_from(
    hub: HubServer, small: Split, tmp_path: Path
) -> None:
    commit = push_splits([small], REPO).commit
    (pulled,) = pull_splits(REPO, [], tmp_path / "out")
    assert pulled.folder == tmp_path / "out" / "small"
    held = files_below(pulled.folder)
    origin = json.loads(held.pop("origin.json"))
    assert held == files_below(small.root)
    assert (origin["repo"], origin["commit"], origin["revision"]) == ("ann/motion", commit, small.revision)
    assert read_split(pulled.folder).revision == small.revision


def test_an_older_revision_is_pulled_by_its_commit(hub: HubServer, small: Split, tmp_path: Path) -> None:
    old = push_splits([small], REPO).commit
    new = change_prompt(small)
    push_splits([new], REPO)
    assert old is not None
    (pulled,) = pull_splits(Address("ann/motion", old), ["small"], tmp_path / "old")
    (latest,) = pull_splits(REPO, ["small"], tmp_path / "new")
    assert pulled.revision == small.revision
    assert latest.revision == new.revision != small.revision


def test_a_branch_is_made_and_main_stays(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], Address("ann/motion", "v2"))
    assert hub.commits("ann/motion") == []
    assert len(hub.commits("ann/motion", "v2")) == 1
    (pulled,) = pull_splits(Address("ann/motion", "v2"), [], tmp_path / "out")
    assert pulled.revision == small.revision


def test_a_new_branch_keeps_the_splits_that_main_has(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], REPO)
    hub.puts.clear()
    push_splits([replace(small, name="other")], Address("ann/motion", "next"))
    assert [p.name for p in pull_splits(Address("ann/motion", "next"), [], tmp_path / "next")] == ["other", "small"]
    assert [p.name for p in pull_splits(REPO, [], tmp_path / "main")] == ["small"]
    assert not push_splits([small], Address("ann/motion", "next")).changed


def test_a_second_split_joins_the_first_in_one_repository(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], REPO)
    push_splits([replace(small, name="other")], REPO)
    last = hub.commits("ann/motion")[-1]
    assert set(json.loads(last.files["splits.json"])["splits"]) == {"small", "other"}
    assert check_card(last.files["README.md"].decode()) == []
    assert [p.name for p in pull_splits(REPO, [], tmp_path / "out")] == ["other", "small"]


def test_a_category_that_is_gone_takes_its_table_with_it(hub: HubServer, small: Split) -> None:
    push_splits([small], REPO)
    write_manifest(small.root / "manifest.jsonl", [c for c in small.cases if c.category != "human"])
    push_splits([read_split(small.root)], REPO)
    last = hub.commits("ann/motion")[-1]
    assert not any("human" in path for path in last.files)
    assert "config_name: human" not in last.files["README.md"].decode()


def test_a_dry_run_says_what_would_go_and_changes_nothing(hub: HubServer, small: Split) -> None:
    told = push_splits([small], REPO, dry_run=True)
    assert len(told.sent) == 8
    assert min(told.sent.values()) > 0
    assert hub.repos == {}


def test_a_private_repository_stays_hidden_from_others(
    hub: HubServer, small: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_splits([small], REPO, private=True)
    assert hub.repos["ann/motion"].private
    monkeypatch.setenv("HF_TOKEN", "hf_otherotherother")
    with pytest.raises(Exception, match="private and this token may not see it"):
        pull_splits(REPO, [], tmp_path / "out")


def test_a_split_that_is_there_already_is_not_fetched_again(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], REPO)
    pull_splits(REPO, [], tmp_path / "out")
    shutil.rmtree(tmp_path / "cache")
    hub.log.clear()
    (again,) = pull_splits(REPO, [], tmp_path / "out")
    assert again.was_there
    assert not any("parquet" in line for line in hub.log)


def test_a_folder_with_something_else_in_it_is_left_alone(hub: HubServer, small: Split, tmp_path: Path) -> None:
    push_splits([small], REPO)
    mine = tmp_path / "out" / "small" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(StoreError, match="choose another --out"):
        pull_splits(REPO, [], tmp_path / "out")
    assert files_below(tmp_path / "out") == {"small/notes.txt": b"mine"}


def test_clips_that_may_not_be_passed_on_are_not_pushed(hub: HubServer, small: Split) -> None:
    closed = replace(small, cases=tuple(replace(case, license="All rights reserved") for case in small.cases))
    with pytest.raises(ManifestError, match="may not be passed on"):
        push_splits([closed], REPO)
    assert hub.log == []
    assert push_splits([closed], REPO, allow=["All rights reserved"]).changed
    assert check_card(hub.commits("ann/motion")[0].files["README.md"].decode()) == []


def test_a_split_whose_video_has_changed_is_not_pushed(hub: HubServer, small: Split) -> None:
    path = small.reference_path(small.cases[0])
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ManifestError, match="expected sha256"):
        push_splits([small], REPO)
    assert hub.repos == {}


@pytest.mark.parametrize("text", ["motion", "ann/motion@", "ann/motion@a b", "/motion", "ann//motion", "ann/mo tion"])
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


READER = """
import datasets, hashlib, json, sys
out = {}
for config in ("camera", "human"):
    rows = datasets.load_dataset("ann/motion", config, split="small", revision=sys.argv[1])
    out[config] = [[r["id"], hashlib.sha256(r["video"]["bytes"]).hexdigest(), r["sha256"], r["prompts"],
                    [[t["path"], len(t["bytes"])] for t in r["truth"]]] for r in rows]
stream = datasets.load_dataset("ann/motion", "camera", split="small", revision=sys.argv[1], streaming=True)
out["stream"] = [hashlib.sha256(r["video"]["bytes"]).hexdigest() for r in stream]
assert "motionbench" not in sys.modules
print(json.dumps(out))
"""


def test_datasets_alone_loads_and_streams_the_same_bytes(hub: HubServer, small: Split, tmp_path: Path) -> None:
    commit = push_splits([small], REPO).commit
    command = [sys.executable, "-c", READER, str(commit)]
    done = subprocess.run(command, env=environment(hub, tmp_path), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    out = json.loads(done.stdout)
    stream = out.pop("stream")
    rows = {row[0]: row for part in out.values() for row in part}
    assert set(rows) == {case.reference_id for case in small.cases if case.category in ("camera", "human")}
    for name, video, sha, prompts, truth in rows.values():
        cases = [case for case in small.cases if case.reference_id == name]
        assert video == sha == cases[0].sha256
        assert prompts == [{"id": c.id, "level": c.level, "prompt": c.prompt, "tags": list(c.tags)} for c in cases]
        path = small.reference_path(cases[0]).with_suffix(".npz")
        assert truth == [[path.relative_to(small.root).as_posix(), path.stat().st_size]]
    assert stream == [rows["camera/0001"][1], rows["camera/0002"][1]]
