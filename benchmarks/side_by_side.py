"""Many methods on a split, and through the reversed-reference gate, by many processes side by side on one machine.

Small models are bound by kernel launches: one GPU serves as many processes as there are CPU cores. Example (all methods
on one prompt a reference, and the gate; what is there after nine minutes is kept and packed every half minute):
  python benchmarks/side_by_side.py --lite ditflow --lite moft --gate ditflow --gate moft --level scene \
    --workers 16 --seconds 540 --out results/many --pack many.tar
Then `motionbench score results/many/lite/METHOD` and `reversed_reference_gate.py score results/many/gate`.

Each process takes the next reference of the next method; what is on record is not made again, so the same command
goes on. At the end of the time processes are killed, which costs each the reference that it was at.
"""

from __future__ import annotations

import argparse
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from reversed_reference_gate import DIRECTIONS, REFERENCES, reverse_split

from motionbench import registry
from motionbench.commands.options import to_levels
from motionbench.config import build_config
from motionbench.plan import RunPlan
from motionbench.runner import run
from motionbench.split import read_split
from motionbench.store import ResultStore

PACK_EVERY = 30.0  # seconds


@dataclass(frozen=True)
class Task:
    """One reference of a method on a split, and the results folder that it goes to."""

    method: str
    split: str
    out: Path
    shard: tuple[int, int]
    levels: tuple[str, ...] = ()


def split_tasks(method: str, split: str, out: Path, levels: Sequence[str] = ()) -> list[Task]:
    """A task for each reference of a split."""
    count = len({case.reference_id for case in read_split(split).cases})
    return [Task(method, split, out, (i + 1, count), tuple(levels)) for i in range(count)]


def all_tasks(args: argparse.Namespace) -> list[Task]:
    """First every method on the split, then every one through the gate, in the order given."""
    tasks = []
    for method in args.lite:
        tasks += split_tasks(method, args.split, args.out / "lite" / method, args.level)
    if args.gate:
        backwards = reverse_split(read_split("mini"), args.out / "gate" / REFERENCES / "mini-backwards")
        for method in args.gate:
            for direction, split in zip(DIRECTIONS, ("mini", str(backwards)), strict=True):
                tasks += split_tasks(method, split, args.out / "gate" / method / direction)
    return tasks


def carry_out(task: Task, device: str, backbone: str) -> None:
    """Puts one reference on record."""
    method = registry.load("methods", task.method)
    config = build_config(method, backbone=backbone, preset=None, settings=[])
    plan = RunPlan(
        method.name, config, backbone, task.split, levels=to_levels(list(task.levels)), device=device,
        shard=task.shard, keep_adapters=False,
    )  # fmt: skip
    start = time.monotonic()
    done = run(plan, ResultStore(task.out))
    told = f"{task.out.parent.name}/{task.out.name} {task.shard[0]}/{task.shard[1]}: {done.ok} ok, {done.failed} failed"
    print(f"{told}, {time.monotonic() - start:.1f} s", flush=True)


def work(tasks: Sequence[Task], taken: Any, device: str, backbone: str) -> None:
    """Takes tasks until there is none left. One thread: the other cores have processes of their own."""
    import torch

    torch.set_num_threads(1)
    while True:
        with taken.get_lock():
            index, taken.value = taken.value, taken.value + 1
        if index >= len(tasks):
            return
        carry_out(tasks[index], device, backbone)


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


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    args = parse(argv)
    tasks, context = all_tasks(args), get_context("spawn")
    taken = context.Value("i", 0)
    processes = [
        context.Process(target=work, args=(tasks, taken, args.device, args.backbone)) for _ in range(args.workers)
    ]
    for process in processes:
        process.start()
    end, next_pack = time.monotonic() + args.seconds, time.monotonic() + PACK_EVERY
    while time.monotonic() < end and any(process.is_alive() for process in processes):
        time.sleep(0.2)
        if args.pack and time.monotonic() > next_pack:
            pack(args.out, args.pack)
            next_pack = time.monotonic() + PACK_EVERY
    late = [process for process in processes if process.is_alive()]
    for process in late:
        process.kill()
    for process in processes:
        process.join()
    if args.pack:
        pack(args.out, args.pack)
    print(f"{len(tasks)} references asked for, {len(late)} processes stopped at the end of the time", flush=True)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lite", action="append", default=[], metavar="METHOD", help="run it on --split; repeatable")
    parser.add_argument("--gate", action="append", default=[], metavar="METHOD", help="put it to the gate; repeatable")
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
