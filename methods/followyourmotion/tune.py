"""The search for preset `tiny`: fit and sample tuning references under many configurations, and score the motion.

    python -m motionbench.methods.followyourmotion.tune run configs.json --split DIR --out tune.jsonl --shard 1/16
    python -m motionbench.methods.followyourmotion.tune table tune.jsonl

The split (`motionbench data build tuning --out DIR`) must hold references that are in no published one.
configs.json, such as those in `searches/`, is `{"sample": {"both": {}, "temporal": {"branches_at_inference":
"temporal"}}, "trials": [{"name": "rank64", "set": {"rank": 64}}]}`: `set` is what differs from the preset named like
the backbone; each entry of `sample` samples the same fit with other settings. Lines that are there already are not
computed again, so a killed search goes on.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from motionbench import registry
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.device import resolve_device
from motionbench.errors import ConfigError, MotionBenchError
from motionbench.files import append_line, canonical_json, read_lines
from motionbench.method import Setting
from motionbench.metric import MetricSetting, Sample
from motionbench.plan import parse_shard
from motionbench.seeds import derive_seed
from motionbench.split import Split, read_split
from motionbench.track_cache import TrackCache

from .config import Config, default_config
from .method import FollowYourMotion

app = typer.Typer(add_completion=False, help=__doc__, rich_markup_mode=None)
GRID = 20  # tracked points per side, as the scorer has it


@dataclass(frozen=True)
class Trial:
    """One configuration to fit with, and the configurations to sample that fit with, by name."""

    name: str
    config: Config
    samples: dict[str, Config]


def read_trials(path: Path, backbone: str) -> list[Trial]:
    """The trials of a JSON file. Raises ConfigError naming the trial if a key or value is none of `Config`."""
    search = json.loads(path.read_text("utf-8"))
    trials = []
    for entry in search["trials"]:
        try:
            config = replace(default_config(backbone), **_typed(entry["set"]))
            samples = {name: replace(config, **_typed(values)) for name, values in search["sample"].items()}
            trials.append(Trial(entry["name"], config, samples))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{path}: trial {entry.get('name', entry)!r}: {error}") from error
    return trials


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


class Search:
    """Runs trials on one backbone and scores what they generate."""

    def __init__(self, setting: Setting, metrics: Sequence[str], tracker: str) -> None:
        self.setting = setting
        self.backbone = registry.load("backbones", setting.backbone)(setting)
        self.metrics = [registry.load("metrics", name).create(MetricSetting(setting.device)) for name in metrics]
        self.tracks = TrackCache(tracker, device=setting.device, grid=GRID)

    def run(self, trial: Trial, case: Case, reference: Clip, seed: int) -> Iterator[dict[str, Any]]:
        """One line for each sampling configuration: settings, seconds, and every metric's value (None: see notes)."""
        start = time.perf_counter()
        fit_seed = derive_seed(seed, case.reference_id)
        adapter = self._method(trial.config).fit(reference, case.caption, seed=fit_seed)
        fit_seconds = time.perf_counter() - start
        for name, config in trial.samples.items():
            start = time.perf_counter()
            clip = self._method(config).generate(adapter, case.prompt, seed=derive_seed(seed, case.id))
            line = {"trial": trial.name, "sample": name, "case": case.id, "category": str(case.category), "seed": seed}
            line |= {"fit_seconds": round(fit_seconds, 2), "sample_seconds": round(time.perf_counter() - start, 2)}
            yield (
                line
                | {"temporal_share": float(adapter.temporal.mean()), "config": asdict(config)}
                | self._score(clip, case, reference)
            )

    def _method(self, config: Config) -> FollowYourMotion:
        return FollowYourMotion(config, self.setting, self.backbone)

    def _score(self, clip: Clip, case: Case, reference: Clip) -> dict[str, Any]:
        fitting = reference.sample(len(clip)).resize(clip.height, clip.width)
        sample = Sample(clip, fitting, case.prompt, case.caption, case.id, str(case.category), self.tracks)
        measured = {metric.info.name: metric.measure(sample) for metric in self.metrics}
        notes = {name: m.note for name, m in measured.items() if m.note}
        return {"scores": {name: m.value for name, m in measured.items()}, "notes": notes}


def jobs_of(trials: Sequence[Trial], split: Split, level: str, shard: tuple[int, int]) -> list[tuple[Trial, Case]]:
    """This shard's (trial, case) pairs: all references in turn under each trial, one case of the level for each."""
    cases = {case.reference_id: case for case in reversed(split.cases) if case.level == level}
    if not cases:
        raise ConfigError(f"split {split.name} has no case of level {level!r}")
    jobs = [(trial, cases[key]) for trial in trials for key in sorted(cases)]
    return jobs[shard[0] - 1 :: shard[1]]


@app.command()
def run(
    configs: Annotated[Path, typer.Argument(help="JSON file of trials.")],
    split: Annotated[str, typer.Option("--split", help="Folder or manifest of the tuning references.")],
    out: Annotated[Path, typer.Option("--out", help="JSONL to append to.")],
    backbone: Annotated[str, typer.Option("--backbone")] = "tiny",
    metrics: Annotated[str, typer.Option("--metrics", help="Names with commas.")] = "motion_fidelity",
    tracker: Annotated[str, typer.Option("--tracker")] = "tiny",
    level: Annotated[str, typer.Option("--level", help="Which prompts: subject or scene.")] = "scene",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    shard: Annotated[str, typer.Option("--shard", metavar="I/N")] = "1/1",
    device: Annotated[str, typer.Option("--device")] = "auto",
) -> None:
    """Run the trials that are missing in --out."""
    held = read_split(split)
    jobs = jobs_of(read_trials(configs, backbone), held, level, parse_shard(shard))
    there = {(line["trial"], line["case"], line["seed"]) for _, line in read_lines(out)}
    search = Search(Setting(backbone, resolve_device(device)), metrics.split(","), tracker)
    for trial, case in jobs:
        if (trial.name, case.id, seed) in there:
            continue
        try:
            lines = list(search.run(trial, case, held.read_reference(case), seed))
        except MotionBenchError as error:  # a learning rate that destroys the model is a result too
            facts = {"trial": trial.name, "sample": "", "case": case.id, "category": str(case.category), "seed": seed}
            lines = [facts | {"scores": {}, "notes": {"error": f"{type(error).__name__}: {error}"}}]
        for line in lines:
            append_line(out, canonical_json(line))
            typer.echo(f"{line['trial']}/{line['sample']} {line['case']} {line['scores']} {line['notes']}")


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
        means = {category: fmean(found) for category, found in sorted(by_category.items())}
        count = sum(len(found) for found in by_category.values())
        parts = "  ".join(f"{category} {mean:+.3f}" for category, mean in means.items())
        rows.append(
            (metric, -fmean(means.values()), f"{name:40s} {metric} {fmean(means.values()):+.3f} n={count} | {parts}")
        )
    return [text for *_, text in sorted(rows)]


if __name__ == "__main__":
    app()
