"""Whatever a manifest holds, a fault in it is one line with file and line, and never a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motionbench.data_cards.checks import check, check_split

from motionbench.cli import app
from motionbench.errors import ManifestError
from motionbench.split import cases_to_revision, read_split

KEYS = ["id", "category", "reference", "sha256", "caption", "prompt", "level", "license", "source", "tags"]
SIGNS = st.characters(exclude_categories=[])  # surrogates and control characters too
NASTY = st.sampled_from([
    "", " ", ".", "..", "/", "a/", "\0", "\x1b[31m", "\ud800", "\u2028", "\r\n", "camera/0001/0", "camera/0001/1",
    "con", "references", "references/camera", "CC-BY-4.0", "红色", "🔴", "-1", "1e999", "x" * 5000, "%s", "{}",
    "a" * 300 + ".mp4",
])  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(SIGNS, max_size=20) | NASTY
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
CHANGES = st.dictionaries(st.sampled_from(KEYS) | st.text(SIGNS, max_size=8), VALUES, max_size=3)
GARBAGE = st.binary(max_size=60) | st.sampled_from([
    b"{", b"[" * 60_000, b'{"a":' * 60_000, b"1" * 5000, b"NaN", b"\xff\xfe{", b'{"id": 1, "id": 2}', b"\xef\xbb\xbf{}",
    b'"\\ud800"', b"{}", b"null", b"\x00", b'{"\\ud800": 1}',
])  # fmt: skip


@pytest.fixture(scope="module")
def folder(small_split_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = Path(shutil.copytree(small_split_master, tmp_path_factory.mktemp("fuzz") / "small"))
    shutil.copy(copied / "manifest.jsonl", copied.parent / "sound.jsonl")  # the tests damage the other
    return copied


def mutate(folder: Path, number: int, changes: dict[str, Any], missing: set[str], garbage: bytes | None) -> None:
    """Changes one line of the sound manifest, or puts bytes that are no line in its place."""
    path = folder / "manifest.jsonl"
    lines = (folder.parent / "sound.jsonl").read_bytes().splitlines()
    value = {key: held for key, held in (json.loads(lines[number]) | changes).items() if key not in missing}
    lines[number] = json.dumps(value).encode() if garbage is None else garbage
    path.write_bytes(b"\n".join(lines) + b"\n")


LOOSE = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LOOSE
@given(st.integers(0, 7), CHANGES, st.sets(st.sampled_from(KEYS), max_size=1), st.none() | GARBAGE)
def test_a_fuzzed_manifest_is_read_or_named_with_its_line(
    folder: Path, number: int, changes: dict[str, Any], missing: set[str], garbage: bytes | None
) -> None:
    mutate(folder, number, changes, missing, garbage)
    path = folder / "manifest.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "look_at_clips", lambda *_: {})  # the words alone: clips are decoded elsewhere
        findings = check_split(folder)
    assert all(str(finding).isprintable() and len(str(finding)) < 1000 for finding in findings)
    fault = None
    try:
        split = read_split(path)
        assert split.revision == cases_to_revision(split.cases)  # what was read can be written
    except ManifestError as error:
        fault = str(error)
    if fault is not None:
        assert fault.isprintable()
        assert len(fault) < 1000
        assert fault.removeprefix(f"{path}:").partition(":")[0].isdecimal()
        assert any(one.line is not None for one in findings)  # `data check` sees the fault too


@pytest.mark.parametrize("reference", ["references/camera", "references/absent.mp4", "manifest.jsonl"])
def test_a_reference_that_is_no_clip_is_a_finding(folder: Path, reference: str) -> None:
    first = json.loads((folder.parent / "sound.jsonl").read_text().splitlines()[0])
    (folder / "manifest.jsonl").write_text(json.dumps(first | {"reference": reference}) + "\n")
    assert any(finding.where == "camera/0001" for finding in check_split(folder))


def test_a_fault_is_one_line_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text('{"id": "a\\u001b[31m\\nb"}\n')
    with pytest.raises(SystemExit) as ended:
        app(["eval", "--method", "copy", "--split", str(path)], prog_name="motionbench")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"ManifestError: {path}:1: ")
    assert error.count("\n") == 1
    assert error[:-1].isprintable()
