"""Which footage a split is, and that tracker `auto` follows it alone."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from small_world import Restless, Still, install, make_clip, make_split

from motionbench import cli, footage
from motionbench.errors import UnknownNameError
from motionbench.footage import judged_world, tracker_for, world_of
from motionbench.manifest import write_manifest
from motionbench.plan import RunPlan
from motionbench.runner import run
from motionbench.scorer import ScorePlan, score
from motionbench.split import Split, read_split
from motionbench.store import ResultStore

RENDERED = "rendered by motionbench.data_cards.world"


def split_of(folder: Path, sizes: list[int], sources: list[str]) -> Split:
    """A split with one reference for each size and source."""
    make_split(folder, references=len(sizes), categories=("camera",))
    cases = []
    for number, (side, source) in enumerate(zip(sizes, sources, strict=True)):
        path = folder / f"clips/camera{number}.mp4"
        make_clip(number, height=side, width=side).write(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cases += [
            replace(case, source=source, sha256=digest)
            for case in read_split(folder).cases
            if case.reference == f"clips/camera{number}.mp4"
        ]
    write_manifest(folder / "manifest.jsonl", cases)
    return read_split(folder)


def test_shipped_splits_are_of_the_embedded_world() -> None:
    for name in ("mini", "lite"):
        assert world_of(read_split(name)) == "procedural"
        assert tracker_for("auto", read_split(name)) == "tiny"


@pytest.mark.parametrize(
    ("sizes", "sources", "world"),
    [
        ([64, 64], [RENDERED, RENDERED], "procedural"),
        ([64, 64], ["filmed", "filmed"], None),  # the size alone says nothing
        ([96, 96], [RENDERED, RENDERED], None),  # rendered anew at another size: not what `tiny` was learned on
        ([64, 64], [RENDERED, "filmed"], None),  # mixed footage is real
        ([64, 96], [RENDERED, RENDERED], None),
    ],
)
def test_a_world_has_made_all_references_or_the_footage_is_real(
    tmp_path: Path, sizes: list[int], sources: list[str], world: str | None
) -> None:
    assert world_of(split_of(tmp_path, sizes, sources)) == world


def test_a_reference_that_cannot_be_read_does_not_turn_the_footage(tmp_path: Path) -> None:
    split = split_of(tmp_path, [64, 64], [RENDERED, RENDERED])
    (tmp_path / "clips/camera0.mp4").write_bytes(b"no video")
    assert world_of(split) == "procedural"


def test_every_world_may_judge_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        height = width = 32
        tracker, image_model = "still", "anything"

        def made(self, case: object) -> bool:
            return True

    install(monkeypatch)["worlds"] = {"other": Other, "plain": object}
    split = read_split(make_split(tmp_path))
    assert (world_of(split), tracker_for("auto", split)) == ("other", "still")
    assert judged_world("plain") is None


def test_auto_without_the_tracker_it_stands_for_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(footage, "REAL", "not_there")
    split = read_split(make_split(tmp_path))
    with pytest.raises(UnknownNameError, match=r"auto stands for 'not_there' on split .*--tracker NAME.*lk, .*tiny"):
        tracker_for("auto", split)
    assert tracker_for("lk", split) == "lk"


def test_scores_by_auto_are_those_by_the_tracker_it_stands_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)["trackers"]["real"] = type("Real", (Restless,), {"name": "real"})
    split, store = read_split(make_split(tmp_path / "split")), ResultStore(tmp_path / "results")
    run(RunPlan("copy", split=str(tmp_path / "split")), store)
    assert score(store, split, ScorePlan(("travel",))).new == 8
    assert {s.details["tracker"] for s in store.scores()} == {"real v1"}
    assert score(store, split, ScorePlan(("travel",), "real")).new == 0


def test_the_choice_is_said_once_and_only_where_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch)["trackers"]["real"] = type("Real", (Still,), {"name": "real"})
    split, out = make_split(tmp_path / "split"), tmp_path / "results"
    common = ["--metrics", "travel", "--device", "cpu"]
    said = invoke(capsys, "eval", "--method", "copy", "--split", str(split), "--out", str(out), *common)
    assert said.count("tracker:") == 1
    assert "tracker: real (the references of split are real footage)" in said
    assert "tracker:" not in invoke(capsys, "score", str(out), "--tracker", "still", *common)


def invoke(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that succeeds says on stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.app(list(words), prog_name="motionbench")
    said = capsys.readouterr().err
    assert not ended.value.code, said
    return said
