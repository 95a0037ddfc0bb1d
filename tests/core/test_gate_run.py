"""The gate: what it averages, what it resamples, and that the controls come out as they must."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from small_world import make_split

from motionbench import cli, gate_verdict, marked_page
from motionbench.clip import Clip
from motionbench.files import file_sha256
from motionbench.gate_run import NEARLY_LOSSLESS, reverse_split
from motionbench.manifest import MANIFEST, write_manifest
from motionbench.split import Split, read_split
from motionbench.store import ResultStore

GATE_PAGE = Path(__file__).parents[2] / "benchmarks/gate_page.py"


def load_script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    return gate_verdict


def judged(gate: ModuleType, values: dict[str, tuple[float | None, float | None]]) -> list[Any]:
    """Reference id -> (difference forwards, difference backwards), with `other` at zero."""
    return [
        gate.Judged(f"{name}/0", direction, value, None if value is None else 0.0)
        for name, pair in values.items()
        for direction, value in zip(gate.DIRECTIONS, pair, strict=True)
    ]


def test_directions_and_seeds_of_a_reference_are_averaged_before_references(gate: ModuleType) -> None:
    clips = judged(gate, {"camera/0001": (0.2, 0.4), "human/0001": (0.9, 0.9)})
    clips.append(gate.Judged("camera/0001/0", "forwards", 0.6, 0.0))  # a second seed
    assert gate.by_reference(clips, "difference") == pytest.approx({"camera/0001": 0.4, "human/0001": 0.9})
    found = gate.verdict(clips)
    assert found["difference"] == pytest.approx(0.65)
    assert (found["own"], found["other"], found["n_clips"]) == (pytest.approx(0.65), 0.0, 5)


def test_single_references_are_resampled_together_and_more_within_their_categories(gate: ModuleType) -> None:
    single = {"camera/0001": 0.1, "human/0001": 0.5}
    assert gate.to_strata(single) == {"all": [0.1, 0.5]}
    more = single | {"camera/0002": 0.2, "human/0002": 0.6}
    assert gate.to_strata(more) == {"camera": [0.1, 0.2], "human": [0.5, 0.6]}


def test_the_interval_of_four_references_is_the_exact_one(gate: ModuleType) -> None:
    values = np.array([0.8, 0.7, 0.6, 0.1])
    found = gate.verdict(judged(gate, {f"{c}/0001": (v, v) for c, v in zip("abcd", values, strict=True)}))
    exact = np.stack(np.meshgrid(*[values] * 4)).reshape(4, -1).mean(0)  # all 256 resamples
    assert found["low"] == pytest.approx(np.percentile(exact, 2.5), abs=0.03)
    assert found["high"] == pytest.approx(np.percentile(exact, 97.5), abs=0.03)
    assert found["passed"]


@pytest.mark.parametrize(
    ("values", "passed"),
    [
        ((0.8, 0.7, 0.6, 0.1), True),
        ((0.8, 0.7, 0.6, -0.1), True),  # one reference against it by little
        ((0.8, 0.7, 0.6, -0.6), False),
        ((0.8, 0.7, -0.1, -0.1), False),
        ((0.0, 0.0, 0.0, 0.0), False),
    ],
)
def test_one_reference_that_is_followed_backwards_can_cost_the_pass(
    gate: ModuleType, values: tuple[float, ...], passed: bool
) -> None:
    found = gate.verdict(judged(gate, {f"{c}/0001": (v, v) for c, v in zip("abcd", values, strict=True)}))
    assert found["passed"] is passed


def test_a_reference_without_a_value_in_one_direction_is_counted_and_bars_the_pass(gate: ModuleType) -> None:
    found = gate.verdict(judged(gate, {"a/0001": (0.9, 0.9), "b/0001": (0.8, 0.8), "c/0001": (0.9, None)}))
    assert (found["n_references"], found["n_clips"], found["n_failed"]) == (2, 5, 1)
    assert found["low"] > 0
    assert not found["passed"]
    nothing = gate.verdict(judged(gate, {"a/0001": (None, None)}))
    assert (nothing["difference"], nothing["passed"], nothing["n_failed"]) == (None, False, 2)


def test_the_reversed_split_holds_the_frames_backwards_and_the_same_words(gate: ModuleType, tmp_path: Path) -> None:
    source = read_split(make_split(tmp_path / "split"))
    backwards = read_split(reverse_split(source, tmp_path / "backwards"))
    assert [(c.id, c.caption, c.prompt) for c in backwards.cases] == [(c.id, c.caption, c.prompt) for c in source.cases]
    for case, other in zip(source.cases, backwards.cases, strict=True):
        ahead, back = source.read_reference(case).frames, backwards.read_reference(other).frames
        assert np.abs(ahead[::-1].astype(int) - back).mean() < 2.5
        assert np.abs(ahead.astype(int) - back).mean() > 10
    assert reverse_split(source, tmp_path / "backwards").is_file()
    assert read_split(tmp_path / "backwards").revision == backwards.revision


def shorter(split: Split, folder: Path) -> Path:
    """A split's references cut to their first half: one window of points instead of two, in a quarter of the time."""
    cases = []
    for case in split.cases:
        clip = split.read_reference(case)
        path = folder / f"{case.category}.mp4"
        path.parent.mkdir(exist_ok=True)
        Clip(clip.frames[:9], clip.fps).write(path, crf=NEARLY_LOSSLESS)
        cases.append(replace(case, reference=path.name, sha256=file_sha256(path)))
    write_manifest(folder / MANIFEST, cases)
    return folder


