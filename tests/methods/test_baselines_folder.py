"""Folder: clips of other programs are found by case id, and what is missing or malformed is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from motionbench.methods.folder import Folder, FolderConfig

from motionbench import registry
from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.errors import ConfigError, MissingInputError, VideoError
from motionbench.files import file_sha256
from motionbench.manifest import write_manifest
from motionbench.method import Method, Runtime
from motionbench.plan import RunPlan
from motionbench.runner import run
from motionbench.store import ResultStore


def clip_of(level: int, frames: int = 3) -> Clip:
    return Clip(np.full((frames, 16, 16, 3), level, np.uint8), 8.0)


def case(number: int, sha256: str = "0" * 64) -> Case:
    texts = ("a red ball", f"a blue cube {number}")
    where = ("references/camera/0001.mp4", sha256)
    return Case(f"camera/0001/{number}", Category.CAMERA, *where, *texts, Level.SCENE, "CC0-1.0", "drawn")


def folder(path: Path) -> Folder:
    return Folder.create(FolderConfig(path=path), Runtime(backbone="none such"))


def taken(made: Folder, number: int) -> int:
    """The brightness of the clip that the method takes for a case."""
    adapter = made.fit(clip_of(0), "a red ball", seed=0)
    return round(float(made.generate(adapter, "a blue cube", seed=0, case=case(number)).frames.mean()))


def test_clips_are_found_in_folders_by_flat_names_and_by_table(tmp_path):
    clip_of(40).write(tmp_path / "camera" / "0001" / "0.mp4")
    clip_of(90).write(tmp_path / "camera-0001-1.mp4")
    made = folder(tmp_path)
    assert isinstance(made, Method)
    assert [abs(taken(made, n) - level) <= 2 for n, level in ((0, 40), (1, 90))] == [True, True]
    table = tmp_path / "clips.csv"
    table.write_text("file,case_id\ncamera-0001-1.mp4,camera/0001/0\n", encoding="utf-8-sig")
    assert abs(taken(folder(table), 0) - 90) <= 2
    with pytest.raises(VideoError, match=r"row of case camera/0001/7"):
        taken(folder(table), 7)


def test_two_clips_of_one_case_are_refused(tmp_path):
    for name in ("camera/0001/0.mp4", "camera-0001-0.mp4"):
        clip_of(40).write(tmp_path / name)
    with pytest.raises(VideoError, match="remove one"):
        taken(folder(tmp_path), 0)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    clip_of(40).write(tmp_path / "elsewhere.mp4")
    inside = tmp_path / "clips"
    inside.mkdir()
    (inside / "camera-0001-0.mp4").symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(VideoError, match="leads out of it"):
        taken(folder(inside), 0)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("id,file\n", "1: expected the columns case_id,file"),
        ("case_id,file\ncamera/1/0,a.mp4\n", "2: case_id must be"),
        ("case_id,file\ncamera/0001/0,a.mp4\ncamera/0001/0,b.mp4\n", "3: case camera/0001/0 stands"),
        ("case_id,file\ncamera/0001/0,\n", "2: case camera/0001/0 has no file"),
        ("case_id,file\ncamera/0001/0\n", "2: case camera/0001/0 has no file"),
        ("case_id,file\ncamera/0001/0,../a.mp4\n", "2: file must be a path below"),
        ("case_id,file\ncamera/0001/0,/a.mp4\n", "2: file must be a path below"),
    ],
)
def test_a_malformed_table_is_refused_by_line(tmp_path, rows, problem):
    (tmp_path / "clips.csv").write_text(rows)
    with pytest.raises(ConfigError, match=problem):
        folder(tmp_path / "clips.csv")


def test_without_path_or_case_it_names_what_is_missing(tmp_path):
    for config in (FolderConfig(), FolderConfig(path=tmp_path / "absent")):
        with pytest.raises(ConfigError, match="path"):
            Folder.create(config, Runtime())
    with pytest.raises(MissingInputError, match="needs the case"):
        folder(tmp_path).generate(Folder.fit(folder(tmp_path), clip_of(0), "", seed=0), "a cube", seed=0)


def test_replaced_and_added_clips_are_taken_and_former_ones_are_gone(tmp_path, monkeypatch):
    digest = clip_of(10).write(tmp_path / "split" / "references" / "camera" / "0001.mp4")
    write_manifest(tmp_path / "split" / "manifest.jsonl", [case(n, digest) for n in (0, 1)])
    clip_of(40).write(tmp_path / "clips" / "camera-0001-0.mp4")
    monkeypatch.setattr(registry, "load", lambda group, name: Folder)
    store = ResultStore(tmp_path / "out")
    plan = RunPlan("folder", FolderConfig(tmp_path / "clips"), split=str(tmp_path / "split"), device="cpu")
    first = run(plan, store)
    assert (first.ok, first.failed, first.skipped) == (1, 1, 0)
    assert run(plan, store).skipped == 2
    former = store.records()[0].key
    clip_of(90).write(tmp_path / "clips" / "camera-0001-0.mp4")  # under the same name
    clip_of(60).write(tmp_path / "clips" / "camera-0001-1.mp4")  # was missing
    second = run(plan, store)
    assert (second.ok, second.failed, second.skipped) == (2, 0, 0)
    assert [record.status for record in store.records()] == ["ok", "ok"]  # one a case: the former ones count no more
    assert store.records()[0].key != former
    assert abs(float(store.read_video(store.records()[0]).frames.mean()) - 90) <= 2


def test_a_row_that_a_table_names_now_is_taken(tmp_path, monkeypatch):
    digest = clip_of(10).write(tmp_path / "split" / "references" / "camera" / "0001.mp4")
    write_manifest(tmp_path / "split" / "manifest.jsonl", [case(n, digest) for n in (0, 1)])
    clip_of(40).write(tmp_path / "a.mp4")
    table = tmp_path / "clips.csv"
    monkeypatch.setattr(registry, "load", lambda group, name: Folder)
    plan = RunPlan("folder", FolderConfig(table), split=str(tmp_path / "split"), device="cpu")
    for rows, ok in (("camera/0001/0,a.mp4\n", 1), ("camera/0001/0,a.mp4\ncamera/0001/1,a.mp4\n", 2)):
        table.write_text("case_id,file\n" + rows)
        assert run(plan, ResultStore(tmp_path / "out")).ok == ok


def test_a_run_scores_what_is_there_and_records_what_is_missing_as_bad_video(tmp_path, monkeypatch):
    digest = clip_of(10).write(tmp_path / "split" / "references" / "camera" / "0001.mp4")
    assert digest == file_sha256(tmp_path / "split" / "references" / "camera" / "0001.mp4")
    write_manifest(tmp_path / "split" / "manifest.jsonl", [case(n, digest) for n in (0, 1)])
    clip_of(40).write(tmp_path / "clips" / "camera-0001-1.mp4")
    monkeypatch.setattr(registry, "load", lambda group, name: Folder)
    config = FolderConfig(path=tmp_path / "clips", made_by="drawn by hand")
    result = run(RunPlan("folder", config, split=str(tmp_path / "split"), device="cpu"), ResultStore(tmp_path / "out"))
    records = {record.case_id: record for record in result.records}
    assert records["camera/0001/1"].status == "ok"
    assert records["camera/0001/1"].backbone == "none"
    missing = records["camera/0001/0"]
    assert (missing.status, missing.reason) == ("failed", "bad_video")
    assert str(tmp_path / "clips" / "camera/0001/0.mp4") in missing.error
    assert str(tmp_path / "clips" / "camera-0001-0.mp4") in missing.error
