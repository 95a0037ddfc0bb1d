"""Agreement of head assignments: pairs, shares and kappa by hand, and a whole session with a stand-in."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from motionbench.methods.followyourmotion.heads import HeadScores


@pytest.fixture(scope="module")
def stability() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        return importlib.import_module("head_stability")


def test_agreement_is_the_share_and_what_exceeds_chance(stability: ModuleType) -> None:
    a = np.array([[True, True, False, False]])
    assert stability.agreement(a, a) == (1.0, 1.0)
    assert stability.agreement(a, ~a) == (0.0, -1.0)
    share, kappa = stability.agreement(a, np.array([[True, False, True, False]]))
    assert (share, kappa) == (0.5, 0.0)
    assert stability.agreement(np.ones((2, 2), bool), np.ones((2, 2), bool)) == (1.0, None)


def test_only_looks_that_differ_in_one_factor_are_paired(stability: ModuleType) -> None:
    looks = [stability.Look(r, p, t, d) for r in ("camera/1", "human/1") for p in ("own",) for t in (0.1, 0.5)
             for d in (0, 1, 2)]  # fmt: skip
    assert len(list(stability.pairs_that_differ(looks, "draw"))) == 2 * 2 * 3
    assert len(list(stability.pairs_that_differ(looks, "time"))) == 2 * 3
    assert len(list(stability.pairs_that_differ(looks, "reference"))) == 2 * 3
    assert list(stability.pairs_that_differ(looks, "prompt")) == []


def test_a_split_that_flips_with_time_alone_is_stable_in_all_else(stability: ModuleType) -> None:
    base = np.random.default_rng(0).random((3, 4)) < 0.5
    kinds = {
        stability.Look(f"{c}/000{i}", p, t, d): base if t == 0.1 else ~base
        for c in ("camera", "human") for i in (1, 2) for p in ("own", "other") for t in (0.1, 0.9) for d in (0, 1)
    }  # fmt: skip
    for factor in ("reference", "prompt", "draw"):
        found = stability.stability(kinds, factor)
        assert (found["share"]["mean"], found["kappa"]["mean"]) == (1.0, 1.0)
    flipped = stability.stability(kinds, "time")
    assert flipped["share"]["mean"] == 0.0
    assert flipped["pairs"] == 4 * 2 * 2
    assert flipped["kappa"]["mean"] < 0


def test_a_session_goes_on_where_it_was_and_prints_a_line_for_each_rule_and_factor(
    stability: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    class Stand:
        def __init__(self, split: object, backbone: str, device: str) -> None:
            pass

        def look(self, look: object) -> HeadScores:
            seen.append(look)
            rng = np.random.default_rng(len(seen))
            return HeadScores(*rng.random((4, 3, 4)))

    monkeypatch.setattr(stability, "Observatory", Stand)
    asked = {
        "split": "mini",
        "limit": 1,
        "times": "0.25,0.75",
        "draws": 2,
        "backbone": "tiny",
        "device": "cpu",
        "alpha": "0.5,2",
    }
    stability.main(**asked, out=tmp_path / "looks.jsonl", page=None)
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(seen) == 4 * 2 * 2 * 2
    assert [tuple(line.split(" | ")[:2]) for line in lines[2:]] == [
        (f"| {rule}", factor)
        for rule in ("paper, alpha 0.5", "paper, alpha 2", "released")
        for factor in ("reference", "prompt", "time", "draw")
    ]
    shares = {line.split(" | ")[0]: float(line.split(" | ")[-1].strip("| ")) for line in lines[2:]}
    assert shares["| paper, alpha 0.5"] < shares["| paper, alpha 2"]
    stability.main(**asked, out=tmp_path / "looks.jsonl", page=tmp_path / "page.md")
    assert len(seen) == 32
    assert (tmp_path / "page.md").read_text().strip().splitlines() == lines