def test_copy_passes_and_reversed_and_frozen_do_not(
    gate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.app(["gate", *map(str, words)], prog_name="motionbench")
        assert (ended.value.code or 0) == code
        return "".join(capsys.readouterr())

    out, file, split = tmp_path / "gate", tmp_path / "gate.json", shorter(read_split("mini"), tmp_path / "short")
    for name in ("copy", "reversed", "frozen"):
        assert "backwards: 4 of 4 clips, 0 failed" in command("run", "--method", name, "--split", split, "--out", out)
    before = (out / "copy/forwards/records.jsonl").read_bytes()
    command("run", "--method", "copy", "--split", split, "--out", out)
    assert (out / "copy/forwards/records.jsonl").read_bytes() == before
    assert "copy: passed" in command("score", out, "--tracker", "lk", "--write", file)
    held = json.loads(file.read_text())["methods"]
    assert held["copy"]["own"] > 0.9
    assert held["copy"]["low"] > 0.5
    assert held["reversed"]["high"] < 0
    assert held["frozen"]["difference"] == pytest.approx(0, abs=1e-4)  # lk sees a frozen clip waver
    assert [held[name]["passed"] for name in ("copy", "frozen", "reversed")] == [True, False, False]
    assert held["copy"]["command"].endswith("gate run --method copy --split short --seed 0")
    lost = ResultStore(out / "copy/forwards")
    lost.inside(lost.records()[0].video or "").write_bytes(b"changed")
    assert "expected sha256" in command("score", out, "--tracker", "lk", code=2)
    assert "motionbench gate run" in command("score", tmp_path / "nothing", code=2)


def test_a_method_that_ignores_its_reference_has_exactly_nothing(gate: ModuleType) -> None:
    values = {
        f"{category}/0001": (0.3, -0.7) for category in "abcd"
    }  # the same clip twice: own and other change places
    clips = [
        gate.Judged(f"{name}/0", direction, *pair)
        for name, (a, b) in values.items()
        for direction, pair in zip(gate.DIRECTIONS, ((a, b), (b, a)), strict=True)
    ]
    found = gate.verdict(clips)
    assert (found["difference"], found["low"], found["high"], found["passed"]) == (0.0, 0.0, 0.0, False)


def test_the_page_takes_its_tables_from_the_file_and_keeps_the_text(
    gate: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = load_script(GATE_PAGE)
    cost = {"fit_seconds": 60.04, "generate_seconds": 11.0, "peak_memory_bytes": 2**30}
    circumstances = {
        "metric": "motion_fidelity", "metric_version": 6, "tracker": "tiny v3", "split": "mini r1", "backbone": "tiny",
        "backbone_revision": "b1", "seeds": [0], "device": "a machine", "preset": "tiny", "config_hash": "c1",
        "commits": ["abcd1234"], "date": "2026-01-01", "cost": cost,
    }  # fmt: skip
    good = gate.verdict(judged(gate, {f"{c}/0001": (v, v) for c, v in zip("abcd", (0.8, 0.7, 0.6, 0.5), strict=True)}))
    bad = gate.verdict(judged(gate, {"a/0001": (None, None)}))
    file, page = tmp_path / "gate.json", tmp_path / "gate.md"
    held = {"vmc": good | circumstances, "smm": bad | circumstances}
    file.write_text(json.dumps({"schema": 1, "methods": held}))
    page.write_text(f"before\n{marked_page.BEGIN}\nold\n{marked_page.END}\nafter\n")
    monkeypatch.setattr(sys, "argv", ["gate_page.py", str(file), "--page", str(page)])
    pages.main()
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| `vmc` | +0.65 | +0.00 | +0.65 [" in text
    assert "| `smm` | – | – | – [–, –] | 0 | 2 | **not passed** |" in text
    assert "| `vmc` | tiny | 60.0 | 11.0 | 1.00 | abcd1234 | 2026-01-01 |" in text
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="tables:begin"):
        pages.main()
