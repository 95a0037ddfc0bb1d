"""Does a method follow its reference, or does it make up motion that happens to score? Play the references backwards.

Example (the reversed half of docs/results/lite.md):
  python benchmarks/reversed_references.py build --split lite --per-category 2 --out out/lite-reversed
  motionbench run --method followyourmotion --split out/lite-reversed --level scene --out results/reversed
  python benchmarks/reversed_references.py score results/reversed --reversed out/lite-reversed --forward lite

`build` writes a split whose references are those of another one played backwards, with the same captions and prompts.
`score` measures each clip made from a reversed reference against that reference and against the forward one: a method
that transfers motion scores high on the first and below zero on the second.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from motionbench.bootstrap import macro_mean, percentile_interval
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.metric import MetricSetting, Sample
from motionbench.registry import load
from motionbench.scorer import SHAPE
from motionbench.split import Split, read_split, write_manifest
from motionbench.store import ResultStore
from motionbench.track_cache import TrackCache


def build(source: Split, per_category: int | None, out: Path) -> None:
    """Write the reversed split: clips and manifest. Motion is exact: frames are written nearly without loss."""
    cases: list[Case] = []
    for case in source.select(limit=per_category):
        path = out / case.reference
        if not path.exists():
            clip = source.read_reference(case)
            path.parent.mkdir(parents=True, exist_ok=True)
            Clip(clip.frames[::-1].copy(), clip.fps).write(path, crf=6)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cases.append(replace(case, sha256=digest, tags=(*case.tags, "reversed")))
    write_manifest(out / "manifest.jsonl", cases)


def score(results: Path, backwards: Split, forwards: Split, tracker: str) -> dict[str, dict[str, list[float]]]:
    """Motion fidelity of every clip by category: against its own (reversed) reference, and against the forward one."""
    metric = load("metrics", "motion_fidelity").create(MetricSetting())
    tracks = TrackCache(tracker, device="cpu", grid=SHAPE.grid)
    store = ResultStore(results)
    found: dict[str, dict[str, list[float]]] = {"reversed": defaultdict(list), "forward": defaultdict(list)}
    for record in store.records():
        if record.status != "ok":
            continue
        generated = store.read_video(record)
        for name, split in (("reversed", backwards), ("forward", forwards)):
            case = split.by_id()[record.case_id]
            reference = split.read_reference(case)
            sample = Sample(
                generated, reference, case.prompt, case.caption, case.id, case.category.value, tracks=tracks
            )
            value = metric.measure(sample).value
            if value is not None:
                found[name][case.category.value].append(value)
    return found


def line(name: str, values: dict[str, list[float]]) -> str:
    """One row of the table: categories, then their mean with its interval over clips."""
    cells = [f"{category} {sum(v) / len(v):+.2f} (n={len(v)})" for category, v in sorted(values.items())]
    interval = percentile_interval(values)
    around = "" if interval is None else f" [{interval[0]:+.2f}, {interval[1]:+.2f}]"
    return f"against the {name} reference: {'  '.join(cells)}  all {macro_mean(values):+.2f}{around}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("build")
    make.add_argument("--split", default="lite")
    make.add_argument("--per-category", type=int, default=None)
    make.add_argument("--out", type=Path, required=True)
    judge = verbs.add_parser("score")
    judge.add_argument("results", type=Path)
    judge.add_argument("--reversed", required=True, help="the split that `build` wrote")
    judge.add_argument("--forward", default="lite")
    judge.add_argument("--tracker", default="tiny")
    args = parser.parse_args()
    if args.verb == "build":
        build(read_split(args.split), args.per_category, args.out)
        return
    for name, values in score(args.results, read_split(args.reversed), read_split(args.forward), args.tracker).items():
        print(line(name, values))


if __name__ == "__main__":
    main()
