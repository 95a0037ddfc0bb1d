"""Many methods on a split, and through the reversed-reference gate, by many processes side by side on one machine.

Small models are bound by kernel launches: one GPU serves as many processes as there are CPU cores. Example (all methods
on one prompt a reference, and the gate; what is there after nine minutes is kept and packed every half minute):
  python benchmarks/side_by_side.py --lite ditflow --lite moft --gate ditflow --gate moft --level scene \
    --workers 16 --seconds 540 --out results/many --pack many.tar
Then `motionbench score results/many/lite/METHOD` and `motionbench gate score results/many/gate`.

A second seed of everything, and the gate on two references of each category:
  python benchmarks/side_by_side.py --gate ditflow --gate-split lite --gate-limit 2 --seed 0 --seed 1 --out results/many

A study's variants go the same way, all on the first reference, then all on the second:
  python benchmarks/side_by_side.py --study benchmarks/studies/ablation.toml --workers 16 --seconds 540 \
    --out results/studies/ablation --pack ablation.tar
Then `motionbench study benchmarks/studies/ablation.toml`, which adds the controls, scores and writes the page.

METHOD may bring settings: `--lite followyourmotion:decouple=no` goes to `lite/followyourmotion:decouple=no`.
Each process takes the next reference of the next method; what is on record is not made again, so the same command
goes on. At the end of the time processes are killed, which costs each the reference that it was at.
"""

from __future__ import annotations

import argparse
import tarfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from motionbench.gate_run import both_directions
from motionbench.job import resolve
from motionbench.plan import RunPlan
from motionbench.processes import work_side_by_side
from motionbench.runner import run
from motionbench.store import ResultStore
from motionbench.studies.declaration import read_study
from motionbench.studies.running import Task, plan_variants, turns
from motionbench.studies.running import to_tasks as variants_to_tasks

PACK_EVERY = 30.0  # seconds


def to_tasks(plan: RunPlan, out: Path) -> list[Task]:
    """A task for each reference of a plan under each seed, categories by turns."""
    order = turns(resolve(plan).units())
    return [Task(replace(plan, shard=(number + 1, len(order))), out) for number in order]


def plan_to_make(text: str, args: argparse.Namespace, split: str, **selection: Any) -> RunPlan:
    """The plan of `METHOD[:KEY=VALUE[:...]]` on a split."""
    name, *settings = text.split(":")
    words = {"backbone": args.backbone, "settings": tuple(settings), "device": args.device, **selection}
    return resolve(RunPlan(name, split=split, keep_adapters=False, workers=1, **words)).plan


def all_tasks(args: argparse.Namespace) -> list[Task]:
    """First the study, then every method on the split, then every one through the gate, in the order given."""
    tasks = study_tasks(args.study, args) if args.study else []
    for method in args.lite:
        plan = plan_to_make(method, args, args.split, levels=args.level, seeds=args.seed or [0])
        tasks += to_tasks(plan, args.out / "lite" / method)
    sides = both_directions(args.gate_split, args.out / "gate") if args.gate else []
    asked = {"limit": args.gate_limit, "levels": ["scene"], "seeds": args.seed or [0]}
    for method in args.gate:
        for direction, split in sides:
            plan = plan_to_make(method, args, split, **asked)
            tasks += to_tasks(plan, args.out / "gate" / method / direction)
    return tasks


def study_tasks(file: Path, args: argparse.Namespace) -> list[Task]:
    """The references of a study's variants, with results in folders below `--out`."""
    study = read_study(file)
    return variants_to_tasks(plan_variants(study, device=args.device, keep_adapters=False), args.out)


def carry_out(task: Task) -> None:
    """Puts one reference on record."""
    start = time.monotonic()
    done = run(task.plan, ResultStore(task.out))
    where, (index, count) = f"{task.out.parent.name}/{task.out.name}", task.plan.shard
    told = f"{where} {index}/{count}: {done.ok} ok, {done.failed} failed, {time.monotonic() - start:.1f} s"
    print(told, flush=True)


def work(tasks: Sequence[Task], numbers: Iterable[int]) -> None:
    """Carries out the tasks of these numbers."""
    for number in numbers:
        carry_out(tasks[number])


def pack(folder: Path, target: Path) -> None:
    """A tar file of a folder, in full or not at all; files that are being written are left out."""
    draft = target.with_name(f".{target.name}.tmp")
    with tarfile.open(draft, "w") as tar:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".tmp", ".lock")):
            try:
                tar.add(path, path.relative_to(folder))
            except FileNotFoundError:
                continue  # a draft that has become a video since
    draft.replace(target)


class Packing:
    """Packs the results now and then."""

    def __init__(self, folder: Path, target: Path | None) -> None:
        self.folder, self.target, self.next = folder, target, time.monotonic() + PACK_EVERY

    def __call__(self) -> None:
        if time.monotonic() > self.next:
            self.now()
            self.next = time.monotonic() + PACK_EVERY

    def now(self) -> None:
        """Packs, if a target was given."""
        if self.target is not None:
            pack(self.folder, self.target)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    args = parse(argv)
    tasks, packing = all_tasks(args), Packing(args.out, args.pack)
    late = work_side_by_side(partial(work, tasks), len(tasks), args.workers, seconds=args.seconds, meanwhile=packing)
    packing.now()
    print(f"{len(tasks)} references asked for, {late} processes stopped at the end of the time", flush=True)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lite", action="append", default=[], metavar="METHOD[:KEY=VALUE]", help="run it on --split; repeatable"
    )
    parser.add_argument("--gate", action="append", default=[], metavar="METHOD", help="put it to the gate; repeatable")
    parser.add_argument("--study", type=Path, metavar="FILE", help="the variants of a study file")
    parser.add_argument("--gate-split", default="mini", help="whose references the gate reverses")
    parser.add_argument("--gate-limit", type=int, metavar="N", help="references of each category at the gate")
    parser.add_argument("--seed", type=int, action="append", default=[], help="of --lite and --gate; repeatable")
    parser.add_argument("--split", default="lite")
    parser.add_argument("--level", action="append", default=[], help="only prompts of this level; repeatable")
    parser.add_argument("--backbone", default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after which processes are killed")
    parser.add_argument("--pack", type=Path, help="tar file of the results, made anew every half minute")
    parser.add_argument("--out", type=Path, default=Path("results/many"))
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
