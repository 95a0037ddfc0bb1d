"""The reconstruction, tested on a look-alike of the public sets: same folders and names, pictures made here."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from motionbench.data_cards.checks import Severity, check_split
from motionbench.data_cards.data_command import app
from motionbench.data_cards.hub.card_check import check_card
from motionbench.data_cards.hub.publishing import check_split_may_go
from motionbench.data_cards.reconstruction import building
from motionbench.data_cards.reconstruction.building import build_reconstruction
from motionbench.data_cards.reconstruction.cards import render_split_card
from motionbench.data_cards.reconstruction.recipe import Entry, read_recipe
from PIL import Image
from small_split import texture
from typer.testing import CliRunner

from motionbench.case import Category, Level
from motionbench.clip import Clip
from motionbench.errors import ConfigError, ManifestError
from motionbench.manifest import line_to_case
from motionbench.split import read_split

FRAMES, LENGTH = 6, 9
NAMES = ("bear", "dogs-jump", "breakdance", "rgbd_dataset_freiburg1_xyz")


def shortened(name: str) -> Entry:
    """An entry of the recipe that takes few frames of a short sequence."""
    entry = next(entry for entry in read_recipe() if entry.sequence == name)
    return replace(entry, frames=FRAMES, start=min(entry.start, 2), length=LENGTH if entry.length else None)


ENTRIES = tuple(shortened(name) for name in NAMES)


def picture(index: int, t: int) -> np.ndarray:
    """A frame (60, 106, 3): a picture of its own per sequence, moving, with patches that go other ways."""
    wide = texture(20 + index, 160)
    frame = wide[8:68, 10 + 2 * t * (index != 0) :][:, :106].copy()
    for patch in range(index + 1 if index < 3 else 0):
        x, y = 8 + 34 * patch + (3 if patch % 2 else -1) * t, 4 + 10 * patch + 2 * t
        frame[y : y + 18, x : x + 18] = texture(60 + patch)[:18, :18]
    return frame.astype(np.uint8)


@pytest.fixture(scope="module")
def sources_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for index, entry in enumerate(ENTRIES):
        davis = entry.set == "davis2017"
        held = folder / ("DAVIS/JPEGImages/480p" if davis else ".") / entry.sequence / ("" if davis else "rgb")
        held.mkdir(parents=True)
        for t in range(LENGTH):
            name = f"{t:05d}.jpg" if davis else f"{1305031100 + t / 30:.6f}.png"
            Image.fromarray(picture(index, t)).save(held / name, quality=95)
    poses = "\n".join(f"{1305031100 + t / 100:.4f} {t} 0 0 0 0 0 1" for t in range(100))
    (folder / NAMES[3] / "groundtruth.txt").write_text(f"# ground truth trajectory\n{poses}\n")
    return folder


@pytest.fixture
def sources(sources_master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sources_master, tmp_path / "sources"))


@pytest.fixture(autouse=True)
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "HEIGHT", 48)
    monkeypatch.setattr(building, "WIDTH", 80)


def davis(sources: Path, name: str) -> Path:
    return sources / "DAVIS/JPEGImages/480p" / name


# ---------------------------------------------------------------------- the recipe itself
def test_the_recipe_has_25_references_in_every_category_at_three_levels() -> None:
    recipe = read_recipe()
    assert min(Counter(entry.category for entry in recipe).values()) >= 25
    assert set(Counter(entry.category for entry in recipe)) == set(Category)
    assert {case.level for entry in recipe for case in entry.cases("0" * 64)} == set(Level)


def test_every_case_of_the_recipe_is_a_valid_manifest_line() -> None:
    for entry in read_recipe():
        for case in entry.cases("0" * 64):
            line = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(case).items()}
            assert line_to_case(json.dumps(line)) == case


def test_no_id_sequence_or_prompt_stands_twice_in_the_recipe() -> None:
    recipe = read_recipe()
    for values in (
        [e.id for e in recipe],
        [e.sequence for e in recipe],
        [t for e in recipe for t in (e.subject, e.scene)],
    ):
        assert [value for value, count in Counter(values).items() if count > 1] == []


def test_the_recipe_takes_no_frame_that_its_sequence_does_not_have() -> None:
    for entry in read_recipe():
        assert entry.length is None or entry.indices[-1] < entry.length
        assert (entry.frames - 1) % 4 == 0  # what a video autoencoder with fourfold time compression takes whole
        assert 33 <= entry.frames <= 81


def test_the_full_card_is_valid_and_says_what_is_missing() -> None:
    card = render_split_card(read_recipe(), len(read_recipe()))
    assert check_card(card, configs=False) == []
    assert "unverified" in card
    assert "no landscapes" in card


# ---------------------------------------------------------------------- building
def test_a_build_cuts_the_frames_of_the_recipe_and_writes_a_sound_split(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "motionbench"
    cases = build_reconstruction(sources, out, entries=ENTRIES)
    split = read_split(out)
    assert split.cases == cases
    assert len(cases) == 12
    lock = json.loads((out / "lock.json").read_text())["references"]
    for index, entry in enumerate(ENTRIES):
        clip = Clip.read(out / entry.reference)
        assert (len(clip), clip.height, clip.width, round(clip.fps, 3)) == (FRAMES, 48, 80, round(entry.fps, 3))
        assert lock[entry.id]["frames"] == FRAMES
        wanted = Clip(np.stack([picture(index, t) for t in entry.indices]), 8.0).cover(48, 80)
        # JPEG and H.264 keep brightness to 2 or 3 levels (color less so); a frame further, pans differ by over 9.
        assert np.abs(clip.frames.mean(axis=-1) - wanted.frames.mean(axis=-1)).mean() < 4
    errors = [str(f) for f in check_split(out) if f.severity is Severity.ERROR]
    assert errors == []
    assert not list(out.glob(".progress*"))


def test_camera_poses_lie_beside_the_clips_that_have_them(sources: Path, tmp_path: Path) -> None:
    build_reconstruction(sources, tmp_path / "out", entries=ENTRIES)
    with np.load(tmp_path / "out/references/camera/0001.camera.npz", allow_pickle=False) as held:
        assert held["positions"].shape == (FRAMES, 3)
        # Frame t is t/30 s after the first and poses come every 1/100 s: x is the pose's number.
        assert held["positions"][:, 0].tolist() == [round(100 * t / 30) for t in ENTRIES[3].indices]
        assert held["quaternions"].shape == (FRAMES, 4)


def test_two_builds_are_equal_and_an_interrupted_one_goes_on(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_reconstruction(sources, tmp_path / "whole", entries=ENTRIES)
    read, calls = building.read_frames, []

    def stop_at_third(*arguments: object) -> Clip:
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(building, "read_frames", stop_at_third)
    out = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        build_reconstruction(sources, out, entries=ENTRIES)
    assert not (out / "manifest.jsonl").exists()
    build_reconstruction(sources, out, entries=ENTRIES)
    assert len(calls) == 5  # two were whole, one was broken off; only it and the last were cut again
    held = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name[0] != "."}
    for path, data in held.items():
        assert data == (tmp_path / "whole" / path).read_bytes(), path


def cut_short(folder: Path) -> None:
    for path in sorted(folder.iterdir())[5:]:
        path.unlink()


SPOILED = {
    "a sequence that is not there": (lambda s: shutil.rmtree(davis(s, "bear")), "has no bear"),
    "a frame too few": (lambda s: (davis(s, "bear") / "00008.jpg").unlink(), "has 8 frames, its makers list 9"),
    "a gap": (lambda s: (davis(s, "bear") / "00003.jpg").rename(davis(s, "bear") / "00009.jpg"), "00003 should be"),
    "a damaged picture": (lambda s: (davis(s, "bear") / "00005.jpg").write_bytes(b"x"), "cannot be decoded"),
    "an empty picture": (lambda s: (davis(s, "bear") / "00000.jpg").write_bytes(b""), "cannot be decoded"),
    "too short a camera sequence": (lambda s: cut_short(s / NAMES[3] / "rgb"), "has 5 frames"),
}  # fmt: skip


@pytest.mark.parametrize("fault", SPOILED)
def test_a_download_that_is_not_whole_is_refused_and_nothing_is_written(
    fault: str, sources: Path, tmp_path: Path
) -> None:
    spoil, message = SPOILED[fault]
    spoil(sources)
    with pytest.raises(ManifestError, match=message):
        build_reconstruction(sources, tmp_path / "out", entries=ENTRIES)
    assert not (tmp_path / "out").exists()


def test_one_object_in_the_annotation_of_a_reference_of_several_is_refused(sources: Path, tmp_path: Path) -> None:
    mask = sources / "DAVIS/Annotations/480p/dogs-jump/00000.png"
    mask.parent.mkdir(parents=True)
    Image.fromarray(np.eye(8, dtype=np.uint8)).convert("P").save(mask)
    with pytest.raises(ManifestError, match="shows 1 objects"):
        build_reconstruction(sources, tmp_path / "out", entries=ENTRIES)


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_masks_of_davis_2016_mark_all_objects_alike_and_are_taken(mode: str, sources: Path, tmp_path: Path) -> None:
    mask = sources / "DAVIS/Annotations/480p/dogs-jump/00000.png"
    mask.parent.mkdir(parents=True)
    image = Image.fromarray(255 * np.eye(8, dtype=np.uint8))
    (image.point(lambda value: value, mode) if mode == "1" else image.convert(mode)).save(mask)
    assert len(build_reconstruction(sources, tmp_path / "out", entries=ENTRIES)) == 12
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(mask)
    with pytest.raises(ManifestError, match="shows 0 objects"):
        build_reconstruction(sources, tmp_path / "again", entries=ENTRIES)


def test_a_folder_of_downloads_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="expected the folder of your downloads, found none; check --sources"):
        build_reconstruction(tmp_path / "nowhere", tmp_path / "out", partial=True)
    assert not (tmp_path / "out").exists()


def test_a_partial_build_leaves_out_and_says_how_many(sources: Path, tmp_path: Path) -> None:
    shutil.rmtree(davis(sources, "bear"))
    cases = build_reconstruction(sources, tmp_path / "out", entries=ENTRIES, partial=True)
    assert {case.category for case in cases} == {Category.CAMERA, Category.MULTI_OBJECT, Category.HUMAN}
    assert "1 of 4 references were left out" in (tmp_path / "out/README.md").read_text()


def test_a_lock_of_another_user_is_met_or_named(sources: Path, tmp_path: Path) -> None:
    build_reconstruction(sources, tmp_path / "theirs", entries=ENTRIES)
    lock = tmp_path / "theirs/lock.json"
    build_reconstruction(sources, tmp_path / "mine", entries=ENTRIES, lock=lock)
    Image.fromarray(picture(3, 0)).save(davis(sources, "bear") / "00002.jpg")
    with pytest.raises(ManifestError, match="frames of bear are not those of the lock"):
        build_reconstruction(sources, tmp_path / "other", entries=ENTRIES, lock=lock)


def test_clips_of_other_owners_are_not_pushed(sources: Path, tmp_path: Path) -> None:
    build_reconstruction(sources, tmp_path / "motionbench", entries=ENTRIES)
    with pytest.raises(ManifestError, match="LicenseRef-see-origin"):
        check_split_may_go(read_split(tmp_path / "motionbench"), ())


def test_the_command_says_what_to_download_and_what_is_missing(tmp_path: Path) -> None:
    runner = CliRunner()
    assert "davischallenge.org" in str(runner.invoke(app, ["build", "motionbench"]).exception)
    asked = runner.invoke(app, ["build", "motionbench", "--sources", str(tmp_path), "--out", str(tmp_path / "out")])
    assert isinstance(asked.exception, ManifestError)
    assert "111 problems with the sources" in str(asked.exception)
    assert isinstance(runner.invoke(app, ["build", "lite", "--partial"]).exception, ConfigError)
