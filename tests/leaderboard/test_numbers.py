"""The numbers on a page are the suite's own, and ranks follow from paired intervals."""

from __future__ import annotations

from pathlib import Path

import pytest
from motionbench.leaderboard import frame
from motionbench.leaderboard.boards import Board, make_boards
from motionbench.leaderboard.merging import Entry, merge
from motionbench.leaderboard.numbers import board_views
from motionbench.leaderboard.reading import read_runs
from results_factory import INFOS, RunRecipe, write_run

from motionbench.comparison import compare
from motionbench.split import Split
from motionbench.store import ResultStore
from motionbench.summary import Attempts, summarize


@pytest.fixture(scope="module")
def board(gallery: Path) -> Board:
    (made,) = make_boards(merge(read_runs([gallery])))
    return made


@pytest.fixture(scope="module")
def views(board: Board) -> dict[str, dict[str, dict[str, object]]]:
    return board_views(board)


def entry_of(board: Board, method: str) -> Entry:
    return next(entry for entry in board.entries if entry.method == method)


def entry_id(board: Board, method: str) -> str:
    return entry_of(board, method).id


def test_every_number_is_the_summarys_own(board: Board, views: dict, gallery: Path) -> None:
    held = {name: Attempts.read(ResultStore(gallery / name), INFOS) for name in ("smm", "frozen", "oracle")}
    for row in summarize(held["smm"], {"frozen": held["frozen"], "oracle": held["oracle"]}, INFOS):
        cell = views[f"all|{row.category}"][entry_id(board, "smm")]["metrics"][row.metric]
        for name in ("mean", "low", "high", "floor", "ceiling", "normalized", "n", "n_failed"):
            assert cell[name] == getattr(row, name), (row, name)


def test_a_level_shows_only_its_own_cases(board: Board, views: dict) -> None:
    cells = views["subject|camera"][entry_id(board, "smm")]
    assert cells["metrics"]["text_alignment"]["n"] == 3  # three references, one prompt of that level each
    assert cells["attempts"] == {"done": 3, "failed": 0, "planned": 3, "complete": True}


def test_differences_are_paired_with_the_backbone(board: Board, views: dict, gallery: Path) -> None:
    a, b = (Attempts.read(ResultStore(gallery / name), INFOS) for name in ("smm", "backbone"))
    (expected,) = [gap for gap in compare(a, b, ["motion_fidelity"]) if gap.category == "all"]
    cell = views["all|all"][entry_id(board, "smm")]["relative"]["motion_fidelity"]
    assert (cell["difference"], cell["low"], cell["high"]) == (expected.difference, expected.low, expected.high)


def test_the_frame_holds_each_number_of_the_page_once(
    board: Board, views: dict, gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "board_views", lambda board: views)  # which took a bootstrap for each cell
    table = frame.boards_to_frame([board])
    assert len(table) == sum(len(cells["metrics"]) for view in views.values() for cells in view.values())
    where = (table.method == "smm") & (table.level == "subject") & (table.category == "camera")
    (line,) = table[where & (table.metric == "motion_fidelity")].to_dict("records")
    cells = views["subject|camera"][entry_id(board, "smm")]
    number, gap = cells["metrics"]["motion_fidelity"], cells["relative"]["motion_fidelity"]
    assert (line["mean"], line["low"], line["n"]) == (number["mean"], number["low"], number["n"])
    assert (line["difference"], line["rank"]) == (gap["difference"], cells["rank"])
    assert (line["backbone"], line["role"], line["tracker"]) == ("tiny", "method", "lk v1")
    assert frame.boards_to_frame([]).empty


def test_ranks_follow_the_means_and_hold_their_range(board: Board, views: dict) -> None:
    for view in views.values():
        ranked = [cells for cells in view.values() if cells.get("rank") is not None]
        ranked.sort(key=lambda cells: -cells["metrics"]["motion_fidelity"]["mean"])
        assert [cells["rank"] for cells in ranked] == list(range(1, len(ranked) + 1))
        assert len(ranked) >= 3
        assert all(cells["rank_low"] <= cells["rank"] <= cells["rank_high"] for cells in ranked)
    assert views["all|all"][entry_id(board, "followyourmotion")]["rank_high"] == 1


