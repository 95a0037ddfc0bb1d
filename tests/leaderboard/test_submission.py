"""Packing results for others, and checking those of others."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest
from motionbench.leaderboard.archives import unpacked
from motionbench.leaderboard.reading import read_runs
from motionbench.leaderboard.submission import Submission, pack
from results_factory import RunRecipe, write_run
from typer.testing import CliRunner

from motionbench.cli import app
from motionbench.errors import StoreError
from motionbench.split import Split

SUFFIXES = (".tar.gz", ".tgz", ".tar.xz")


@pytest.fixture
def results(tmp_path: Path, split: Split) -> Path:
    folder = write_run(tmp_path / "results/smm", split, RunRecipe("smm", failing=0.1, rows=True))
    write_run(folder / "controls/frozen", split, RunRecipe("frozen"))
    return folder


def test_a_pull_request_holds_texts_with_their_checksums(tmp_path: Path, results: Path) -> None:
    made = pack(Submission(results, tmp_path / "pr", "pr", contact="me@example.org"))
    listed = json.loads((made.out / "SUBMISSION.json").read_text())
    assert not list(made.out.rglob("*.mp4"))
    assert listed["method"] == "smm"
    assert listed["records"]["failed"] > 0
    for name, digest in listed["files"].items():
        assert hashlib.sha256((made.out / name).read_bytes()).hexdigest() == digest


def test_a_pack_is_a_results_folder_again(tmp_path: Path, results: Path, split: Split) -> None:
    made = pack(Submission(results, tmp_path / "hub", "hub"))
    mine, control = read_runs([made.out], [split.root])
    assert len(mine.records) == 36
    assert control.configuration["method"] == "frozen"
    assert mine.configuration_hash == read_runs([results])[0].configuration_hash
    assert (made.out / "README.md").read_text().startswith("---\ntags:\n- motionbench\n")
    assert all(mine.store.has_video(record) for record in mine.records if record.video)


@pytest.mark.parametrize("ending", SUFFIXES)
def test_an_archive_has_the_same_bytes_each_time(tmp_path: Path, results: Path, ending: str) -> None:
    archives = [pack(Submission(results, tmp_path / name / f"smm{ending}", "hub")).out for name in ("a", "b")]
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as tar:
        assert "smm/records.jsonl" in tar.getnames()


def test_archives_are_read_as_the_folders_that_they_hold(tmp_path: Path, results: Path, split: Split) -> None:
    plain = write_run(tmp_path / "gallery/backbone", split, RunRecipe("backbone"))
    packed = pack(Submission(results, tmp_path / "gallery/smm.tar.xz", "pr")).out
    for given in ([plain, packed], [tmp_path / "gallery"]):
        with unpacked(given) as places:
            runs = {run.name: run for run in read_runs(places, [split.root])}
        assert list(runs) == ["backbone", "smm", "smm/frozen"]
        assert runs["smm"].records == read_runs([results])[0].records
    assert not places[-1].exists()


@pytest.mark.parametrize("cut", [0, 100, -20], ids=["empty", "head", "tail"])
def test_a_damaged_archive_is_named(tmp_path: Path, results: Path, cut: int) -> None:
    whole = pack(Submission(results, tmp_path / "smm.tar.xz", "pr")).out
    whole.write_bytes(whole.read_bytes()[:cut])
    with pytest.raises(StoreError, match=r"smm\.tar\.xz: expected an archive"), unpacked([whole]):
        pass


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    bad = tmp_path / "bad.tar.gz"
    with tarfile.open(bad, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../run.json"))
    with pytest.raises(StoreError, match=r"bad\.tar\.gz"), unpacked([bad]):
        pass
    assert not (tmp_path / "run.json").exists()


def test_advice_for_an_archive_unpacks_it_first(tmp_path: Path, results: Path) -> None:
    archive, folder = (pack(Submission(results, tmp_path / name, "hub")) for name in ("smm.tar.gz", "smm"))
    assert archive.advice == f"next: tar xf {archive.out} && hf upload YOUR-NAME/smm smm --repo-type dataset"
    assert folder.advice == f"next: hf upload YOUR-NAME/smm {folder.out} --repo-type dataset"


def test_paths_of_this_machine_are_taken_out(tmp_path: Path, results: Path, split: Split) -> None:
    made = pack(Submission(results, tmp_path / "pr", "pr"))
    texts = [path.read_text() for path in made.out.rglob("*") if path.is_file()]
    assert not any(str(split.root) in text for text in texts)


def test_a_folder_with_a_wrong_video_is_not_packed(tmp_path: Path, results: Path) -> None:
    next((results / "videos").rglob("*.mp4")).unlink()
    with pytest.raises(StoreError, match="is gone"):
        pack(Submission(results, tmp_path / "pr", "pr"))


def test_a_folder_with_a_doctored_summary_is_not_packed(tmp_path: Path, results: Path) -> None:
    summary = json.loads((results / "summary.json").read_text())
    summary["rows"][0]["mean"] += 0.05
    (results / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(StoreError, match="mean is stated as"):
        pack(Submission(results, tmp_path / "pr", "pr"))


def test_a_folder_that_lacks_scores_is_not_packed(tmp_path: Path, split: Split) -> None:
    folder = write_run(tmp_path / "smm", split, RunRecipe("smm", rows=False))
    with pytest.raises(StoreError, match=r"summary\.json is not there"):
        pack(Submission(folder, tmp_path / "pr", "pr"))


def test_a_folder_in_use_is_not_written_to(tmp_path: Path, results: Path) -> None:
    (tmp_path / "pr").mkdir()
    (tmp_path / "pr/mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        pack(Submission(results, tmp_path / "pr", "pr"))


def test_the_command_line_makes_pages_and_packs(tmp_path: Path, results: Path) -> None:
    page, packed = tmp_path / "page.html", tmp_path / "pack"
    made = CliRunner().invoke(app, ["leaderboard", str(results), "--media", "none", "--out", str(page), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["entries"] == 2
    sent = CliRunner().invoke(app, ["leaderboard", "submit", str(results), "--out", str(packed)])
    assert sent.exit_code == 0, sent.output
    assert "pull request" in sent.stdout
    wrong = CliRunner().invoke(app, ["leaderboard", str(tmp_path / "nowhere"), "--out", str(page)])
    assert wrong.exit_code == 2
