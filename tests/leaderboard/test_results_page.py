"""docs/results/lite.md and the README's table: rows, marks, differences, and what was written around them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from results_factory import INFOS, RunRecipe, write_run, write_split

from motionbench.scorer import metric_infos
from motionbench.store import ResultStore
from motionbench.summary import Attempts, make_summary

METHODS, CONTROLS = ("followyourmotion", "ditflow", "backbone"), ("frozen", "oracle")


@pytest.fixture
def results_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return importlib.import_module("results_page")


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    split, infos = write_split(tmp_path / "split", references=3), metric_infos(INFOS)
    versions = {name: info.version for name, info in infos.items()}
    made = {
        name: write_run(tmp_path / name, split, RunRecipe(name, videos=False, metric_versions=versions))
        for name in (*METHODS, *CONTROLS)
    }
    controls = {name: Attempts.read(ResultStore(made[name]), infos) for name in CONTROLS}
    for name in METHODS:
        store = ResultStore(made[name])
        summary = make_summary(store.read_run()["configuration"], Attempts.read(store, infos), controls, infos)
        store.write_summary(summary)
    return [str(made[name]) for name in METHODS]


def test_a_row_for_each_folder_best_first_and_differences_to_others(
    results_page: ModuleType, folders: list[str], tmp_path: Path
) -> None:
    page, readme = tmp_path / "lite.md", tmp_path / "README.md"
    for path in (page, readme):
        path.write_text("before\n<!-- tables:begin -->\nold\n<!-- tables:end -->\nafter\n", "utf-8")
    words = ["--against", "backbone", "--contrast", "followyourmotion", "ditflow"]
    results_page.main([*folders, *words, "--page", str(page), "--readme", str(readme)])
    text, short = page.read_text("utf-8"), readme.read_text("utf-8")
    for written in (text, short):
        assert written.startswith("before\n")
        assert written.endswith("after\n")
        assert "old" not in written
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows[:3] == [f"`{name}`" for name in METHODS], "by motion fidelity"
    mean = next(r for r in ResultStore(Path(folders[1])).read_summary().rows if r.category == "all").mean
    assert f"| `ditflow` | no | noise | {mean:.3f} [" in text
    assert "`followyourmotion` − `ditflow`, paired:" in text
    assert "| `backbone` | – | – |" in text, "no difference to itself"
    assert "`oracle` (ceiling)" in short
    assert short.count("\n| `") == len(METHODS) + 2


def test_a_folder_without_scores_is_named(results_page: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="motionbench score"):
        results_page.main([str(tmp_path / "none")])
