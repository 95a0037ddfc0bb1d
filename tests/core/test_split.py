from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drift_method import make_split
from footage import encode, moving_frames

from motionbench import split as split_module
from motionbench.case import Category, Level
from motionbench.errors import ManifestError, PluginError, UnknownNameError, VideoError
from motionbench.manifest import write_manifest
from motionbench.split import read_split, split_names
from motionbench.split_location import find_split
from motionbench.store import ResultStore

LINE: dict[str, Any] = {
    "id": "camera/0001/0",
    "category": "camera",
    "reference": "clips/a.mp4",
    "sha256": "0" * 64,
    "caption": "a pan over a wall",
    "prompt": "a pan over a forest",
    "level": "scene",
    "license": "CC0-1.0",
    "source": "test",
    "tags": ["pan"],
}


def manifest(folder: Path, *lines: dict[str, Any] | str | bytes) -> Path:
    path = folder / "manifest.jsonl"
    encoded = [x if isinstance(x, bytes) else (x if isinstance(x, str) else json.dumps(x)).encode() for x in lines]
    path.write_bytes(b"\n".join(encoded) + b"\n")
    return path


def with_(**changes: Any) -> dict[str, Any]:
    return {**LINE, **changes}


def test_manifest_is_read_in_order_with_typed_fields(tmp_path: Path) -> None:
    path = manifest(tmp_path, with_(id="camera/0001/1"), "", with_(tags=[]))
    split = read_split(path)
    assert [case.id for case in split.cases] == ["camera/0001/1", "camera/0001/0"]
    case = split.cases[0]
    assert (case.category, case.level, case.tags) == (Category.CAMERA, Level.SCENE, ("pan",))
    assert case.reference_id == "camera/0001"
    assert split.root == tmp_path.resolve()
    assert split.reference_path(case) == tmp_path.resolve() / "clips/a.mp4"
    assert read_split(tmp_path) == split
    assert split.by_id()["camera/0001/0"] is split.cases[1]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("{", "expected one JSON object"),
        ("[1]", "expected one JSON object, got list"),
        (with_(license_url="x"), "unknown key 'license_url'; keys are"),
        ({k: v for k, v in LINE.items() if k != "prompt"}, "key 'prompt' is missing"),
        (with_(id="camera/0001/0"), "id 'camera/0001/0' stands in an earlier line"),
        (with_(id="camera/1/0"), "id must be category/NNNN/n"),
        (with_(id="../../0001/0"), "id must be category/NNNN/n"),
        (with_(id="zoo/0001/0"), "id must be category/NNNN/n"),
        (with_(id="human/0001/1"), "id 'human/0001/1' and category 'camera' disagree"),
        (with_(id="camera/0001/1", caption="other"), "caption differs from that of 'camera/0001/0'"),
        (with_(id="camera/0001/1", sha256="1" * 64), "sha256 differs"),
        (with_(category="cars"), "unknown category 'cars'; it is one of camera"),
        (with_(category=["camera"]), "unknown category"),
        (with_(level="easy"), "unknown level 'easy'"),
        (with_(reference="/etc/passwd"), "reference must be a path below"),
        (with_(reference="clips/../../a.mp4"), "reference must be a path below"),
        (with_(reference="c:\\a.mp4"), "reference must be a path below"),
        (with_(reference=7), "reference must be a string, got int"),
        (with_(prompt="  "), "prompt must not be empty"),
        (with_(prompt=None), "prompt must be a string, got NoneType"),
        (with_(sha256="abc"), "sha256 must be 64 lower-case hex digits"),
        (with_(tags="pan"), "tags must be a list of strings"),
        (b'{"id": "\xff"}', "expected UTF-8, got byte 0xff"),
        (with_(reference="."), "reference must be a path below"),
        (with_(reference="clips/"), "reference must be a path below"),
        (with_(reference="a" * 300 + ".mp4"), "reference must be a path that a disk can hold"),
        (with_(prompt="a\0b"), "prompt must be plain text, got '\\x00'"),
        (with_(caption="\x1b[2J"), "caption must be plain text, got '\\x1b'"),
        (with_(prompt="a \ud800 b"), "prompt must be plain text, got '\\ud800'"),
        (with_(tags=["\udfff"]), "tags must be plain text"),
        (with_(id="camera/٠٠٠١/0"), "id must be category/NNNN/n"),
        (with_(id="camera/" + "1" * 500 + "/0"), "id must be category/NNNN/n"),
        (with_(prompt="x" * 20_000), "prompt must have at most 10000 characters, got 20000"),
        ('{"id": ' + "1" * 5000 + "}", "Exceeds the limit"),
        ("[" * 100_000, "expected one JSON object, got brackets within brackets"),
        ('{"id": "a", "id": "b"}', "key 'id' stands twice"),
    ],
)
def test_malformed_line_is_named_with_file_and_line(
    tmp_path: Path, bad: dict[str, Any] | str | bytes, says: str
) -> None:
    path = manifest(tmp_path, LINE, bad)
    with pytest.raises(ManifestError) as caught:
        read_split(path)
    assert str(caught.value).startswith(f"{path}:2: {says}")
    assert str(caught.value).isprintable()  # so it is one line, and short
    assert len(str(caught.value)) < 400 + len(str(path))


