"""The reversed-reference gate: does a method's output follow the direction of its reference?

Example (docs/results/gate.md; each command goes on where it was, or does again what came after):
  python benchmarks/reversed_reference_gate.py run --method followyourmotion --method vmc --out results/gate
  python benchmarks/reversed_reference_gate.py score results/gate --write methods/gate.json

`run` has every method follow every reference forwards and backwards; the references backwards are a split of their own,
with the same captions and prompts. `score` measures each clip against its own reference and against the same reference
in the other direction, and takes the difference. Clips of both directions and of all seeds of a reference are averaged
first: what is resampled is references. A method passes if the 95% interval of the mean difference lies above zero and
no reference lacks a value in either direction.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from motionbench import registry
from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.config import build_config, preset_name
from motionbench.errors import VideoError
from motionbench.files import write_json
from motionbench.footage import AUTO, tracker_for
from motionbench.gate import GATE_SCHEMA, read_gates, verdict_to_gate
from motionbench.metric import MetricSetting
from motionbench.pair import SHAPE, to_sample
from motionbench.plan import NO_BACKBONE, RunPlan, config_to_json
from motionbench.progress import Bars
from motionbench.runner import run
from motionbench.split import MANIFEST, Split, read_split, write_manifest
from motionbench.split_location import find_split
from motionbench.store import ResultStore
from motionbench.summary import category_of, cost
from motionbench.track_cache import TrackCache

METRIC = "motion_fidelity"
DIRECTIONS = ("forwards", "backwards")
NEARLY_LOSSLESS = 6  # crf: the reference's motion must not be lost in its second encoding
REFERENCES = "references"  # the folder of the reversed splits in a results folder, beside those of the methods


@dataclass(frozen=True)
class Judged:
    """One attempt: motion fidelity against its own reference and against the other direction; None: no value."""

    case_id: str
    direction: str
    own: float | None
    other: float | None

    @property
    def reference_id(self) -> str:
        """`category/NNNN`."""
        return self.case_id.rpartition("/")[0]

    @property
    def difference(self) -> float | None:
        """How much better it fits its own reference, in [-2, 2]."""
        return None if self.own is None or self.other is None else self.own - self.other


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


def plan_of(
    name: str, split: str, backbone: str, *, preset: str | None = None, settings: Sequence[str] = (), **selection: Any
) -> RunPlan:
    """A method on a split, without keeping adapters; selection: further fields of `RunPlan`."""
    method = registry.load("methods", name)
    config = build_config(method, backbone=backbone, preset=preset, settings=settings)
    return RunPlan(method.name, config, backbone, split, keep_adapters=False, **selection)


def run_methods(args: argparse.Namespace) -> None:
    """Every method on the split forwards and backwards, each in a results folder of its own."""
    selection = {
        "levels": args.level or (),
        "limit": args.limit,
        "seeds": tuple(args.seed),
        "device": args.device,
        "retry_failed": args.retry_failed,
    }
    sides = both_directions(args.split, args.out)
    for name in args.method:
        for direction, split in sides:
            plan = plan_of(name, split, args.backbone, preset=args.preset, settings=args.settings, **selection)
            with Bars(f"{plan.method} {direction}") as bars:
                done = run(plan, ResultStore(args.out / plan.method / direction), observer=bars)
            print(f"{plan.method} {direction}: {done.ok} of {done.planned} clips, {done.failed} failed", flush=True)


class Judge:
    """Measures a clip against its reference in both directions."""

    def __init__(self, tracker: str, device: str = "cpu") -> None:
        metric = registry.load("metrics", METRIC)
        self.info = metric.info
        self.metric = metric.create(MetricSetting(device))
        self.tracker, self.device = tracker, device
        self._caches: dict[str, TrackCache] = {}

    def judge(self, folder: Path) -> list[Judged]:
        """Every attempt of a method, forwards and backwards."""
        stores = {direction: ResultStore(folder / direction) for direction in DIRECTIONS}
        splits = {d: find_split(store) for d, store in stores.items()}
        tracks = self.tracks_of(splits[DIRECTIONS[0]])
        found = []
        for (direction, store), other in zip(stores.items(), reversed(DIRECTIONS), strict=True):
            for record in store.records():
                values: list[float | None] = [None, None]
                if record.status == "ok":
                    clip = store.read_video(record)
                    values = [self.value(clip, splits[d], record.case_id, tracks) for d in (direction, other)]
                found.append(Judged(record.case_id, direction, *values))
        return found

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


def by_reference(judged: Iterable[Judged], what: str) -> dict[str, float]:
    """Reference id -> mean of both directions' means; only those with a value in both directions."""
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in judged:
        if one.difference is not None:
            values[one.reference_id, one.direction].append(getattr(one, what))
    names = sorted({name for name, _ in values})
    sides = {name: [values[name, d] for d in DIRECTIONS if (name, d) in values] for name in names}
    return {
        name: sum(sum(v) / len(v) for v in both) / len(DIRECTIONS)
        for name, both in sides.items()
        if len(both) == len(DIRECTIONS)
    }


