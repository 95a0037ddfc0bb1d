"""The search for presets: fit and sample tuning references under many settings of many methods, and score the clips.

    motionbench data build tuning --out DIR
    python -m motionbench.methods.preset_search run SEARCH.json --split DIR --out found.jsonl --workers 16
    python -m motionbench.methods.preset_search table found.jsonl

The split must hold references that are in no published one. SEARCH.json (ours are in `training/searches`) is
`{"method": "followyourmotion", "sample": {"g4": {"guidance": 4}}, "trials": [{"name": "r64", "set": {"rank": 64}}]}`:
`set` is what differs from the preset named like the backbone; each entry of `sample` samples the same fit otherwise.
A trial may name a method and samples of its own. Every trial takes the first reference of each category, then every
one the second: a search that is cut short compares all trials on the same references, and goes on when called again.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from motionbench import registry
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.device import resolve_device
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.files import append_line, canonical_json, read_lines
from motionbench.footage import AUTO, tracker_for, world_of
from motionbench.method import Runtime
from motionbench.metric import MetricRuntime
from motionbench.pair import SHAPE, to_sample
from motionbench.processes import work_side_by_side
from motionbench.seeds import derive_seed
from motionbench.split import Split, read_split
from motionbench.track_cache import TrackCache

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)


@dataclass(frozen=True)
class Trial:
    """One configuration of a method to fit with, and the configurations to sample that fit with, by name."""

    name: str
    method: str
    config: Any
    samples: dict[str, Any]


def read_trials(path: Path, backbone: str) -> list[Trial]:
    """The trials of a JSON file. Raises ConfigError naming the trial if a key or value is none of its method's."""
    search = json.loads(path.read_text("utf-8"))
    trials = []
    for entry in search["trials"]:
        try:
            facts = search | entry
            method = facts["method"]
            preset = build_config(registry.load("methods", method), backbone=backbone)
            config = replace(preset, **_typed(entry["set"]))
            samples = {name: replace(config, **_typed(values)) for name, values in facts["sample"].items()}
            trials.append(Trial(entry["name"], method, config, samples))
        except (KeyError, TypeError, ConfigError) as error:
            raise ConfigError(f"{path}: trial {entry.get('name', entry)!r}: {error}") from error
    return trials


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


class Search:
    """Runs trials on one backbone and scores what they generate."""

    def __init__(self, runtime: Runtime, metrics: Sequence[str], tracker: str, world: str | None) -> None:
        self.runtime = runtime
        seen = MetricRuntime(runtime.device, world)
        self.metrics = [registry.load("metrics", name).create(seen) for name in metrics]
        self.tracks = TrackCache(tracker, device=runtime.device, grid=SHAPE.grid)

    def run(self, trial: Trial, case: Case, reference: Clip, seed: int) -> Iterator[dict[str, Any]]:
        """One line for each sampling configuration: settings, seconds, and every metric's value (None: see notes)."""
        start = time.perf_counter()
        fit_seed = derive_seed(seed, case.reference_id)
        adapter = self._method(trial, trial.config).fit(reference, case.caption, seed=fit_seed)
        fit_seconds = time.perf_counter() - start
        for name, config in trial.samples.items():
            start = time.perf_counter()
            clip = self._method(trial, config).generate(adapter, case.prompt, seed=derive_seed(seed, case.id))
            line = facts_of(trial, case, seed) | {"sample": name, "config": asdict(config)}
            line |= {"fit_seconds": round(fit_seconds, 2), "sample_seconds": round(time.perf_counter() - start, 2)}
            yield line | self._score(clip, case, reference)

    def _method(self, trial: Trial, config: Any) -> Any:
        return registry.load("methods", trial.method).create(config, self.runtime)

    def _score(self, clip: Clip, case: Case, reference: Clip) -> dict[str, Any]:
        facts = {"prompt": case.prompt, "caption": case.caption, "case_id": case.id, "category": str(case.category)}
        sample = to_sample(clip, reference, self.tracks, **facts)
        measured = {metric.info.name: metric.measure(sample) for metric in self.metrics}
        notes = {name: m.note for name, m in measured.items() if m.note}
        return {"scores": {name: m.value for name, m in measured.items()}, "notes": notes}


def facts_of(trial: Trial, case: Case, seed: int) -> dict[str, Any]:
    """What names a line, but for its sample."""
    facts = {"trial": trial.name, "method": trial.method, "case": case.id, "category": str(case.category)}
    return facts | {"sample": "", "seed": seed}