def test_empty_and_absent_manifests_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="at least one case"):
        read_split(manifest(tmp_path, ""))
    with pytest.raises(ManifestError, match="found nothing; check the path"):
        read_split(tmp_path / "absent")
    with pytest.raises(ManifestError, match="found nothing; check the path"):
        read_split("absent.jsonl")
    with pytest.raises(UnknownNameError, match="unknown split 'minni'"):
        read_split("minni")


def test_revision_follows_content_and_not_layout(tmp_path: Path) -> None:
    one = read_split(manifest(tmp_path, LINE)).revision
    assert read_split(manifest(tmp_path, json.dumps(dict(reversed(LINE.items())), indent=None), "")).revision == one
    assert read_split(manifest(tmp_path, json.dumps(LINE).replace(": ", ":") + "\r")).revision == one
    assert read_split(manifest(tmp_path, with_(prompt="another"))).revision != one
    assert read_split(manifest(tmp_path, LINE, with_(id="camera/0001/1"))).revision != one


def test_written_manifest_reads_back_and_a_bad_one_is_not_written(tmp_path: Path) -> None:
    split = read_split(manifest(tmp_path, LINE, with_(id="camera/0001/1", prompt="ein Wäldchen")))
    write_manifest(tmp_path / "copy" / "manifest.jsonl", split.cases)
    assert read_split(tmp_path / "copy").cases == split.cases
    with pytest.raises(ManifestError, match="earlier line"):
        write_manifest(tmp_path / "twice.jsonl", split.cases * 2)
    assert not (tmp_path / "twice.jsonl").exists()


def test_limit_counts_references_of_each_category(tmp_path: Path) -> None:
    ids = [f"{c}/{r:04d}/{p}" for c in ("human", "camera") for r in (2, 1, 3) for p in (0, 1)]
    split = read_split(manifest(tmp_path, *[with_(id=i, category=i.split("/")[0]) for i in ids]))
    chosen = {case.id for case in split.select(limit=2)}
    assert chosen == {i for i in ids if "/0003/" not in i}
    assert {case.category for case in split.select([Category.HUMAN], 1)} == {"human"}
    assert len(split.select([Category.HUMAN], 1)) == 2
    assert split.select() == split.cases
    with pytest.raises(ManifestError, match="has no multi_object case; it has camera, human"):
        split.select([Category.MULTI_OBJECT])


def test_reference_is_read_only_if_its_checksum_agrees(tmp_path: Path) -> None:
    split = read_split(make_split(tmp_path))
    case = split.cases[0]
    clip = split.read_reference(case)
    assert (len(clip), clip.path) == (5, split.reference_path(case))
    encode(split.reference_path(case), moving_frames(5, 32, 48, seed=9))
    with pytest.raises(VideoError, match=f"expected sha256 {case.sha256}, got [0-9a-f]{{64}}; fetch it again"):
        split.read_reference(case)
    split.reference_path(case).unlink()
    with pytest.raises(VideoError, match="found nothing"):
        split.read_reference(case)


def test_still_reference_is_refused(tmp_path: Path) -> None:
    from motionbench.files import file_sha256

    encode(tmp_path / "still.mp4", moving_frames(1))
    path = manifest(tmp_path, with_(reference="still.mp4", sha256=file_sha256(tmp_path / "still.mp4")))
    split = read_split(path)
    with pytest.raises(VideoError, match="at least 2 frames"):
        split.read_reference(split.cases[0])


def test_embedded_splits_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_split(tmp_path / "splits" / "mine")
    folder: Callable[[], Path] = lambda: tmp_path / "splits"  # noqa: E731
    monkeypatch.setattr(split_module, "splits_folder", folder)
    assert split_names() == ["mine"]
    assert read_split("mine").name == "mine"
    assert np.array_equal(read_split("mine").read_reference(read_split("mine").cases[0]).frames.shape, (5, 32, 48, 3))


def test_looking_for_embedded_splits_imports_no_room() -> None:
    code = (
        "import sys\nfrom motionbench.split import split_names, splits_folder\nsplit_names()\n"
        "print(splits_folder().name, [m for m in sys.modules if m.startswith('motionbench.data_cards')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "splits []\n"


def test_a_checkout_that_is_not_installed_is_named_and_not_taken_for_a_lost_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the repository's root as working folder, `python -m motionbench` finds the hub there but none of the rooms.
    monkeypatch.setattr(split_module, "find_spec", lambda name: None)
    split_module.splits_folder.cache_clear()
    store = ResultStore(tmp_path)
    monkeypatch.setattr(store, "read_run", lambda: {"configuration": {"split": "lite", "split_revision": "0"}})
    with pytest.raises(PluginError, match="not an installed motionbench; run in another folder, or pip install -e"):
        find_split(store)
