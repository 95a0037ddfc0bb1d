"""The reversed-reference gate: does a method's output follow the direction of its reference?

Every method follows every reference forwards and backwards; the references backwards are a split of their own, with the
same captions and prompts. Each clip is measured against its own reference and against the same reference in the other
direction, and the difference is what counts (`motionbench.gate_verdict`). Anybody's method can be put to it:
`motionbench gate run --method NAME`, then `motionbench gate score`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from motionbench import registry
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import build_config, preset_name
from motionbench.files import write_json
from motionbench.footage import AUTO, tracker_for
from motionbench.gate import GateFile, read_gate_file
from motionbench.gate_verdict import DIRECTIONS, Judged, verdict
from motionbench.job import NO_BACKBONE, resolve
from motionbench.manifest import MANIFEST, write_manifest
from motionbench.metric import MetricRuntime
from motionbench.pair import SHAPE, to_sample
from motionbench.plan import RunPlan, config_to_json
from motionbench.progress import Bars
from motionbench.runner import RunResult, run
from motionbench.schema import SCHEMA
from motionbench.split import Split, read_split
from motionbench.split_location import find_split
from motionbench.store import ResultStore
from motionbench.summary import cost
from motionbench.track_cache import TrackCache

METRIC = "motion_fidelity"
NEARLY_LOSSLESS = 6  # crf: the reference's motion must not be lost in its second encoding
REFERENCES = "references"  # the folder of the reversed splits in a results folder, beside those of the methods


def run_gate(plan: RunPlan, out: Path) -> dict[str, RunResult]:
    """Generates a plan's clips forwards and backwards, below `out/METHOD`; what is there is not made again.

    Returns what is on record for each direction. Raises MotionBenchError as `runner.run`.
    """
    method = resolve(plan).plan.method
    done = {}
    for direction, split in both_directions(plan.split, out):
        with Bars(f"{method} {direction}") as bars:
            sided = replace(plan, split=split, keep_adapters=False)
            done[direction] = run(sided, ResultStore(out / method / direction), observer=bars)
    return done


def score_gate(results: Path, *, tracker: str = AUTO, write: Path | None = None) -> dict[str, dict[str, Any]]:
    """Measures every method below `results` and returns method -> verdict with its circumstances; generates nothing.

    write: a gate file to bring up to date; other methods in it stay. Raises VideoError, StoreError, UnknownNameError.
    """
    judge = Judge(tracker)
    verdicts = {
        folder.name: {**verdict(judge.judge(folder)), **circumstances(folder, judge)}
        for folder in sorted(path.parent.parent for path in results.glob(f"*/{DIRECTIONS[1]}/run.json"))
    }
    if write is not None:
        file = read_gate_file(write) if write.exists() else GateFile({})
        methods = dict(sorted({**file.methods, **verdicts}.items()))
        write_json(write, {"schema": SCHEMA, "exempt": list(file.exempt), "methods": methods})
    return verdicts


def reverse_split(source: Split, out: Path) -> Path:
    """Writes the split whose references are those of `source` played backwards; returns its manifest."""
    cases: list[Case] = []
    for case in source.cases:
        path = out / case.reference
        if not path.exists():
            clip = source.read_reference(case)
            path.parent.mkdir(parents=True, exist_ok=True)
            Clip(clip.frames[::-1].copy(), clip.fps).write(path, crf=NEARLY_LOSSLESS)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cases.append(replace(case, sha256=digest, tags=(*case.tags, "reversed")))
    write_manifest(out / MANIFEST, cases)
    return out / MANIFEST


def both_directions(split: str, out: Path) -> list[tuple[str, str]]:
    """Each direction with its split: the given one, and the one below `out` that plays it backwards."""
    source = read_split(split)
    backwards = reverse_split(source, out / REFERENCES / f"{source.name}-backwards")
    return list(zip(DIRECTIONS, (split, str(backwards)), strict=True))


class Judge:
    """Measures a clip against its reference in both directions."""

    def __init__(self, tracker: str, device: str = "cpu") -> None:
        metric = registry.load("metrics", METRIC)
        self.info = metric.info
        self.metric = metric.create(MetricRuntime(device))
        self.tracker, self.device = tracker, device
        self._caches: dict[str, TrackCache] = {}

    def judge(self, folder: Path) -> list[Judged]:
        """Every attempt of a method, forwards and backwards."""
        stores = {direction: ResultStore(folder / direction) for direction in DIRECTIONS}
        splits = {d: find_split(store) for d, store in stores.items()}
        tracks = self.tracks_of(splits[DIRECTIONS[0]])
        judged = []
        for (direction, store), other in zip(stores.items(), reversed(DIRECTIONS), strict=True):
            for record in store.records():
                values: list[float | None] = [None, None]
                if record.status == "ok":
                    clip = store.read_video(record)
                    values = [self.value(clip, splits[d], record.case_id, tracks) for d in (direction, other)]
                judged.append(Judged(record.case_id, direction, *values))
        return judged

    def tracks_of(self, split: Split) -> TrackCache:
        """Tracks by the judge's tracker; `auto` is the one for the references forwards. Raises UnknownNameError."""
        name = tracker_for(self.tracker, split)
        if name not in self._caches:
            self._caches[name] = TrackCache(name, device=self.device, grid=SHAPE.grid)
        return self._caches[name]

    def value(self, clip: Clip, split: Split, case_id: str, tracks: TrackCache) -> float | None:
        """Motion fidelity of the two as a pair, as the scorer measures it."""
        case = split.by_id()[case_id]
        facts = {"prompt": case.prompt, "caption": case.caption, "case_id": case.id, "category": case.category.value}
        value = self.metric.measure(to_sample(clip, split.read_reference(case), tracks, **facts)).value
        return None if value is None else float(value)


