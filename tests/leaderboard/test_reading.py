"""What a results folder may be, and what is refused: never silently wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from motionbench.leaderboard.boards import make_boards
from motionbench.leaderboard.merging import merge
from motionbench.leaderboard.reading import read_runs
from results_factory import RunRecipe, write_run

from motionbench.errors import StoreError
from motionbench.split import Split

RECIPE = RunRecipe("smm", videos=False)


@pytest.fixture
def folder(tmp_path: Path, split: Split) -> Path:
    return write_run(tmp_path / "smm", split, RECIPE)


def change_lines(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in change(lines)))


def change_first(name: str, value: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda lines: [{**lines[0], name: value}, *lines[1:]]


def test_a_whole_folder_is_read_with_its_split(folder: Path) -> None:
    (run,) = read_runs([folder])
    assert len(run.records) == 36
    assert run.split is not None
    assert run.notes == ()


def test_a_folder_of_folders_stands_for_them(gallery: Path) -> None:
    assert len(read_runs([gallery])) == 8
    assert len(read_runs([gallery, gallery / "smm"])) == 8  # each folder counts once


def test_controls_beside_a_run_are_read_along(tmp_path: Path, split: Split) -> None:
    write_run(tmp_path / "a", split, RECIPE)
    write_run(tmp_path / "a/controls/frozen", split, RunRecipe("frozen", videos=False))
    assert [run.configuration["method"] for run in read_runs([tmp_path / "a"])] == ["smm", "frozen"]


def test_a_half_written_last_line_is_left_out_and_told(folder: Path) -> None:
    path = folder / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    (run,) = read_runs([folder])
    assert len(run.records) == 35
    assert any("half-written" in note for note in run.notes)
    assert any("belong to no record" in note for note in run.notes)  # the scores of the lost record


def test_a_broken_line_in_the_middle_is_refused_with_its_number(folder: Path) -> None:
    path = folder / "records.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4][:50], *lines[5:]]) + "\n")
    with pytest.raises(StoreError, match=r"records\.jsonl:5"):
        read_runs([folder])


@pytest.mark.parametrize("schema", [0, 3, None, "1", True])
@pytest.mark.parametrize("name", ["records.jsonl", "scores.jsonl"])
def test_another_schema_is_refused(folder: Path, name: str, schema: Any) -> None:
    change_lines(folder / name, change_first("schema", schema))
    with pytest.raises(StoreError, match="schema"):
        read_runs([folder])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("method", "ditflow", "run.json says 'smm'"),
        ("split_revision", "0" * 16, "run.json says"),
        ("status", "fine", "status must be"),
        ("status", "failed", "gives no reason"),
        ("reason", "oom", "has the reason"),
        ("video", None, "names no video"),
        ("case_id", "camera/../0", "case_id must be"),
        ("category", "human", "not that of its case"),
        ("fit_seconds", -1.0, "fit_seconds must be"),
        ("seed", "0", "seed must be"),
        ("video_sha256", "abc", "64 hex digits"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(folder: Path, name: str, value: Any, told: str) -> None:
    change_lines(folder / "records.jsonl", change_first(name, value))
    with pytest.raises(StoreError, match=told):
        read_runs([folder])


@pytest.mark.parametrize("value", ["0.5", float("nan"), float("inf"), True])
def test_a_score_that_is_no_number_is_refused(folder: Path, value: Any) -> None:
    change_lines(folder / "scores.jsonl", change_first("value", value))
    with pytest.raises(StoreError, match="value must be"):
        read_runs([folder])


def test_an_edited_configuration_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    manifest["configuration"]["backbone"] = "wan2.1-14b"
    (folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="edited after the run"):
        read_runs([folder])


def test_repeated_attempts_count_once_and_are_told(folder: Path) -> None:
    change_lines(folder / "records.jsonl", lambda lines: [*lines, lines[0]])
    (run,) = read_runs([folder])
    assert len(run.records) == 36
    assert any("1 attempts were made more than once, 0 with another outcome" in note for note in run.notes)


def test_two_copies_of_a_run_are_one_entry(tmp_path: Path, split: Split) -> None:
    runs = read_runs([write_run(tmp_path / name, split, RECIPE) for name in ("a", "b")])
    (entry,) = merge(runs)
    assert len(entry.records) == 36
    assert any("36 attempts stand in several folders" in note for note in entry.notes)


def test_shards_and_seeds_of_one_configuration_add_up(tmp_path: Path, split: Split) -> None:
    first = write_run(tmp_path / "a", split, RunRecipe("smm", seeds=(0,), videos=False))
    second = write_run(tmp_path / "b", split, RunRecipe("smm", seeds=(1,), videos=False))
    (entry,) = merge(read_runs([first, second]))
    assert len(entry.records) == 72
    assert entry.planned is not None
    assert len(entry.planned) == 72


def test_a_success_stands_over_a_failure_elsewhere(tmp_path: Path, split: Split) -> None:
    good = write_run(tmp_path / "a", split, RECIPE)
    bad = write_run(tmp_path / "b", split, RECIPE)
    lost = {"status": "failed", "reason": "oom", "error": "out of memory", "video": None, "video_sha256": None}
    change_lines(bad / "records.jsonl", lambda lines: [{**lines[0], **lost}, *lines[1:]])
    (entry,) = merge(read_runs([bad, good]))
    assert all(record.status == "ok" for record in entry.records)
    assert any("failed in one folder and not in another" in note for note in entry.notes)


def test_different_videos_of_one_attempt_are_refused(tmp_path: Path, split: Split) -> None:
    a, b = (write_run(tmp_path / name, split, RECIPE) for name in ("a", "b"))
    change_lines(b / "records.jsonl", change_first("video_sha256", "0" * 64))
    with pytest.raises(StoreError, match="different videos"):
        merge(read_runs([a, b]))


def test_different_scores_of_one_video_are_refused(tmp_path: Path, split: Split) -> None:
    a, b = (write_run(tmp_path / name, split, RECIPE) for name in ("a", "b"))
    change_lines(b / "scores.jsonl", change_first("value", 0.123))
    with pytest.raises(StoreError, match=r"as .* and 0\.123"):
        merge(read_runs([a, b]))


def test_two_trackers_in_one_folder_are_refused(folder: Path) -> None:
    other = {"tracker": "lk v1"}
    change_lines(folder / "scores.jsonl", lambda lines: [{**lines[0], "details": other}, *lines[1:]])
    with pytest.raises(StoreError, match="several trackers"):
        merge(read_runs([folder]))


@pytest.mark.parametrize(
    "other",
    [
        RunRecipe("smm", backbone="wan2.1-1.3b", videos=False),
        RunRecipe("smm", weights="8899aabbccddeeff", videos=False),
        RunRecipe("smm", version="0.2.0", videos=False),
        RunRecipe("smm", tracker="lk v1", videos=False),
    ],
)
def test_what_does_not_compare_gets_a_table_of_its_own(tmp_path: Path, split: Split, other: RunRecipe) -> None:
    folders = [write_run(tmp_path / "a", split, RECIPE), write_run(tmp_path / "b", split, other)]
    boards = make_boards(merge(read_runs(folders)))
    assert [len(board.entries) for board in boards] == [1, 1]


def test_an_older_metric_version_is_left_out_and_told(tmp_path: Path, split: Split) -> None:
    folders = [
        write_run(tmp_path / "a", split, RECIPE),
        write_run(tmp_path / "b", split, RunRecipe("moft", videos=False, metric_versions={"text_alignment": 2})),
    ]
    (board,) = make_boards(merge(read_runs(folders)))
    assert board.infos["text_alignment"].version == 2
    assert any("smm were scored with an older one" in note for note in board.notes)
    old = next(entry for entry in board.entries if entry.method == "smm")
    assert board.attempts(old).case_values("text_alignment") == {}
    assert board.attempts(old).case_values("motion_fidelity")


def test_results_of_another_machine_are_shown_without_prompts(tmp_path: Path, split: Split) -> None:
    folder = write_run(tmp_path / "a", split, RECIPE)
    manifest = json.loads((folder / "run.json").read_text())
    manifest["selection"]["split"] = "/elsewhere/split"
    (folder / "run.json").write_text(json.dumps(manifest))
    (run,) = read_runs([folder])
    assert run.split is None
    assert any("--split PATH" in note for note in run.notes)
    (mended,) = read_runs([folder], [split.root])
    assert mended.split is not None


def test_variants_of_a_method_are_told_apart_by_their_settings(tmp_path: Path, split: Split) -> None:
    folders = [
        write_run(tmp_path / str(rank), split, RunRecipe("smm", config={"rank": rank, "lr": 0.1}, videos=False))
        for rank in (16, 64)
    ]
    (board,) = make_boards(merge(read_runs(folders)))
    assert sorted(board.labels.values()) == ["smm (rank=16)", "smm (rank=64)"]
