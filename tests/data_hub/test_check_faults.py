"""Planted faults: `check_split` finds each of them, says where, and finds nothing in the sound split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from motionbench.data_cards.checks import Finding, Severity, check, check_split, group_findings, inspect_split
from motionbench.data_cards.checks.manifest import Line
from motionbench.data_cards.checks.motion import MotionStatistics
from motionbench.data_cards.checks.words import check_prompts, check_words, words_in_common
from small_split import FRAMES, SIZE, pan, squares, texture

from motionbench.case import Case, Category, Level
from motionbench.clip import Clip
from motionbench.files import file_sha256


@pytest.fixture(scope="session")
def sound_master(small_split_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small split, with ground truth that can be read and a card: nothing is wrong with it."""
    folder = shutil.copytree(small_split_master, tmp_path_factory.mktemp("sound") / "small")
    for path in folder.rglob("*.npz"):
        np.savez(path.with_suffix(".truth.npz"), points=np.zeros((3, FRAMES, 2)), visible=np.ones((3, FRAMES), bool))
        path.unlink()
    sections = (
        "Which MotionBench this is",
        "Composition",
        "Sources and consent",
        "Collection",
        "Prompts",
        "Uses",
        "Limits",
    )
    body = "\n\n".join(f"## {s}\n\nSome words that say what a reader needs to know here." for s in sections)
    front = "license: cc-by-4.0\ntask_categories: [text-to-video]\nsize_categories: [n<1K]\npretty_name: small"
    (folder / "README.md").write_text(f"---\n{front}\n---\n\n# small\n\n{body}\n")
    return folder


@pytest.fixture(scope="session", autouse=True)
def remembered_motion() -> Iterator[None]:
    """Most tests look at the same clips: their motion, which depends on nothing else, is measured once."""
    known: dict[str, MotionStatistics] = {}
    measure = check.measure_motion

    def remember(clip: Clip) -> MotionStatistics:
        if clip.sha256 not in known:
            known[clip.sha256] = measure(clip)
        return known[clip.sha256]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "measure_motion", remember)
        yield


@pytest.fixture
def sound(sound_master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_master, tmp_path / "small"))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def write_lines(folder: Path, lines: list[Any]) -> None:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "manifest.jsonl").write_text("".join(f"{text}\n" for text in texts))


def change(number: int, **fields: Any) -> Callable[[Path], None]:
    """Changes fields of one line, from 0."""

    def plant(folder: Path) -> None:
        lines = lines_of(folder)
        lines[number] |= fields
        write_lines(folder, lines)

    return plant


def change_all(reference: str, **fields: Any) -> Callable[[Path], None]:
    """Changes fields of all lines of one reference."""

    def plant(folder: Path) -> None:
        write_lines(folder, [x | fields if x["id"].startswith(reference) else x for x in lines_of(folder)])

    return plant


def replace_clip(reference: str, frames: Any, fps: float = 8.0, crf: int = 10) -> Callable[[Path], None]:
    """Writes another clip for a reference and mends its sum: only what the clip shows is wrong."""

    def plant(folder: Path) -> None:
        path = folder / "references" / f"{reference}.mp4"
        made = frames(folder) if callable(frames) else frames
        change_all(reference, sha256=Clip(made, fps).write(path, crf=crf))(folder)

    return plant


def frames_of(reference: str) -> Callable[[Path], Any]:
    return lambda folder: Clip.read(folder / "references" / f"{reference}.mp4").frames