def jobs_of(trials: Sequence[Trial], split: Split, level: str) -> list[tuple[Trial, Case]]:
    """(trial, case) pairs, one case of the level for each reference: category by category, then the next of each."""
    cases = {case.reference_id: case for case in reversed(split.cases) if case.level == level}
    if not cases:
        raise ConfigError(f"split {split.name} has no case of level {level!r}")
    columns: dict[str, list[Case]] = defaultdict(list)
    for key in sorted(cases):
        columns[cases[key].category].append(cases[key])
    turns = (case for case in chain.from_iterable(zip_longest(*columns.values())) if case is not None)
    return [(trial, case) for case in turns for trial in trials]


@dataclass(frozen=True)
class Task:
    """What every process of a search is told."""

    jobs: list[tuple[Trial, Case]]
    split: str
    runtime: Runtime
    metrics: tuple[str, ...]
    tracker: str
    seed: int
    out: Path

    def work(self, numbers: Iterable[int]) -> None:
        """Does the jobs of these numbers."""
        split = read_split(self.split)
        search = Search(self.runtime, self.metrics, self.tracker, world_of(split))
        for number in numbers:
            trial, case = self.jobs[number]
            try:
                lines = list(search.run(trial, case, split.read_reference(case), self.seed))
            except MotionBenchError as error:  # a learning rate that destroys the model is a result too
                notes = {"error": f"{type(error).__name__}: {error}"}
                lines = [facts_of(trial, case, self.seed) | {"scores": {}, "notes": notes}]
            for line in lines:
                append_line(self.out, canonical_json(line))
                said = canonical_json({"scores": line["scores"], "notes": line["notes"]})
                typer.echo(f"{line['trial']}/{line['sample']} {line['case']} {said}")


@app.command()
def run(
    search: Annotated[Path, typer.Argument(help="JSON file of trials.")],
    split: Annotated[str, typer.Option("--split", help="Folder or manifest of the tuning references.")],
    out: Annotated[Path, typer.Option("--out", help="JSONL to append to.")],
    backbone: Annotated[str, typer.Option("--backbone")] = "tiny",
    metrics: Annotated[str, typer.Option("--metrics", help="Names with commas.")] = "motion_fidelity,text_alignment",
    tracker: Annotated[str, typer.Option("--tracker", help="Name, or auto: by the split.")] = AUTO,
    level: Annotated[str, typer.Option("--level", help="Which prompts: subject or scene.")] = "scene",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    seconds: Annotated[float, typer.Option("--seconds", help="After which several workers are killed.")] = 1e9,
    device: Annotated[str, typer.Option("--device")] = "auto",
) -> None:
    """Run the trials that are missing in --out."""
    there = {(line["trial"], line["case"], line["seed"]) for _, line in read_lines(out)}
    references = read_split(split)
    jobs = jobs_of(read_trials(search, backbone), references, level)
    missing = [(trial, case) for trial, case in jobs if (trial.name, case.id, seed) not in there]
    runtime = Runtime(backbone, resolve_device(device))
    task = Task(missing, split, runtime, tuple(metrics.split(",")), tracker_for(tracker, references), seed, out)
    if workers == 1:
        task.work(range(len(missing)))
    else:
        work_side_by_side(task.work, len(missing), workers, seconds=seconds)


@app.command()
def table(results: Annotated[Path, typer.Argument(help="JSONL that `run` wrote.")]) -> None:
    """Print, best first, every trial's mean of each metric over categories (macro), and per category."""
    for row in to_rows([line for _, line in read_lines(results)]):
        typer.echo(row)


def to_rows(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Text rows `trial/sample metric mean n | category mean ...`, sorted by metric and then by mean, best first."""
    values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        for metric, value in line["scores"].items():
            if value is not None:
                values[metric, f"{line['trial']}/{line['sample']}"][line["category"]].append(value)
    rows = []
    for (metric, name), by_category in values.items():
        means = {category: fmean(members) for category, members in sorted(by_category.items())}
        count = sum(len(members) for members in by_category.values())
        parts = "  ".join(f"{category} {mean:+.3f}" for category, mean in means.items())
        rows.append(
            (metric, -fmean(means.values()), f"{name:40s} {metric} {fmean(means.values()):+.3f} n={count} | {parts}")
        )
    return [text for *_, text in sorted(rows)]


if __name__ == "__main__":
    app()