def circumstances(folder: Path, judge: Judge) -> dict[str, Any]:
    """What a verdict rests on: versions, configuration, cost, and the command that repeats it."""
    stores = [ResultStore(folder / direction) for direction in DIRECTIONS]
    run = stores[0].read_run()
    split = find_split(stores[0])
    configuration, selection = run["configuration"], run["selection"]
    records = [record for store in stores for record in store.records()]
    gits = [store.read_run()["environment"].get("git") or {} for store in stores]
    return {
        "metric": METRIC,
        "metric_version": judge.info.version,
        "tracker": judge.tracks_of(split).label,
        "backbone": configuration["backbone"],
        "backbone_revision": configuration["backbone_revision"],
        "split": f"{configuration['split']} {configuration['split_revision']}",
        "seeds": selection["seeds"],
        "preset": preset_of(configuration),
        "config_hash": configuration["config_hash"],
        "cost": asdict(cost(records)),
        "device": run["environment"]["device"],
        "commits": sorted({str(git.get("commit", ""))[:8] for git in gits}),
        "date": max((record.created for record in records), default="")[:10],
        "command": to_command(configuration, selection),
    }


def to_command(configuration: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """The command that makes these clips again."""
    words = ["--method", configuration["method"], "--split", configuration["split"]]
    words += [word for level in selection.get("levels", []) for word in ("--level", level)]
    words += ["--limit", str(selection["limit"])] if selection["limit"] else []
    words += [word for seed in selection["seeds"] for word in ("--seed", str(seed))]
    words += ["--backbone", configuration["backbone"]] if configuration["backbone"] != NO_BACKBONE else []
    return " ".join(["motionbench gate run", *words])


def preset_of(configuration: Mapping[str, Any]) -> str | None:
    """The preset that gives this configuration; None if settings were given besides."""
    method, backbone = registry.load("methods", configuration["method"]), str(configuration["backbone"])
    for preset in (None, *method.presets, "none"):
        config = build_config(method, backbone=backbone, preset=preset)
        if config_to_json(config) == configuration["config"]:
            return preset_name(method, backbone, preset)
    return None
