"""docs/results/lite.md and the README's table: rows, marks, differences, and what was written around them."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from motionbench.leaderboard.archives import to_archive
from results_factory import INFOS, RunRecipe, write_run, write_split

from motionbench.comparison import compare
from motionbench.scorer import metric_infos
from motionbench.store import ResultStore
from motionbench.summary import Attempts, make_summary, summarize

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


def test_two_seeds_are_told_apart_and_archives_are_read(results_page: ModuleType, tmp_path: Path) -> None:
    split, infos = write_split(tmp_path / "split", references=3), metric_infos(INFOS)
    versions = {name: info.version for name, info in infos.items()}
    for name in (*METHODS, *CONTROLS):
        recipe = RunRecipe(name, seeds=(0, 1), videos=False, metric_versions=versions)
        write_run(tmp_path / "made" / name, split, recipe)
    controls = {name: Attempts.read(ResultStore(tmp_path / "made" / name), infos) for name in CONTROLS}
    means, gains = {}, {}
    for name in METHODS:
        store = ResultStore(tmp_path / "made" / name)
        attempts = Attempts.read(store, infos)
        store.write_summary(make_summary(store.read_run()["configuration"], attempts, controls, infos))
        texts = {path.name: path.read_bytes() for path in store.folder.iterdir() if path.is_file()}
        target = tmp_path / "lite" / f"{name}.tar.xz"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(to_archive(texts, target))
        for seed in (0, 1):
            rows = summarize(results_page.of_seed(attempts, seed), {}, infos)
            means[name, seed] = next(r.mean for r in rows if (r.metric, r.category) == ("motion_fidelity", "all"))
        seeds = (results_page.of_seed(attempts, seed) for seed in (1, 0))
        gains[name] = next(d.difference for d in compare(*seeds, ["motion_fidelity"]) if d.category == "all")
    page = tmp_path / "lite.md"
    page.write_text("<!-- tables:begin -->\n<!-- tables:end -->\n", "utf-8")
    results_page.main([str(tmp_path / "lite"), "--page", str(page)])
    row = next(line for line in page.read_text("utf-8").split("Under each seed")[1].splitlines() if "`ditflow`" in line)
    first, rank, second, _, difference = [cell.strip() for cell in row.split("|")[2:7]]
    assert (first, second) == tuple(f"{means['ditflow', seed]:.3f}" for seed in (0, 1))
    assert int(rank) == 1 + sum(means[name, 0] > means["ditflow", 0] for name in METHODS)
    assert difference.startswith(f"{gains['ditflow']:+.3f} [".replace("-", "−")), "over the cases that both have"
    order = [sorted(METHODS[:2], key=lambda name: means[name, seed]) for seed in (0, 1)]
    turned = int(order[0] != order[1])
    assert f"Ranks of the 2 methods under seeds 0 and 1: Spearman's correlation {'−' * turned}1.00; {turned} of 1" in (
        page.read_text("utf-8")
    )
    results_page.main([str(tmp_path / "lite"), "--page", str(page), "--cost-seed", "1"])
    overview = next(line for line in page.read_text("utf-8").splitlines() if line.startswith("| `ditflow`"))
    records = ResultStore(tmp_path / "made" / "ditflow").records()
    seconds = [record.generate_seconds for record in records if record.seed == 1 and record.status == "ok"]
    assert [cell.strip() for cell in overview.split("|")][-5] == f"{sum(seconds) / len(seconds):.1f}"


def test_a_folder_without_scores_is_named(results_page: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="motionbench score"):
        results_page.main([str(tmp_path / "none")])


def test_seeds_that_were_made_apart_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    merging = importlib.import_module("merge_runs")
    split = write_split(tmp_path / "split", references=2)
    first, second, whole, other = (
        write_run(tmp_path / str(n), split, RunRecipe("ditflow", seeds=seeds, config=config, rows=True))
        for n, (seeds, config) in enumerate([((0,), {}), ((1,), {}), ((0, 1), {}), ((1,), {"steps": 3})])
    )
    merging.main([str(first), str(second), "--out", str(tmp_path / "both")])
    both, expected = ResultStore(tmp_path / "both"), ResultStore(whole)
    assert [record.key for record in both.records()] == [record.key for record in expected.records()]
    assert [score.value for score in both.scores()] == [score.value for score in expected.scores()]
    assert all(both.has_video(record) for record in both.records() if record.video)
    assert both.read_run()["selection"]["seeds"] == [0, 1]
    assert both.read_run()["configuration"] == ResultStore(first).read_run()["configuration"]
    with pytest.raises(SystemExit, match="there already"):
        merging.main([str(first), str(second), "--out", str(tmp_path / "both")])
    with pytest.raises(SystemExit, match="one configuration"):
        merging.main([str(first), str(other), "--out", str(tmp_path / "mixed")])
    assert not (tmp_path / "mixed").exists()
