"""The exams on clips without ground truth, on made clips: known motions of textures, told apart or not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from motionbench.metrics.exam import looks
from motionbench.metrics.exam.footage_run import footage_questions, read_footage
from motionbench.metrics.exam.footage_tables import to_footage_reports
from motionbench.metrics.exam.pair_list import Pair, read_pairs, survey_pairs
from motionbench.metrics.exam.plain_page import markdown_to_page
from motionbench.metrics.exam.plan import ANSWERS, Answer
from motionbench.metrics.exam.real_exam import examine_footage, examine_pairs
from motionbench.metrics.exam.real_run import RealPlan
from motionbench.metrics.exam.recognition import Outcome, differences, recognize
from typer.testing import CliRunner

from motionbench.cli import app
from motionbench.clip import Clip
from motionbench.errors import ConfigError, ManifestError
from motionbench.scorer import metric_infos

FRAMES, HEIGHT, WIDTH = 9, 96, 128
PATHS = {
    "right": np.stack([np.linspace(0, 30, FRAMES), np.zeros(FRAMES)], axis=-1),
    "down": np.stack([np.zeros(FRAMES), np.linspace(0, 24, FRAMES)], axis=-1),
    "swing": np.stack([14 * np.sin(np.linspace(0, 4, FRAMES)), 6 * np.cos(np.linspace(0, 4, FRAMES))], axis=-1),
}
PLAN = RealPlan(metrics=("motion_fidelity", "motion_fidelity_smm"), trackers=("lk",))
INFO = metric_infos(["motion_fidelity"])["motion_fidelity"]


def moving(path: str, seed: int, *, frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> Clip:
    """A texture that the camera passes over along a path."""
    rng = np.random.default_rng(seed)
    big = cv2.GaussianBlur(rng.uniform(0, 255, (height + 100, width + 100, 3)).astype(np.float32), (0, 0), 3)
    big = (big - big.min()) / (big.max() - big.min()) * 255
    course = PATHS[path][np.linspace(0, FRAMES - 1, frames).round().astype(int)]
    made = [cv2.warpAffine(big, np.array([[1.0, 0, -50 + x], [0, 1.0, -50 + y]]), (width, height)) for x, y in course]
    return Clip(np.stack(made).clip(0, 255).astype(np.uint8), 8.0)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """References by three paths, an output that follows each, and one that follows another's."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = []
    for seed, path in enumerate(PATHS):
        moving(path, seed).write(folder / f"r-{path}.mp4", crf=12)
        moving(path, seed + 10).write(folder / f"g-{path}.mp4", crf=12)
        lines.append({"id": f"good-{path}", "reference": f"r-{path}.mp4", "generated": f"g-{path}.mp4", "project": "p"})
    moving("down", 20).write(folder / "g-wrong.mp4", crf=12)
    lines.append(
        {"id": "wrong", "reference": "r-right.mp4", "generated": "g-wrong.mp4", "project": "p", "kind": "edit"}
    )
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_outputs_know_their_own_references_and_a_wrong_one_is_named(outputs: Path, tmp_path: Path) -> None:
    found = examine_pairs(PLAN, outputs / "pairs.jsonl", tmp_path, {}, lambda done, total: None)
    good, wrong = (next(m for m in found.report["metrics"] if m["kind"] == kind) for kind in ("transfer", "edit"))
    assert good["metric"] == "motion_fidelity"
    assert [good[name]["mean"] for name in ("beats", "auc", "top1", "backwards")] == [1, 1, 1, 1]
    assert good["own"] > 0.8
    assert [o["lost"] for o in wrong["outcomes"]] == [["r-down.mp4"]]
    assert good["outcomes"][0]["kept"] > 100
    page = (tmp_path / "report.md").read_text("utf-8")
    assert "| wrong | " in page
    assert "r-down.mp4" in page
    assert "<table>" in (tmp_path / "report.html").read_text("utf-8")