def to_strata(differences: Mapping[str, float]) -> dict[str, list[float]]:
    """What is resampled: references within their categories; all together where a category has only one.

    A stratum of one reference would stand still in every resample and pretend that references do not differ.
    """
    strata: dict[str, list[float]] = defaultdict(list)
    for name in sorted(differences):
        strata[category_of(name)].append(differences[name])
    if strata and min(map(len, strata.values())) < 2:
        return {"all": [differences[name] for name in sorted(differences)]}
    return dict(strata)


def verdict(judged: Sequence[Judged]) -> dict[str, Any]:
    """The numbers of one method. passed: the interval lies above zero, and no reference is without a value."""
    differences = by_reference(judged, "difference")
    strata = to_strata(differences)
    low, high = percentile_interval(strata) or (None, None)
    complete = len(differences) == len({one.reference_id for one in judged})
    return {
        "passed": complete and low is not None and low > 0,
        "difference": macro_mean(strata) if strata else None,
        "low": low,
        "high": high,
        **{what: _mean(by_reference(judged, what)) for what in ("own", "other")},
        "references": {name: round(value, 4) for name, value in differences.items()},
        "n_references": len(differences),
        "n_clips": sum(one.difference is not None for one in judged),
        "n_failed": sum(one.difference is None for one in judged),
    }


def _mean(values: Mapping[str, float]) -> float | None:
    return macro_mean(to_strata(values)) if values else None


def circumstances(folder: Path, judge: Judge) -> dict[str, Any]:
    """What a verdict rests on: versions, configuration, cost, and the command that repeats it."""
    stores = [ResultStore(folder / direction) for direction in DIRECTIONS]
    held = stores[0].read_run()
    split = find_split(stores[0])
    configuration, selection = held["configuration"], held["selection"]
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
        "cost": cost(records),
        "device": held["environment"]["device"],
        "commits": sorted({str(git.get("commit", ""))[:8] for git in gits}),
        "date": max((record.created for record in records), default="")[:10],
        "command": to_command(configuration, selection),
    }


def to_command(configuration: Mapping[str, Any], selection: Mapping[str, Any]) -> str:
    """The command that makes these clips again."""
    words = ["run", "--method", configuration["method"], "--split", configuration["split"]]
    words += [word for level in selection.get("levels", []) for word in ("--level", level)]
    words += ["--limit", str(selection["limit"])] if selection["limit"] else []
    words += ["--seed", *map(str, selection["seeds"])]
    words += ["--backbone", configuration["backbone"]] if configuration["backbone"] != NO_BACKBONE else []
    return " ".join(["python benchmarks/reversed_reference_gate.py", *words])


def preset_of(configuration: Mapping[str, Any]) -> str | None:
    """The preset that gives this configuration; None if settings were given besides."""
    method, backbone = registry.load("methods", configuration["method"]), str(configuration["backbone"])
    for preset in (None, *method.presets, "none"):
        config = build_config(method, backbone=backbone, preset=preset)
        if config_to_json(config) == configuration["config"]:
            return preset_name(method, backbone, preset)
    return None


def score(args: argparse.Namespace) -> None:
    """Judges every method in a results folder and writes or prints the verdicts; others in the file stay."""
    judge = Judge(args.tracker)
    held = read_gates(args.write) if args.write is not None and args.write.exists() else {}
    for folder in sorted(path.parent.parent for path in args.results.glob(f"*/{DIRECTIONS[1]}/run.json")):
        try:
            held[folder.name] = {**verdict(judge.judge(folder)), **circumstances(folder, judge)}
        except VideoError as error:
            raise SystemExit(f"{folder}: {error}") from error
        gate = verdict_to_gate(held[folder.name])
        print(f"{folder.name}: {'passed' if gate.state == 'passed' else 'failed'}: {gate.note}", flush=True)
    if args.write is not None:
        write_json(args.write, {"schema": GATE_SCHEMA, "methods": dict(sorted(held.items()))})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("run", help="generate: every method, forwards and backwards")
    make.add_argument("--method", action="append", required=True)
    make.add_argument("--split", default="mini")
    make.add_argument("--level", action="append", help="only prompts of this level")
    make.add_argument("--limit", type=int, help="references per category")
    make.add_argument("--seed", type=int, nargs="+", default=[0])
    make.add_argument("--backbone", default="tiny")
    make.add_argument("--preset")
    make.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    make.add_argument("--device", default="auto")
    make.add_argument("--retry-failed", action="store_true")
    make.add_argument("--out", type=Path, default=Path("results/gate"))
    judge = verbs.add_parser("score", help="measure what is there, and say who passes")
    judge.add_argument("results", type=Path)
    judge.add_argument("--tracker", default=AUTO)
    judge.add_argument("--write", type=Path, help="the gate file to bring up to date")
    args = parser.parse_args()
    run_methods(args) if args.verb == "run" else score(args)


if __name__ == "__main__":
    main()
