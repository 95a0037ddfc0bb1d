"""Declared experiments: files that are wrong, runs that are resumed, and numbers worked out again by plain loops."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import drift_method
import numpy as np
import pytest
import small_world
from drift_method import Drift

from motionbench import cli
from motionbench.comparison import Difference
from motionbench.errors import ConfigError
from motionbench.job import resolve
from motionbench.metric import Measurement
from motionbench.progress import Bars
from motionbench.record import comparable
from motionbench.scorer import ScorePlan, metric_infos
from motionbench.store import ResultStore
from motionbench.studies.declaration import Study, parse_study, read_study
from motionbench.studies.report import make_report, to_verdict
from motionbench.studies.running import plan_variants, run_study, score_study, to_tasks, variant_folders
from motionbench.studies.tables import report_tables, to_markdown

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
CAPTIONS = tuple(f"clip {i}" for i in range(8))  # two references in each category
SMALL = """
title = "How fast?"
about = "Does a picture that drifts faster change more?"
method = "drift"
split = "SPLIT"
seeds = [0, 1]
metrics = ["change"]
tracker = "still"
baseline = "slow"

[variants.slow]
set = ["speed=1"]

[variants.fast]
title = "fast | <b>"
set = ["speed=3"]

[variants.still]
title = "no drift"
set = ["speed=0"]

[[sweeps]]
key = "speed"
title = "Speed"
values = [0, 1, 2]

[published]
source = "a paper"

[published.values.slow]
change = 1.0
seconds = 10

[published.values.fast]
change = 3.0
seconds = 30

[published.values.still]
change = 2.0
"""


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return drift_method.make_split(tmp_path_factory.mktemp("split"), prompts=("a cat",), captions=CAPTIONS)


@pytest.fixture(scope="module")
def finished(split: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study's results, for the tests that start from them; nobody may change them."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(SMALL.replace("SPLIT", str(split)))
    with pytest.MonkeyPatch.context() as patch:
        small_world.install(patch)
        drift_method.install(patch)
        words = ["study", str(folder / "small.toml"), "--out", str(folder / "s"), "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            cli.app(words, prog_name="motionbench")
        assert len(Drift.generated) == 4 * 8 * 2  # three variants, and one of the sweep's that is none of them
    assert not ended.value.code
    return folder / "s"


@pytest.fixture
def study(split: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The small study with its plugins installed, the working folder an empty one."""
    small_world.install(monkeypatch)
    drift_method.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SMALL.replace("SPLIT", str(split)))
    return read_study(Path("small.toml"))


@pytest.fixture
def done(study: Study, finished: Path) -> Study:
    """The small study, with results in the folder `s` of this test alone."""
    shutil.copytree(finished, "s")
    return study