def test_an_interrupted_exam_asks_only_what_is_missing(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine_pairs(PLAN, outputs / "pairs.jsonl", tmp_path, {}, lambda done, total: None)
    whole = (tmp_path / ANSWERS).read_text("utf-8")
    lines = whole.splitlines()
    (tmp_path / ANSWERS).write_text("\n".join(lines[:-3]) + "\n" + lines[-3][:40])  # killed while writing
    read: list[str] = []
    real = Clip.read
    monkeypatch.setattr(Clip, "read", lambda path, **options: (read.append(Path(path).name), real(path, **options))[1])
    examine_pairs(PLAN, outputs / "pairs.jsonl", tmp_path, {}, lambda done, total: None)
    assert sorted((tmp_path / ANSWERS).read_text("utf-8").splitlines()) == sorted(lines)
    assert len(read) < 7 + 4  # every file once for the survey, and the clips of one pair


def test_bad_input_is_named_and_the_rest_is_done(outputs: Path, tmp_path: Path) -> None:
    for name in ("r-right.mp4", "r-down.mp4", "r-swing.mp4", "g-right.mp4", "g-down.mp4"):
        (tmp_path / name).write_bytes((outputs / name).read_bytes())
    (tmp_path / "r-again.mp4").write_bytes((outputs / "r-right.mp4").read_bytes())
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    moving("right", 30, frames=1).write(tmp_path / "one.mp4")
    longer = moving("swing", 31, frames=19, height=72, width=96)
    Clip(longer.frames, 24.0).write(tmp_path / "longer.mp4", crf=12)
    pairs = [
        {"reference": "r-right.mp4", "generated": "g-right.mp4"},
        {"reference": "r-again.mp4", "generated": "g-right.mp4", "group": "other name"},
        {"reference": "r-again.mp4", "generated": "g-down.mp4", "group": "other name"},
        {"reference": "r-down.mp4", "generated": "broken.mp4"},
        {"reference": "r-down.mp4", "generated": "one.mp4"},
        {"reference": "r-down.mp4", "generated": "missing.mp4"},
        {"reference": "r-down.mp4", "generated": "r-down.mp4"},
        {"reference": "r-swing.mp4", "generated": "longer.mp4"},
        {"reference": "r-swing.mp4"},
        {"reference": "../r-swing.mp4", "generated": "g-down.mp4"},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("\n".join([*map(json.dumps, pairs), "{not json", "[1]", ""]), "utf-8")
    read, wrong = read_pairs(path)
    assert [line.split(":")[0] for line in wrong] == ["line 9", "line 10", "line 11", "line 12"]
    survey = survey_pairs(tmp_path, read, wrong)
    assert [pair.generated for pair in survey.pairs] == ["g-right.mp4", "g-down.mp4", "longer.mp4"]
    told = "\n".join(survey.left_out)
    for part in ("the same clips as g-right.mp4", "broken.mp4 from r-down.mp4: the output cannot be read", "one frame",
                 "missing.mp4", "the output is the reference itself", "'generated' is missing"):  # fmt: skip
        assert part in told
    assert survey.unequal == {"length": 1, "size": 1, "rate": 1}
    # One footage under two names is no opponent of itself.
    assert survey.pairs[0].group == survey.pairs[1].group
    assert survey.opponents(survey.pairs[1]) == ["r-swing.mp4"]
    found = examine_pairs(PLAN, path, tmp_path / "out", {}, lambda done, total: None)
    assert sum(m["pairs"] for m in found.report["metrics"] if m["metric"] == "motion_fidelity") == 3
    assert len(found.left_out) == 9


def test_a_list_without_pairs_and_a_folder_without_clips_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("{}\n")
    with pytest.raises(ManifestError, match=r"holds no pair.*line 1: key 'reference' is missing"):
        read_pairs(tmp_path / "empty.jsonl")
    (tmp_path / "x.mp4").write_bytes(b"no video")
    with pytest.raises(ManifestError, match=r"holds no clip.*x\.mp4: cannot be read"):
        read_footage(tmp_path)
    with pytest.raises(ConfigError, match="truth"):
        RealPlan(("motion_fidelity",), ("truth",))


def random_outcomes(seed: int, n: int = 14) -> list[Outcome]:
    rng = np.random.default_rng(seed)
    outcomes = []
    for i in range(n):
        pair = Pair(f"r{i}", f"g{i}", f"p{i}", group=f"f{i % 9}")
        own = None if i == 5 else round(float(rng.normal(1, 1)), 1)
        others = {f"o{k}": None if k == 3 and i % 4 == 0 else round(float(rng.normal(0, 1)), 1) for k in range(4)}
        outcomes.append(Outcome(pair, own, "", 100, round(float(rng.normal(-1, 1)), 1), others))
    return outcomes


def test_shares_equal_plain_loops_and_their_intervals_resample_footage() -> None:
    outcomes = random_outcomes(0)
    found = recognize(outcomes, INFO, "lk v1")
    there = [o for o in outcomes if o.own is not None]
    pool = [value for o in there for value in o.rivals]
    win = lambda a, b: 0.5 if a == b else float(a > b)  # noqa: E731
    assert found.beats.mean == pytest.approx(np.mean([win(o.own, v) for o in there for v in o.rivals]))
    assert found.auc.mean == pytest.approx(np.mean([win(o.own, v) for o in there for v in pool]))
    assert found.top1.mean == pytest.approx(np.mean([win(o.own, max(o.rivals)) for o in there]))
    assert found.backwards.mean == pytest.approx(np.mean([win(o.own, o.backwards) for o in there]))
    assert (found.pairs, found.missing, found.beats.n) == (14, 1, 8)
    rng = np.random.default_rng(1)
    groups = sorted({o.pair.group for o in there})
    plain = []
    for _ in range(2000):
        drawn = [o for group in rng.choice(groups, len(groups)) for o in there if o.pair.group == group]
        rivals = [value for o in drawn for value in o.rivals]
        plain.append(np.mean([win(o.own, v) for o in drawn for v in rivals]))
    assert [found.auc.low, found.auc.high] == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=0.02)


def test_a_metric_differs_from_itself_by_nothing_and_pairs_only_one_could_measure_do_not_count() -> None:
    ours = random_outcomes(0)
    same = differences(ours, ours)
    assert all((e.mean, e.low, e.high) == (0, 0, 0) for e in same.values())
    few = [o for o in random_outcomes(1) if o.pair.id in ("p0", "p1", "p5", "p9")]
    found = differences(ours, few)
    kept = [o for o in ours if o.pair.id in ("p0", "p1", "p9")]
    expected = (
        recognize(kept, INFO, "").beats.mean - recognize([o for o in few if o.own is not None], INFO, "").beats.mean
    )
    assert found["beats"].mean == pytest.approx(expected)


def test_looks_keep_the_shape_and_faults_begin_at_nothing() -> None:
    frames = moving("swing", 3).frames
    for name, look in looks.LOOKS.items():
        made = look(frames)
        assert (made.shape, made.dtype) == (frames.shape, np.uint8), name
        assert name == "copy" or not np.array_equal(made, frames)
    for name, fault in looks.FAULTS.items():
        full = fault(frames, 1.0)
        assert (full.shape, full.dtype) == (frames.shape, np.uint8), name
        if name != "drift":  # which sees less of the frame from the start
            assert np.array_equal(fault(frames, 0.0), frames)
    assert np.array_equal(looks.FAULTS["partly_frozen"](frames, 1.0), looks.CONTROLS["frozen"](frames))


def test_footage_tells_looks_from_faults_and_controls(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    moving("right", 3, frames=9, height=64, width=80).write(folder / "same.mp4", crf=12)
    moving("right", 3, frames=1).write(folder / "one.mp4")
    (folder / "second.mp4").write_bytes((folder / "same.mp4").read_bytes())
    (folder / "broken.avi").write_bytes(b"no video")
    (folder / "notes.txt").write_text("not a clip")
    plan = RealPlan(metrics=("motion_fidelity",), trackers=("lk",))
    found = examine_footage(plan, folder, tmp_path / "out", {}, lambda done, total: None)
    (report,) = found.report["metrics"]
    (clip,) = report["clips"]
    assert clip["clip"] == "same.mp4"  # by name the first of two that are the same
    assert clip["looks"]["copy"] > 0.95
    assert clip["looks"]["permuted"] > 0.9
    assert abs(clip["controls"]["frozen"]) < 0.05
    assert clip["controls"]["reversed"] < -0.3
    assert clip["rho"] > 0.8
    assert sorted(reason.split(":")[0] for reason in found.left_out) == ["broken.avi", "one.mp4", "second.mp4"]
    assert len(list(footage_questions(folder / "same.mp4"))) == len(
        (tmp_path / "out" / ANSWERS).read_text().splitlines()
    )


def test_a_clip_on_which_perfect_looks_score_low_or_nothing_is_flagged() -> None:
    def answer(clip: str, question: str, value: float | None, strength: float = 0.0) -> Answer:
        return Answer(clip, "", "lk v1", question, strength, "motion_fidelity", INFO.version, value, "static reference")

    answers = [
        answer("good", "look copy", 0.98), answer("good", "look inverted", 0.95), answer("good", "drift", 0.5, 1.0),
        answer("low", "look copy", 0.9), answer("low", "look inverted", 0.4), answer("low", "drift", 0.2, 1.0),
        answer("mixed", "look copy", 0.9), answer("mixed", "look inverted", 0.85), answer("mixed", "drift", 0.88, 1.0),
        answer("still", "look copy", None), answer("still", "look inverted", None),
    ]  # fmt: skip
    (report,) = to_footage_reports(answers, {"motion_fidelity": INFO})
    doubts = {clip.clip: report.doubts(clip) for clip in report.clips}
    assert doubts["good"] == ""
    assert doubts["low"] == "a perfect look scores 0.40"
    assert doubts["mixed"] == "a clip at full fault scores 0.88, a perfect look 0.85"
    assert doubts["still"] == "no value: static reference"
    assert report.missing == (2, 8)


def test_the_page_escapes_what_it_is_told() -> None:
    page = markdown_to_page("# A <b>title</b>\n\n- one & two\n\n| `x` | y |\n|---|---|\n| <script> | *z* |", "t<i>")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<code>x</code>" in page
    assert "<em>z</em>" in page


def test_the_command_runs_either_exam_and_not_both(outputs: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    options = ["--tracker", "lk", "--metrics", "motion_fidelity_smm", "--out", str(tmp_path / "out")]
    ran = runner.invoke(app, ["validate", "--pairs", str(outputs / "pairs.jsonl"), *options])
    assert ran.exit_code == 0, ran.output
    assert "top-1" in ran.stdout
    both = runner.invoke(app, ["validate", "--pairs", "a", "--footage", "b", *options])
    assert both.exit_code != 0
