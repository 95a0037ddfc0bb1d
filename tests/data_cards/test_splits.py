"""The shipped splits: sound, rebuilt exactly, and their check finds what is planted."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from motionbench.data_cards.building import RECIPES, build_split, rebuild_differences
from motionbench.data_cards.checks import Finding, Severity
from motionbench.data_cards.checks import check_split as check_folder
from motionbench.data_cards.data_command import app
from motionbench.data_cards.hub.card_check import check_card
from motionbench.data_cards.split_card import write_card
from motionbench.data_cards.world.language import parse_caption
from motionbench.data_cards.world.truth import read_truth, truth_path
from typer.testing import CliRunner

from motionbench.case import Case, Level
from motionbench.errors import UnknownNameError
from motionbench.manifest import MANIFEST, write_manifest
from motionbench.split import Split, read_split
from motionbench.video import read_clip


@pytest.fixture
def copy(tmp_path: Path) -> Split:
    folder = tmp_path / "mini"
    shutil.copytree(read_split("mini").root, folder)
    return read_split(folder)


def check_split(split: Split) -> list[Finding]:
    """The errors on a split; warnings are for people."""
    return [finding for finding in check_folder(split.root) if finding.severity is Severity.ERROR]


def kinds(split: Split) -> set[str]:
    return {finding.kind for finding in check_split(split)}


def change(split: Split, index: int, **fields: object) -> Split:
    """The split with one case's fields changed, written and read again."""
    cases: list[Case] = list(split.cases)
    cases[index] = replace(cases[index], **fields)  # type: ignore[arg-type]
    write_manifest(split.root / MANIFEST, cases)
    return read_split(split.root)


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_shipped_splits_are_sound(name: str) -> None:
    assert check_split(read_split(name)) == []


def test_lite_has_ten_references_a_category_at_three_levels() -> None:
    split = read_split("lite")
    references = Counter(case.category for case in split.cases if case.level is Level.CAPTION)
    assert set(references.values()) == {10}
    assert Counter(case.level for case in split.cases) == dict.fromkeys(Level, 40)


def test_mini_and_lite_share_no_reference() -> None:
    mini, lite = read_split("mini"), read_split("lite")
    assert {case.sha256 for case in mini.cases}.isdisjoint({case.sha256 for case in lite.cases})
    assert {case.reference_id for case in mini.cases}.isdisjoint({case.reference_id for case in lite.cases})
    assert len(mini.cases) == len({case.category for case in mini.cases}) == 4


def test_shipped_media_are_small() -> None:
    total = sum(path.stat().st_size for name in ("mini", "lite") for path in read_split(name).root.rglob("*.*"))
    assert total < 3e6


def test_levels_change_what_they_say() -> None:
    for case in read_split("lite").cases:
        own, asked = parse_caption(case.caption).content, parse_caption(case.prompt).content
        assert (asked.scene == own.scene) == (case.level is not Level.SCENE)
        assert (asked.subjects == own.subjects) == (case.level is Level.CAPTION)
        assert len(asked.subjects) == len(own.subjects)


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_cards_satisfy_the_validator(name: str) -> None:
    assert check_card((read_split(name).root / "README.md").read_text("utf-8"), configs=False) == []


def test_mini_is_rebuilt_exactly() -> None:
    split = read_split("mini")
    assert rebuild_differences("mini", split.root) == []


def test_a_rebuild_keeps_a_video_of_equal_frames(copy: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy.reference_path(copy.cases[0])
    other = path.read_bytes() + b"\x00\x00\x00\x08free"  # another file with the same frames
    path.write_bytes(other)
    cases = build_split("mini", copy.root)
    assert path.read_bytes() == other
    assert check_split(read_split(copy.root)) == []
    assert cases[0].sha256 != copy.cases[0].sha256


def test_a_rebuild_notices_changed_content(copy: Split) -> None:
    held = copy.reference_path(copy.cases[0])
    held.write_bytes(copy.reference_path(copy.cases[1]).read_bytes())
    change(copy, 2, prompt="a red ball moving on the grass")
    found = "\n".join(rebuild_differences("mini", copy.root))
    assert "cases differ" in found
    assert f"{held}: frames differ" in found


def test_only_known_recipes_are_built(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="lite"):
        build_split("litle", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_references_have_the_declared_length_and_rate() -> None:
    for case in read_split("mini").cases:
        clip = read_clip(read_split("mini").root / case.reference, expected_frames=17)
        assert (clip.height, clip.width, clip.fps) == (64, 64, 8.0)


def test_check_finds_a_missing_and_a_changed_video(copy: Split) -> None:
    copy.reference_path(copy.cases[0]).unlink()
    path = copy.reference_path(copy.cases[1])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert {"missing", "sha256"} <= kinds(copy)


def test_check_finds_missing_and_exchanged_truth(copy: Split) -> None:
    first, second, third = (truth_path(copy.reference_path(case)) for case in copy.cases[:3])
    first.unlink()
    second.write_bytes(third.read_bytes())
    found = [finding.where for finding in check_split(copy) if finding.kind == "truth"]
    assert found == [case.reference_id for case in copy.cases[:2]]


def test_check_finds_a_prompt_at_the_wrong_level(copy: Split) -> None:
    assert kinds(change(copy, 0, prompt=copy.cases[0].caption)) == {"level"}
    assert kinds(change(copy, 0, prompt="a cat", level=Level.CAPTION)) == {"level"}


def test_check_finds_duplicates(copy: Split) -> None:
    first = copy.cases[0]
    copy.reference_path(copy.cases[1]).write_bytes(copy.reference_path(first).read_bytes())
    assert "duplicate" in kinds(change(copy, 1, sha256=first.sha256))


def test_check_finds_an_uneven_split(copy: Split) -> None:
    write_manifest(copy.root / MANIFEST, copy.cases[:3])
    found = {(finding.kind, finding.where) for finding in check_folder(copy.root)}
    assert ("balance", copy.cases[3].category) in found


def test_the_command_checks_and_exits_by_what_it_finds(copy: Split) -> None:
    runner = CliRunner()
    sound = runner.invoke(app, ["check", str(copy.root), "--json"])
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["findings"] == []
    copy.reference_path(copy.cases[0]).unlink()
    spoiled = runner.invoke(app, ["check", str(copy.root)])
    assert spoiled.exit_code == 1
    assert "0101.mp4" in spoiled.stdout


def test_the_command_builds_and_lists(tmp_path: Path) -> None:
    runner = CliRunner()
    made = runner.invoke(app, ["build", "mini", "--out", str(tmp_path / "mini"), "--json"])
    assert made.exit_code == 0
    assert json.loads(made.stdout)["revision"] == read_split(tmp_path / "mini").revision
    listed = json.loads(runner.invoke(app, ["list", "--json"]).stdout)
    assert {row["name"] for row in listed} >= {"mini", "lite"}


def test_the_tuning_split_goes_only_where_it_is_told() -> None:
    assert RECIPES["tuning"].purpose == "tuning"
    result = CliRunner().invoke(app, ["build", "tuning"])
    assert result.exit_code != 0
    assert "--out" in str(result.exception)


@pytest.mark.parametrize("name", ["mini", "lite"])
def test_a_committed_card_is_what_its_cases_make(name: str, tmp_path: Path) -> None:
    split = read_split(name)
    paths = dict.fromkeys(split.reference_path(case) for case in split.cases)
    write_card(tmp_path / "README.md", name, split.cases, [read_truth(truth_path(path)) for path in paths])
    assert (tmp_path / "README.md").read_text("utf-8") == (split.root / "README.md").read_text("utf-8")
