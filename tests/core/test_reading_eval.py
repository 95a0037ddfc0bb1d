"""The main job on twenty files of as many kinds: each ends with a result or a failure that says why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from footage import encode, hdr_card, moving_frames, place, remux, silence

from motionbench.case import Case, Category, Level
from motionbench.files import file_sha256
from motionbench.manifest import write_manifest

FRAMES = moving_frames(24, 96, 128)
GOP = "keyint=8:min-keyint=8:scenecut=0:bframes=3:b-adapt=0"
SLOWING = [*range(0, 18000, 1500), *range(18000, 126000, 9000)]


def made(codec: str = "libx264", **how: Any) -> Callable[[Path], Path]:
    return lambda path: encode(path, FRAMES, codec=codec, **{"rate": 25, **how})


def changed(how: Callable[[Path, Path], object], codec: str = "libx264", **options: Any) -> Callable[[Path], object]:
    """The file that `how` makes of a whole one beside it."""
    return lambda path: how(made(codec, **options)(path.with_stem("whole")), path)


def cut_short(whole: Path, path: Path) -> None:
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])


KINDS: dict[str, Callable[[Path], object]] = {
    "phone.mp4": made(),
    "open.mov": made(params=f"open-gop=1:{GOP}"),
    "hevc.mp4": made("libx265", params=f"log-level=none:open-gop=1:{GOP}"),
    "av1.mp4": made("libsvtav1", options={"preset": "12"}),
    "dark.mp4": made(ticks=SLOWING),
    "held.gif": made("gif", pixels="rgb8", ticks=[t // 900 for t in SLOWING], tick=Fraction(1, 100)),
    "browser.webm": made("libvpx", options={"deadline": "realtime"}),
    "site.webm": made("libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
    "old.avi": made("mpeg4", options={"bf": "2"}),
    "camera.avi": made("mjpeg", pixels="yuvj420p"),
    "stream.flv": made("flv"),
    "disc.mpg": made("mpeg1video"),
    "tape.ts": made("mpeg2video", options={"flags": "+ildct+ilme"}),
    "wide.mkv": made(aspect=Fraction(4, 3)),
    "studio.mov": made("prores_ks", pixels="yuv422p10le"),
    "upright.mov": changed(lambda whole, path: place(whole, path, 0, 1, -1, 0)),
    "broadcast.ts": changed(lambda whole, path: remux(whole, path, first=3), params=f"{GOP}:repeat-headers=1"),
    "bright.mp4": lambda path: hdr_card(path, "arib-std-b67", 0.5),
    "cut.mp4": changed(cut_short),
    "sound.mp4": silence,
}
FAIL = {"cut.mp4": "cannot be decoded", "sound.mp4": "no video stream"}


@pytest.mark.slow
def test_eval_ends_with_a_result_or_a_named_failure_for_every_kind(tmp_path: Path) -> None:
    cases = []
    (tmp_path / "clips").mkdir()
    for number, (name, make) in enumerate(KINDS.items()):
        category, path = list(Category)[number % 4], tmp_path / "clips" / name
        make(path)
        words = (
            f"clips/{name}",
            file_sha256(path),
            "blocks",
            f"prompt {number}",
            Level.SUBJECT,
            "CC0-1.0",
            "made here",
        )
        cases.append(Case(f"{category}/{number:04}/0", category, *words))
    write_manifest(tmp_path / "manifest.jsonl", cases)
    words = [
        "--method",
        "copy",
        "--metrics",
        "motion_fidelity",
        "--tracker",
        "lk",
        "--out",
        "results",
        "--device",
        "cpu",
    ]
    command = [sys.executable, "-m", "motionbench", "eval", "--split", str(tmp_path / "manifest.jsonl"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = (tmp_path / "results/records.jsonl").read_text().splitlines()
    records = {record["case_id"]: record for record in map(json.loads, lines)}
    assert len(records) == 20
    for case in cases:
        name, record = Path(case.reference).name, records[case.id]
        if name in FAIL:
            assert (record["status"], record["reason"]) == ("failed", "bad_video")
            assert name in record["error"]
            assert FAIL[name] in record["error"]
        else:
            assert record["status"] == "ok", record["error"]
    scores = [json.loads(line) for line in (tmp_path / "results/scores.jsonl").read_text().splitlines()]
    values = {score["record_key"]: score["value"] for score in scores}
    still = records[next(case.id for case in cases if case.reference == "clips/bright.mp4")]["key"]
    assert values.pop(still) is None  # a gray card does not move
    assert len(values) == 17
    assert min(values.values()) > 0.95, values  # the copy is encoded once more
    assert "its frames are interlaced" in done.stderr
    assert "HDR (HLG)" in done.stderr