def test_equal_methods_share_a_rank(tmp_path: Path, split: Split) -> None:
    folders = []
    for version in ("a", "b"):
        folder = write_run(tmp_path / version, split, RunRecipe("smm", config={"which": version}, videos=False))
        folders.append(folder)
    (board,) = make_boards(merge(read_runs(folders)))
    view = board_views(board)["all|all"]
    assert [cells["rank"] for cells in view.values()] == [1, 1]


def test_controls_and_unfinished_runs_have_no_rank(board: Board, views: dict) -> None:
    view = views["all|all"]
    assert all(view[entry_id(board, name)].get("rank") is None for name in ("vmc", "oracle", "frozen", "backbone"))


def test_a_run_at_some_levels_is_ranked_where_it_is_complete(tmp_path: Path, split: Split) -> None:
    folders = [
        write_run(tmp_path / "a", split, RunRecipe("smm", videos=False)),
        write_run(tmp_path / "b", split, RunRecipe("moft", videos=False, levels=("subject", "scene"))),
    ]
    (board,) = make_boards(merge(read_runs(folders)))
    views = board_views(board)
    assert entry_of(board, "moft").planned is not None
    assert [views["all|all"][entry_of(board, name).id]["rank"] for name in ("smm", "moft")] == [1, None]
    ranks = [views["scene|camera"][entry_of(board, name).id]["rank"] for name in ("smm", "moft")]
    assert None not in ranks
    assert views["all|all"][entry_of(board, "moft").id]["attempts"] == {
        "done": 24, "failed": 0, "planned": 24, "complete": False,
    }  # fmt: skip


def test_pixel_controls_stand_on_every_backbones_board(tmp_path: Path, split: Split) -> None:
    folders = [
        write_run(tmp_path / "a", split, RunRecipe("smm", videos=False)),
        write_run(tmp_path / "b", split, RunRecipe("smm", backbone="wan2.1-1.3b", videos=False)),
        write_run(tmp_path / "c", split, RunRecipe("frozen", videos=False)),
        write_run(tmp_path / "d", split, RunRecipe("backbone", videos=False)),
    ]
    boards = make_boards(merge(read_runs(folders)))
    assert [[entry.method for entry in board.entries] for board in boards] == [
        ["smm", "backbone", "frozen"],
        ["smm", "frozen"],
    ]


def test_the_normalized_interval_brackets_the_normalized_mean(views: dict) -> None:
    cells = [cell for view in views.values() for held in view.values() for cell in held["metrics"].values()]
    measured = [cell for cell in cells if cell["normalized_low"] is not None]
    assert measured
    assert all(cell["normalized_low"] <= cell["normalized"] <= cell["normalized_high"] for cell in measured)


def test_values_by_different_models_never_share_a_column(tmp_path: Path, split: Split) -> None:
    for method, model in (("smm", "tiny-clip 01"), ("vmc", "tiny-clip 01"), ("backbone", "ViT-B-32:openai 02")):
        write_run(tmp_path / method, split, RunRecipe(method, model=model, videos=False))
    (board,) = make_boards(merge(read_runs([tmp_path])))
    view = board_views(board)["all|all"]
    shown = {
        method: view[entry_id(board, method)]["metrics"]["text_alignment"]["mean"] for method in ("smm", "backbone")
    }
    assert shown["smm"] is not None
    assert shown["backbone"] is None
    assert board.bases["text_alignment"].models == {"tiny-clip 01"}
    assert any("text_alignment is shown by tiny-clip 01; the scores of backbone by ViT" in note for note in board.notes)
    assert "text_alignment" not in view[entry_id(board, "smm")]["relative"]
    assert view[entry_id(board, "backbone")]["metrics"]["temporal_gap"]["mean"] is not None  # nothing else is lost