def invoke(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.app(["study", *arguments], prog_name="motionbench")
    out, err = capsys.readouterr()
    assert (ended.value.code or 0) == code, err
    return out, err


def plain_mean(store: ResultStore) -> dict[str, float]:
    """Reference -> mean of `change` over its prompts of means over seeds, in plain loops."""
    values = {(score.record_key, score.metric): score.value for score in store.scores()}
    by_case: dict[str, list[float]] = {}
    for record in store.records():
        value = values[record.key, "change"]
        assert value is not None
        by_case.setdefault(record.case_id, []).append(value)
    by_reference: dict[str, list[float]] = {}
    for case, found in by_case.items():
        by_reference.setdefault(case.rpartition("/")[0], []).append(sum(found) / len(found))
    return {reference: sum(found) / len(found) for reference, found in by_reference.items()}


def macro(values: dict[str, float]) -> float:
    categories: dict[str, list[float]] = {}
    for reference, value in values.items():
        categories.setdefault(reference.partition("/")[0], []).append(value)
    return sum(sum(found) / len(found) for found in categories.values()) / len(categories)


def test_the_page_holds_the_numbers_of_plain_loops(done: Study, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--device", "cpu", "--json")
    told = json.loads(out)
    slow, fast = (plain_mean(ResultStore(f"s/{name}")) for name in ("slow", "fast"))
    assert len(slow) == 8
    (row,) = (r for r in told["variants"]["slow"]["rows"] if r["category"] == "all")
    assert row["mean"] == pytest.approx(macro(slow))
    (contrast,) = (c for c in told["contrasts"] if c["a"] == "fast")
    (gap,) = (d for d in contrast["differences"] if d["category"] == "all")
    assert gap["difference"] == pytest.approx(macro({key: fast[key] - slow[key] for key in fast}))
    assert gap["difference"] > 0
    assert gap["low"] <= gap["difference"] <= gap["high"]
    assert (gap["n_references"], gap["n_unpaired"]) == (8, 0)
    assert contrast["published"] == {"change": 2.0, "seconds": 20.0}
    assert contrast["verdicts"] == {"change": "same sign"}
    assert told["facts"]["References"] == "8"
    assert told["facts"]["Seeds"] == "0, 1"
    text = Path("s/study.md").read_text()
    assert f"{row['mean']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in text
    assert f"{gap['difference']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]" in text
    assert "fast \\| <b> − slow" in text


def test_sweeps_share_the_folders_of_equal_variants_and_controls_are_made_once(
    done: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = plan_variants(done)
    assert list(done.variants) == ["slow", "fast", "still", "speed=0", "speed=1", "speed=2"]
    folders = {name: folder.name for name, folder in variant_folders(plans, Path("s")).items()}
    assert folders["speed=0"] == "still"
    assert folders["speed=1"] == "slow"
    assert folders["speed=2"] == "speed=2"
    assert sorted(path.parent.name for path in Path("s").glob("*/run.json")) == ["fast", "slow", "speed=2", "still"]
    assert sorted(path.name for path in Path("s/controls").iterdir()) == ["copy", "frozen"]
    text = Path("s/study.md").read_text()
    lines = text.partition("## Speed\n")[2].splitlines()
    assert [line.split(" | ")[0] for line in lines[3:6]] == ["| 0", "| 1", "| 2"]
    overview = text.partition("## Variants\n")[2].partition("## ")[0]
    assert [line.split(" | ")[0] for line in overview.splitlines() if line.startswith("| ")][2:] == [
        "| slow", "| fast \\| <b>", "| no drift", "| speed = 2",
    ]  # fmt: skip
    contrasts = text.partition("## Contrasts\n")[2].partition("## ")[0]
    assert "speed = 1" not in contrasts
    assert contrasts.count(" − slow") == 3


def test_what_is_there_is_not_made_again_and_a_stopped_study_goes_on(
    done: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    invoke(capsys, "small.toml", "--out", "s", "--device", "cpu")
    assert Drift.generated == []
    page = Path("s/study.md").read_text()
    shutil.rmtree("s/fast")
    _, err = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--device", "cpu", code=1)
    assert "16 are not on record" in err
    assert "fast \\| <b> | –" in Path("s/study.md").read_text()
    invoke(capsys, "small.toml", "--out", "s", "--device", "cpu")
    assert len(Drift.generated) == 16
    assert without_seconds(Path("s/study.md").read_text()) == without_seconds(page)


def without_seconds(text: str) -> list[list[str]]:
    """The page's cells but for times, which no two runs share."""
    return [[cell for cell in line.split(" | ") if "[" in cell or cell.isalpha()] for line in text.splitlines()]


def test_the_page_is_made_from_records_alone_and_keeps_the_words_around(
    done: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path("s/study.md").read_text()
    for videos in Path("s").rglob("videos"):
        shutil.rmtree(videos)
    Path("told.md").write_text("# Mine\n<!-- tables:begin -->\nold\n<!-- tables:end -->\nafter\n")
    invoke(capsys, "small.toml", "--out", "s", "--no-run", "--no-score", "--page", "told.md")
    told = Path("told.md").read_text()
    assert told.startswith("# Mine\n")
    assert told.endswith("\nafter\n")
    tables = page.partition("## Variants")[2].partition("## Made by")[0].strip()
    assert len(tables) > 1000
    assert tables in told
    assert Path("s/study.toml").read_text() == done.text
    assert done.text.strip() in told


def test_nothing_in_a_study_becomes_markup(finished: Path) -> None:
    page = (finished / "study.html").read_text()
    assert page.count("<!doctype html>") == 1
    body = page.partition("<body>")[2]
    assert "fast | &lt;b&gt;" in body
    assert "<b>" not in "".join(part.partition("<script")[0] for part in body.split("</script>"))
    assert page.count("plotly-graph-div") >= 3
    assert "http-equiv" in page


def test_a_dry_run_computes_nothing(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = invoke(capsys, "small.toml", "--dry-run")
    assert "slow: 16 clips of 16 fits, 0 on record" in out
    assert "speed=1: the same as slow" in out
    assert "6 variants, 64 fits, 64 clips" in out
    assert Drift.fits == []
    assert not Path("results").exists()


def test_what_is_printed_fits_a_narrow_terminal(done: Study, capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--no-score")
    assert max(map(len, out.splitlines())) <= 80
    assert "no drift − slow" in out
    assert "speed = 1" not in out


def test_failures_are_listed_and_the_rest_is_done(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    drift_method.make_split(Path("split"), prompts=("a cat",), captions=("oom", "fine"))
    text = "\n".join(study.text.partition("[[sweeps]]")[0].splitlines())
    Path("small.toml").write_text(text.replace(study.split, "split"))
    _, err = invoke(capsys, "small.toml", "--out", "s", "--device", "cpu", code=1)
    assert "6 attempts failed, 0 are not on record" in err
    text = Path("s/study.md").read_text()
    assert text.partition("## Failures")[2].count("MemoryError: no room") == 6


def test_a_study_that_changed_is_refused_where_its_results_lie(done: Study, capsys: pytest.CaptureFixture[str]) -> None:
    Path("small.toml").write_text(done.text.replace("speed=3", "speed=4"))
    _, err = invoke(capsys, "small.toml", "--out", "s", "--device", "cpu", code=2)
    assert "config.speed: 3 there, 4 asked" in err


def test_a_study_cut_short_has_every_category_and_every_variant_alike() -> None:
    """Units are listed category by category: a study that kept their order would end without the last ones."""
    text = 'method = "copy"\nsplit = "lite"\nseeds = [0, 1]\n[variants.a]\n[variants.b]\nmethod = "frozen"\n'
    tasks = to_tasks(plan_variants(parse_study("cut", text)), Path("x"))
    units = [resolve(task.plan).units() for task in tasks[: 2 * 4 * 3]]  # three references of each category
    made = [(task.out.name, unit.seed, unit.cases[0].category) for task, (unit,) in zip(tasks, units, strict=False)]
    assert sorted(Counter(made).values()) == [3] * (2 * 4)
    assert {seed for _, seed, _ in made} == {0}
    assert len({(task.out, task.plan.shard) for task in tasks}) == len(tasks) == 2 * 40 * 2


def test_processes_side_by_side_make_the_same_records(tmp_path: Path) -> None:
    """With installed methods, since fresh processes know no test's plugins."""
    split = small_world.make_split(tmp_path / "split")
    text = f'split = "{split}"\n[variants.copy]\nmethod = "copy"\n[variants.frozen]\nmethod = "frozen"\n'
    plans = plan_variants(parse_study("pixels", text))
    tasks = to_tasks(plans, tmp_path / "x")
    assert [(task.out.name, task.plan.shard) for task in tasks[:3]] == [
        ("copy", (1, 4)),
        ("frozen", (1, 4)),
        ("copy", (3, 4)),  # the first reference of the next category
    ]
    assert run_study(plans, tmp_path / "many", Bars, workers=2) == 0
    run_study(plans, tmp_path / "one", Bars)
    for name in plans:
        one, many = (ResultStore(tmp_path / folder / name).records() for folder in ("one", "many"))
        assert len(one) == 8
        assert [comparable(record) for record in one] == [comparable(record) for record in many]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("baseline =", "basline ="), ["unknown key 'basline'", "Did you mean baseline"]),
        (('baseline = "slow"', 'baseline = "slov"'), ["no variant 'slov'", "Did you mean slow"]),
        (('method = "drift"', ""), ["variant 'slow' has no method"]),
        (("seeds = [0, 1]", "seeds = [0.5]"), ["seeds must be whole numbers"]),
        (("seeds = [0, 1]", "seeds = true"), ["seeds must be list"]),
        (("[variants.fast]", '[variants."../fast"]'), ["'../fast'", "names a folder"]),
        (("[published.values.fast]", "[published.values.fats]"), ["no variant 'fats'"]),
        (("change = 3.0", 'change = "3"'), ["change must be a number"]),
        (("values = [0, 1, 2]", "values = [0, 0]"), ["a value stands twice"]),
        (("values = [0, 1, 2]", ""), ["needs a key and its values"]),
        (('set = ["speed=3"]', "set = [3]"), ["set must be a list of texts"]),
        (("[variants.slow]", "[variants.slow"), ["small.toml", "TOML"]),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_key(tmp_path: Path, change: tuple[str, str], words: list[str]) -> None:
    file = tmp_path / "small.toml"
    assert change[0] in SMALL
    file.write_text(SMALL.replace(*change))
    with pytest.raises(ConfigError) as error:
        read_study(file)
    for word in [*words, str(file)]:
        assert word in str(error.value)


def test_a_wrong_setting_names_the_variant_before_anything_is_computed(study: Study) -> None:
    text = study.text.replace('set = ["speed=3"]', 'set = ["spead=3"]')
    with pytest.raises(ConfigError, match=r"variant 'fast': .*unknown key 'spead'.*speed"):
        plan_variants(parse_study("s", text))
    assert Drift.fits == []


def test_a_contrast_of_ones_own_replaces_those_to_the_baseline() -> None:
    text = SMALL + '\n[[contrasts]]\na = "fast"\nb = "still"\nquestion = "Does drift change frames?"\n'
    (contrast,) = parse_study("s", text).contrasts
    assert (contrast.a, contrast.b, contrast.question) == ("fast", "still", "Does drift change frames?")
    assert [(c.a, c.b) for c in parse_study("s", SMALL).contrasts][:2] == [("fast", "slow"), ("still", "slow")]


@pytest.mark.parametrize(
    ("published", "own", "expected"),
    [
        (0.1, (0.2, 0.1, 0.3), "same sign"),
        (-0.1, (0.2, 0.1, 0.3), "opposite sign"),
        (0.1, (0.2, -0.1, 0.3), "not told apart"),
        (0.1, (-0.2, -0.3, 0.0), "not told apart"),
        (0.1, (0.2, None, None), ""),
        (0.0, (0.2, 0.1, 0.3), ""),
    ],
)
def test_a_sign_agrees_only_where_the_interval_excludes_nothing(published: float, own: Any, expected: str) -> None:
    gap = Difference("all", "m", 0.5, 0.3, *own, n_references=4, n_pairs=4, n_unpaired=0)
    assert to_verdict(published, gap) == expected


def test_where_zero_is_best_rows_and_contrasts_are_of_distances_from_it(done: Study) -> None:
    """`fast` changes as much as ever, but downwards: farther from zero than `slow`, not below it."""
    path = Path("s/fast/scores.jsonl")
    scores = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(score | {"value": -score["value"]}) + "\n" for score in scores))
    infos = {name: replace(info, better="zero") for name, info in metric_infos(["change"]).items()}
    report = make_report(done, plan_variants(done), Path("s"), infos)
    slow, fast = (macro(plain_mean(ResultStore(f"s/{name}"))) for name in ("slow", "fast"))
    assert report.variants["fast"].rows["change", "all"].mean == pytest.approx(-fast)
    contrast = next(found for found in report.contrasts if found.contrast.a == "fast")
    assert contrast.differences["change", "all"].difference == pytest.approx(-fast - slow)


def test_scores_of_two_trackers_are_refused(done: Study, capsys: pytest.CaptureFixture[str]) -> None:
    travel = done.text.replace('metrics = ["change"]', 'metrics = ["travel"]')
    Path("small.toml").write_text(travel)
    invoke(capsys, "small.toml", "--out", "s", "--no-run", "--device", "cpu")
    lines = Path("s/fast/scores.jsonl").read_text().splitlines()
    Path("s/fast/scores.jsonl").write_text("\n".join(line.replace("still v1", "other v1") for line in lines) + "\n")
    _, err = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--no-score", code=2)
    assert "travel rests on other v1, still v1" in err


def test_scores_of_another_version_are_named_and_left_out(
    done: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = small_world.install(monkeypatch)
    extra["metrics"]["change"] = small_world.make_metric(small_world.change, "change", version=2)
    drift_method.install(monkeypatch)
    _, err = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--no-score", code=1)
    assert "change v2 is installed and the scores are of v1" in err
    assert "scores are of v1" in Path("s/study.md").read_text()
    _, err = invoke(capsys, "small.toml", "--out", "s", "--no-run", "--device", "cpu")
    assert "is installed" not in err


def test_a_missing_value_is_a_dash_and_counted(done: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = small_world.install(monkeypatch)
    extra["metrics"]["never"] = small_world.make_metric(lambda sample: Measurement(None, "no motion"), "never")
    declared = replace(done, metrics=("never",))
    plans = plan_variants(declared)
    score_study(plans, Path("s"), ScorePlan(("never",), "still", "cpu"), Bars)
    report = make_report(declared, plans, Path("s"), metric_infos(("never",)))
    overview = report_tables(report)[0]
    assert {row[1] for row in overview.rows} == {"–"}
    assert report.variants["slow"].rows["never", "all"].n_failed == 16
    assert "nan" not in to_markdown(report, "command")


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_committed_studies_can_be_run(file: Path) -> None:
    """Names, settings and metrics exist; the split of some is built by a command first, so `mini` stands in for it."""
    study = read_study(file)
    plans = plan_variants(replace(study, split="mini"))
    metric_infos(study.metrics)
    hashes = {name: (plan.method, plan.config_hash) for name, plan in plans.items()}
    named = [name for name in study.variants if "=" not in name]
    assert len({hashes[name] for name in named}) == len(named)  # every named variant differs from every other
    for sweep in study.sweeps:
        assert len({hashes[name] for name in sweep.variants}) == len(sweep.values)
        assert hashes[study.baseline] in {hashes[name] for name in sweep.variants} or "set" in file.read_text()
    assert study.split in ("lite", "splits/tuning")
    assert study.split == "splits/tuning" or "othing was chosen" in study.about or file.stem == "ablation"
    assert np.isfinite([number for variant in study.variants.values() for number in variant.published.values()]).all()