def spoil(reference: str, change_bytes: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Changes the bytes of a video and mends its sum."""

    def plant(folder: Path) -> None:
        path = folder / "references" / f"{reference}.mp4"
        path.write_bytes(change_bytes(path.read_bytes()))
        change_all(reference, sha256=file_sha256(path))(folder)

    return plant


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "references" / name).unlink()


def link_away(folder: Path) -> None:
    path = folder / "references/human/0001.mp4"
    away = folder.parent / "away.mp4"
    path.rename(away)
    path.symlink_to(away)


def add_line(make: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Path], None]:
    return lambda folder: write_lines(folder, [*lines_of(folder), make(lines_of(folder))])


def repeat_prompt(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return lines[1] | {"id": "camera/0001/7", "level": "scene"}


def keep(wanted: Callable[[dict[str, Any]], bool]) -> Callable[[Path], None]:
    return lambda folder: write_lines(folder, [line for line in lines_of(folder) if wanted(line)])


def copy_over(folder: Path) -> None:
    shutil.copy(folder / "references/camera/0001.mp4", folder / "references/camera/0002.mp4")
    change_all("camera/0002", sha256=file_sha256(folder / "references/camera/0001.mp4"))(folder)


def write_latin(folder: Path) -> None:
    path = folder / "manifest.jsonl"
    path.write_bytes(path.read_bytes().replace(b"a red toy car", "a red caf\xe9".encode("latin-1")))


def write_truth(frames: int) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        path = folder / "references/human/0001.truth.npz"
        np.savez(path, points=np.zeros((3, frames, 2)), visible=np.ones((3, frames), bool))

    return plant


def declare(**entry: float) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        (folder / "lock.json").write_text(json.dumps({"references": {"camera/0001": entry}}))

    return plant


def forget_truth(folder: Path) -> None:
    remove("human/0001.truth.npz")(folder)
    change_all("human", tags=["rendered"])(folder)


def spoil_truth(folder: Path) -> None:
    (folder / "references/human/0001.truth.npz").write_bytes(b"x")


def write_beside(name: str, change_text: Callable[[str], str]) -> Callable[[Path], None]:
    def plant(folder: Path) -> None:
        held = (folder / name).read_text() if (folder / name).exists() else ""
        (folder / name).write_text(change_text(held))

    return plant


def drop_limits(text: str) -> str:
    return text.replace("## Limits", "## Rest")


def forget_license(folder: Path) -> None:
    write_lines(folder, [{k: v for k, v in line.items() if k != "license"} for line in lines_of(folder)])


def copy_clip(folder: Path) -> None:
    shutil.copy(folder / "references/camera/0001.mp4", folder / "references/camera/0009.mp4")


STILL = np.repeat(texture(8)[None, :SIZE, :SIZE], FRAMES, 0).astype(np.uint8)
BRIGHT = lambda folder: np.clip(frames_of("camera/0001")(folder).astype(int) + 10, 0, 255).astype(np.uint8)  # noqa: E731
LARGE = lambda folder: Clip(frames_of("human/0001")(folder), 8.0).resize(96, 96).frames  # noqa: E731

NEAR = ("near_duplicate", "camera/0002")
CAPTION_AGAIN = "A wall of colored patches: the camera pans right."

FAULTS: dict[str, tuple[Callable[[Path], None], str, str]] = {  # what: (how it is planted, kind, where)
    "a missing video": (remove("human/0001.mp4"), "missing", "human/0001"),
    "a changed sum": (change_all("human", sha256="0" * 64), "sha256", "human/0001"),
    "an empty video": (spoil("human/0001", lambda data: b""), "video", "human/0001"),
    "a text for a video": (spoil("human/0001", lambda data: b"not a video\n" * 50), "video", "human/0001"),
    "a video cut short": (spoil("human/0001", lambda data: data[: len(data) * 2 // 3]), "video", "human/0001"),
    "a link out of the folder": (link_away, "reference", "human/0001"),
    "another length than the rest": (replace_clip("human/0001", squares(5, 1, 20)[:7]), "length", "split"),
    "another length than declared": (declare(frames=12), "length", "camera/0001"),
    "another size than declared": (declare(width=80), "size", "camera/0001"),
    "another size than the rest": (replace_clip("human/0001", LARGE), "size", "split"),
    "another rate than the rest": (replace_clip("human/0001", squares(5, 1, 20), 12.0), "fps", "split"),
    "a single frame": (replace_clip("human/0001", squares(5, 1, 20)[:1]), "length", "human/0001"),
    "the same clip twice": (copy_over, "duplicate", "camera/0002"),
    "a clip re-encoded": (replace_clip("camera/0002", frames_of("camera/0001"), crf=24), *NEAR),
    "a clip brightened": (replace_clip("camera/0002", BRIGHT), *NEAR),
    "an empty license": (change(0, license=""), "license", "camera/0001/0"),
    "a license to be named": (change_all("human", license="TODO"), "license", "human/0001/0"),
    "a license nobody knows": (change_all("human", license="free"), "license", "human/0001/0"),
    "the caption as another subject": (change(1, prompt=CAPTION_AGAIN), "level", "camera/0001/1"),
    "a caption that is none": (change(0, prompt="something else entirely"), "level", "camera/0001/0"),
    "one prompt twice": (add_line(repeat_prompt), "prompt", "camera/0001/7"),
    "a category without clips": (keep(lambda x: x["category"] != "human"), "balance", "human"),
    "a camera that stands": (replace_clip("camera/0001", squares(9, 1)), "motion", "camera/0001"),
    "an object that stands": (replace_clip("single_object/0001", pan(9)), "motion", "single_object/0001"),
    "one object for several": (replace_clip("multi_object/0001", squares(9, 1)), "objects", "multi_object/0001"),
    "a clip without motion": (replace_clip("single_object/0001", STILL), "static", "single_object/0001"),
    "truth that is gone": (forget_truth, "truth", "human/0001"),
    "truth of another length": (write_truth(5), "truth", "human/0001"),
    "truth that is no truth": (spoil_truth, "truth", "human/0001"),
    "a video that nobody names": (copy_clip, "unlisted", "0009.mp4"),
    "a card without limits": (write_beside("README.md", drop_limits), "card", "README.md"),
    "no card": (lambda f: (f / "README.md").unlink(), "card", "README.md"),
    "a malformed lock": (write_beside("lock.json", lambda text: "[]"), "lock", "lock.json"),
}  # fmt: skip

BAD_LINES: dict[str, tuple[Callable[[Path], None], str, int]] = {  # what: (how it is planted, kind, line)
    "a path that leaves the folder": (change(2, reference="references/../../x.mp4"), "reference", 3),
    "an absolute path": (change(2, reference="/etc/passwd"), "reference", 3),
    "a path with a backslash": (change(2, reference="..\\x.mp4"), "reference", 3),
    "an id twice": (change(1, id="camera/0001/0"), "duplicate_id", 2),
    "an id of another category": (change(2, id="human/0009/0"), "id", 3),
    "a malformed id": (change(2, id="camera/1"), "id", 3),
    "an unknown category": (change(2, category="crowd"), "category", 3),
    "an unknown level": (change(2, level="hard"), "level", 3),
    "a sum that is none": (change(2, sha256="abc"), "sha256", 3),
    "a missing key": (forget_license, "license", 1),
    "an unknown key": (change(2, author="me"), "key", 3),
    "a number for a text": (change(2, caption=7), "caption", 3),
    "text that is not UTF-8": (write_latin, "encoding", 5),
    "a line that is not JSON": (add_line(lambda lines: "{"), "json", 10),
    "a line that is a list": (add_line(lambda lines: "[1]"), "json", 10),
    "two captions for one clip": (change(1, caption="something else"), "disagreement", 2),
}  # fmt: skip


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_nothing_is_wrong_with_the_sound_split(sound: Path) -> None:
    before = snapshot(sound)
    assert [str(finding) for finding in check_split(sound)] == []
    assert snapshot(sound) == before


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, sound: Path) -> None:
    plant, kind, where = FAULTS[fault]
    plant(sound)
    found = check_split(sound)
    assert (kind, where) in {(f.kind, f.where) for f in found}, [str(f) for f in found]


@pytest.mark.parametrize("fault", BAD_LINES)
def test_a_bad_line_is_reported_with_file_and_line_and_nothing_is_written(fault: str, sound: Path) -> None:
    plant, kind, line = BAD_LINES[fault]
    plant(sound)
    before = snapshot(sound)
    found = [f for f in check_split(sound) if f.kind == kind]
    assert [(f.line, Path(f.file).name, f.severity) for f in found[:1]] == [(line, "manifest.jsonl", Severity.ERROR)]
    assert snapshot(sound) == before


def test_every_bad_line_is_reported_not_the_first_alone(sound: Path) -> None:
    change(1, level="hard")(sound)
    change(4, category="crowd", sha256="x")(sound)
    found = {(f.kind, f.line) for f in check_split(sound)}
    assert {("level", 2), ("category", 5), ("sha256", 5)} <= found


def test_an_inspection_tells_what_moves_as_plain_json(sound: Path) -> None:
    value = json.loads(json.dumps(inspect_split(sound).to_json()))
    assert value["errors"] == 0
    motion = value["motion"]
    assert motion["camera/0001"]["camera_class"] == "pan"
    # 2 and 4 pixels a frame on a 64 x 64 frame, whose diagonal is 90.5 pixels.
    assert motion["camera/0001"]["camera_speed"] == pytest.approx(2 / 0.905, rel=0.1)
    assert motion["camera/0002"]["camera_speed"] == pytest.approx(4 / 0.905, rel=0.1)
    assert motion["single_object/0001"]["camera_class"] == "static"
    assert 0.02 < motion["single_object/0001"]["moving_area"] < 0.15
    assert motion["multi_object/0001"]["objects"] >= 2


def test_footage_of_mixed_length_size_and_rate_is_sound_and_said_to_be_mixed(sound: Path) -> None:
    replace_clip("human/0001", lambda folder: np.concatenate([LARGE(folder)] * 2), 12.0)(sound)
    path = sound / "references/human/0001.truth.npz"
    path.unlink()
    change_all("human", tags=[])(sound)
    found = inspect_split(sound)
    assert found.errors == 0, [str(f) for f in found.findings]
    notes = [f for f in found.findings if f.severity is Severity.NOTE]
    assert [f.kind for f in notes] == ["length", "size", "fps"]  # one each, not one for every clip
    assert all("human/0001" in f.message for f in notes)


def test_findings_are_grouped_errors_first_and_many_of_a_kind_counted() -> None:
    found = [Finding("size", f"camera/{i:04}", "differs", severity=Severity.WARNING) for i in range(9)]
    found.insert(4, Finding("sha256", "human/0001", "is another"))
    found.append(Finding("fps", "split", "mixed", severity=Severity.NOTE))
    lines = group_findings(found)
    assert lines[0].startswith("error  sha256")
    assert [line.split()[1] for line in lines[1:-1]] == ["size"] * 7
    assert lines[-2] == "warning  size  and 3 more; --json lists them all"
    assert lines[-1].startswith("note  fps")


CASE = Case(
    "camera/0001/0", Category.CAMERA, "a.mp4", "0" * 64, "a caption", "a prompt", Level.SCENE, "CC-BY-4.0", "source"
)
PROMPTS = {
    "Chinese": ("红色的球在草地上", "蓝色的球在草地上"), "Japanese": ("赤いボールが転がる", "青いボールが転がる"),
    "Russian": ("красный шар", "синий шар"), "Arabic": ("كرة حمراء", "كرة زرقاء"), "Hindi": ("लाल गेंद", "नीली गेंद"),
    "emoji": ("🔴", "🔵"), "Korean": ("빨간 공", "파란 공"), "Thai": ("ลูกบอลสีแดง", "ลูกบอลสีฟ้า"),
}  # fmt: skip


@pytest.mark.parametrize("language", PROMPTS)
def test_prompts_in_any_script_are_told_apart_and_the_same_is_found(language: str) -> None:
    one, other = PROMPTS[language]
    line = Line(replace(CASE, prompt=one), 1)
    assert list(check_prompts(Path("m"), [line, Line(replace(CASE, id="camera/0001/1", prompt=other), 2)])) == []
    assert words_in_common(one, other) < 1
    again = Line(replace(CASE, id="camera/0001/1", prompt=f" {one}。"), 2)
    assert [f.kind for f in check_prompts(Path("m"), [line, again])] == ["prompt"]
    assert words_in_common(one, f" {one}!") == 1
    # At level `scene` a caption and another prompt in one script are no fault, the same prompt is.
    assert list(check_words(Path("m"), Line(replace(CASE, caption=one, prompt=other), 1))) == []
    assert [f.kind for f in check_words(Path("m"), Line(replace(CASE, caption=one, prompt=one), 1))] == ["level"]
