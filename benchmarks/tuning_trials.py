"""Try methods under several settings on tuning references: motion fidelity, CPU seconds, and a contact sheet of each.

    motionbench data build tuning --out DIR
    python benchmarks/tuning_trials.py DIR trials.json --out trials.jsonl --cases camera/9001 --cases single_object/9001

trials.json: `[{"name": "lr5", "method": "det", "set": ["lr=5e-3"], "samples": {"g3": [], "g6": ["guidance=6"]}}]`:
`set` as `--set` takes it, on top of the preset of the backbone; `samples` samples the same fit under further settings.
Lines that are there already are not computed again. Fits are timed in CPU seconds of this process: use one thread.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from motionbench import registry
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import build_config
from motionbench.files import append_line, canonical_json, read_lines
from motionbench.method import Setting
from motionbench.metric import MetricSetting, Sample
from motionbench.seeds import derive_seed
from motionbench.split import read_split
from motionbench.track_cache import TrackCache

GRID = 20  # tracked points per side, as the scorer has it
METRICS = ("motion_fidelity", "text_alignment")


class Trials:
    """Fits, samples and scores on one backbone."""

    def __init__(self, backbone: str, tracker: str) -> None:
        self.setting = Setting(backbone)
        self.backbone = registry.load("backbones", backbone)(self.setting)
        self.metrics = [registry.load("metrics", name).create(MetricSetting("cpu")) for name in METRICS]
        self.tracks = TrackCache(tracker, device="cpu", grid=GRID)

    def run(self, trial: dict[str, Any], case: Case, reference: Clip, seed: int) -> Iterator[tuple[dict, Clip]]:
        """(line, clip) for each way of sampling one fit."""
        start = time.process_time()
        adapter = self._method(trial, []).fit(reference, case.caption, seed=derive_seed(seed, case.reference_id, "fit"))
        fit = time.process_time() - start
        for name, settings in (trial.get("samples") or {"": []}).items():
            start = time.process_time()
            made = self._method(trial, settings)
            clip = made.generate(adapter, case.prompt, seed=derive_seed(seed, case.id, "generate"))
            line = {"trial": trial["name"], "sample": name, "case": case.id, "seed": seed, "set": trial.get("set", [])}
            line |= start_statistics(getattr(adapter, "start", None))
            line |= {"fit_cpu_seconds": round(fit, 1), "sample_cpu_seconds": round(time.process_time() - start, 1)}
            yield line | self._score(clip, case, reference), clip

    def _method(self, trial: dict[str, Any], settings: list[str]) -> Any:
        cls = registry.load("methods", trial["method"])
        config = build_config(
            cls, backbone=self.setting.backbone, preset=trial.get("preset"), settings=[*trial.get("set", []), *settings]
        )
        return cls.create(config, self.setting)  # with a backbone of its own, as controls and plugins may have

    def _score(self, clip: Clip, case: Case, reference: Clip) -> dict[str, Any]:
        fitting = reference.sample(len(clip)).resize(clip.height, clip.width)
        sample = Sample(clip, fitting, case.prompt, case.caption, case.id, str(case.category), self.tracks)
        return {metric.info.name: metric.measure(sample).value for metric in self.metrics}


def start_statistics(start: Any) -> dict[str, float]:
    """Deviation of inverted latents (1, C, F, h, w) and correlation of their consecutive frames: noise has 1, 0."""
    if start is None:
        return {}
    centered = start - start.mean((2, 3, 4), keepdim=True)
    pairs = centered[:, :, 1:] * centered[:, :, :-1]
    deviation = centered.square().mean().sqrt().item()
    return {"start_deviation": deviation, "start_frame_correlation": pairs.mean().item() / deviation**2}


def sheet(reference: Clip, clip: Clip, columns: int = 9) -> Clip:
    """Both clips as two rows of frames, enlarged twice: a clip of one frame."""
    picks = np.linspace(0, len(clip) - 1, columns).round().astype(int)
    rows = [np.concatenate(list(c.sample(len(clip)).frames[picks]), axis=1) for c in (reference, clip)]
    return Clip(np.concatenate(rows)[None].repeat(2, 1).repeat(2, 2), 1.0)


def main(
    split: Annotated[Path, typer.Argument()],
    trials: Annotated[Path, typer.Argument()],
    out: Annotated[Path, typer.Option()],
    cases: Annotated[list[str], typer.Option()],
    seed: Annotated[int, typer.Option()] = 0,
    backbone: Annotated[str, typer.Option()] = "tiny",
    tracker: Annotated[str, typer.Option()] = "tiny",
) -> None:
    """Run what is missing in --out."""
    from PIL import Image

    held = read_split(str(split))
    there = {(line["trial"], line["case"], line["seed"]) for _, line in read_lines(out)}
    runner = Trials(backbone, tracker)
    by_reference = {case.reference_id: case for case in held.cases}
    wanted = json.loads(trials.read_text("utf-8"))
    for case in (by_reference[name] for name in cases):
        reference = held.read_reference(case)
        for trial in wanted:
            if (trial["name"], case.id, seed) in there:
                continue
            for line, clip in runner.run(trial, case, reference, seed):
                append_line(out, canonical_json(line))
                typer.echo(line)
                picture = f"{trial['name']}-{line['sample']}-{case.reference_id.replace('/', '-')}.png"
                Image.fromarray(sheet(runner.backbone.prepare(reference), clip).frames[0]).save(out.with_name(picture))


if __name__ == "__main__":
    typer.run(main)
