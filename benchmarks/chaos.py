"""Disturbs runs at random moments, and checks that each ends with the records, scores and bytes of an undisturbed one.

Every disturbance is followed by the same command until it ends well. Kills: the command itself, one of its workers, a
raylet, a whole node of Ray. Faults: a full disk, a read-only one, a slow one, two commands on one folder, a clock that
jumps. Ray's nodes share no folder and have namespaces of their own where this user may make them.

    python benchmarks/chaos.py --kills 50 --ray --out chaos
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ray_nodes

from motionbench.record import comparable, comparable_score
from motionbench.store import ResultStore

CHEAP = ("run", "--method", "reversed", "--split", "lite", "--device", "cpu")
# Cheap ones: of the embedded backbone a few steps of sampling.
EVALUATED = {
    "frozen": ("--method", "frozen"),
    "backbone": ("--method", "backbone", "--set", "sample_steps=4"),
    "ditflow": ("--method", "ditflow", "--level", "scene", "--set", "sample_steps=4"),
}
SCORED = ("--metrics", "motion_fidelity,temporal_consistency", "--tracker", "lk", "--controls", "copy,reversed")
LIMIT_SECONDS = 600.0  # for one command
MOST_TRIES = 6  # of the same command, undisturbed, until it ends well
SLOW_DISK = "import os, time; sync = os.fsync; os.fsync = lambda handle: (time.sleep(0.05), sync(handle))[1]"
JUMPING_CLOCK = """
import datetime, random, time
from motionbench import record
real = datetime.datetime
class Jumping(real):
    @classmethod
    def now(cls, zone=None):
        return real.now(zone) + datetime.timedelta(days=random.choice((-400, -1, 0, 1, 400)))
record.datetime = Jumping
clock = time.time
time.time = lambda: clock() + random.choice((-1e6, 0.0, 1e6))
"""


@dataclass
class Command:
    """A command line on a results folder. before: Python that runs first. inside: puts it on a node of Ray."""

    words: tuple[str, ...]
    folder: Path
    before: str = ""
    inside: Callable[..., list[str]] = lambda *words: list(words)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def start(self) -> subprocess.Popen[str]:
        """The command under way; in a process group of its own, so that all of it can be killed."""
        code = f"{self.before}\nfrom motionbench.cli import main\nmain()"
        line = [sys.executable, "-c", code, "-q", *self.words, "--out", str(self.folder)]
        return subprocess.Popen(
            self.inside(*line), env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        _, said = process.communicate(timeout=LIMIT_SECONDS)
        return process.returncode, said

    def finish(self) -> int:
        """Repeats the command until it ends well; how often it took. Raises RuntimeError if it never does."""
        for tries in range(1, MOST_TRIES + 1):
            code, said = self.end(self.start())
            if code == 0:
                return tries
        raise RuntimeError(f"{' '.join(self.words)}: exit {code} after {MOST_TRIES} tries: {said[-800:]}")


def contents(folder: Path) -> dict[str, Any]:
    """What two runs of one command share: records and scores without times, the summary's rows, all clips' bytes."""
    stores = {path.parent.relative_to(folder).as_posix(): ResultStore(path.parent) for path in folder.rglob("run.json")}
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parts[-1] != "fit.json" and {"videos", "adapters"} & set(path.parts)
    }
    lines = {name: len(store.records()) for name, store in stores.items()}
    summary = json.loads((folder / "summary.json").read_text()) if (folder / "summary.json").exists() else {}
    return {
        "records": {name: [comparable(record) for record in store.records()] for name, store in stores.items()},
        "scores": {name: [comparable_score(score) for score in store.scores()] for name, store in stores.items()},
        "summary": {key: summary.get(key) for key in ("rows", "control_rows")},
        "lines": lines,
        "files": files,
    }


def differences(folder: Path, expected: dict[str, Any]) -> list[str]:
    """The parts in which a folder differs from the undisturbed one, and files that a killed process left."""
    found = contents(folder)
    left = [path.name for path in folder.rglob(".*.tmp")]
    return [part for part in expected if found[part] != expected[part]] + left


@dataclass
class Report:
    """What was done and what came of it, a line each."""

    lines: list[str] = field(default_factory=list)
    faults: int = 0
    kills: int = 0

    def tell(self, text: str, faults: list[str]) -> None:
        """Adds a line."""
        self.faults += bool(faults)
        self.lines.append(f"{text}: {'the same' if not faults else 'DIFFERS in ' + ', '.join(faults)}")
        print(self.lines[-1], file=sys.stderr, flush=True)


def workers_of(pid: int) -> list[int]:
    """The worker processes of a command."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = entry.name.isdecimal() and int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"worker_process" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def kill(pid: int) -> None:
    """SIGKILL, if it is there still."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def disturb(command: Command, seconds: float, dice: random.Random, victims: Callable[[int], list[int]]) -> bool:
    """Starts a command and kills one of its victims at a random moment; whether there was one.

    seconds: what the command takes undisturbed.
    """
    process = command.start()
    time.sleep(dice.uniform(0.05, 1.0) * seconds)
    chosen = victims(process.pid)
    if process.poll() is None and chosen:
        kill(dice.choice(chosen))
        hit = True
    else:
        hit = False
    command.end(process)
    return hit


def kill_local(out: Path, kills: int, dice: random.Random, report: Report, words: tuple[str, ...]) -> dict[str, Any]:
    """Kills commands of one process, of worker processes, and of shards. Returns the undisturbed contents."""
    whole = Command(words, out / "undisturbed")
    start = time.monotonic()
    whole.finish()
    seconds = time.monotonic() - start
    expected = contents(whole.folder)
    kinds: dict[str, tuple[tuple[str, ...], Callable[[int], list[int]]]] = {
        "the command": ((), lambda pid: [pid]),
        "the command with two workers": (("--workers", "2"), lambda pid: [pid]),
        "one of two workers": (("--workers", "2"), workers_of),
        "shard 1 of 2, then 2": (("--shard", "1/2"), lambda pid: [pid]),
    }
    each = -(-kills // len(kinds))
    if not each:
        return expected
    for name, (more, victims) in kinds.items():
        command = Command((*words, *more), out / name.replace(" ", "-").replace(",", ""))
        hits = 0
        for _ in range(3 * each):
            hits += disturb(command, seconds, dice, victims)
            if hits == each:
                break
            if count_records(command.folder) == expected["lines"]["."] // (2 if "--shard" in more else 1):
                shutil.rmtree(command.folder)  # it got to its end: from the beginning again
        command.finish()
        if "--shard" in more:
            Command((*words, "--shard", "2/2"), command.folder).finish()
        report.kills += hits
        report.tell(f"{hits} kills of {name}", differences(command.folder, expected))
    return expected


def count_records(folder: Path) -> int:
    """How many records a folder holds."""
    return len(ResultStore(folder).records()) if (folder / "run.json").exists() else 0


def kill_ray(
    out: Path, kills: int, dice: random.Random, report: Report, words: tuple[str, ...], expected: dict[str, Any]
) -> None:
    """Kills the command, workers, a raylet and a node of a cluster of two nodes that share nothing."""
    options = ("--engine", "ray", "--retries", "5")
    folder = Path("/tmp/results")  # of the head alone
    kinds = ("the command", "a worker on a node", "a raylet", "a node")
    each = -(-kills // len(kinds))
    for kind in kinds:
        nodes = ray_nodes.Nodes(2, cpus=1)
        with nodes:
            head = nodes.nodes[0]
            words_here = (*words, *options, "--address", nodes.address)
            command = Command(words_here, folder, "", head.inside, nodes.environment)
            victims = partial(ray_victims, kind, nodes)
            start = time.monotonic()
            hits = 0
            while hits < each and time.monotonic() - start < LIMIT_SECONDS:
                hits += disturb(command, 20.0, dice, victims)
                if kind in ("a raylet", "a node"):
                    nodes.replace_last()
                if count_records(head.path(folder)) == expected["lines"]["."]:
                    shutil.rmtree(head.path(folder))  # it got to its end: from the beginning again
            command.finish()
            kept = out / f"ray-{kind.replace(' ', '-')}"
            head.fetch(folder, kept)
        report.kills += hits
        report.tell(f"{hits} kills of {kind} of Ray", differences(kept, expected))


def same_on_nodes(out: Path, counts: Sequence[int], report: Report) -> None:
    """Two methods with controls and scores, on so many nodes of Ray; the last of several is killed half way."""
    for name, method in EVALUATED.items():
        words = ("eval", *method, "--split", "mini", "--device", "cpu", *SCORED)
        here = Command(words, out / f"{name}-here")
        here.finish()
        expected = contents(here.folder)
        total = sum(expected["lines"].values())
        for count in counts:
            with ray_nodes.Nodes(count, cpus=1) as nodes:
                head, folder = nodes.nodes[0], Path("/tmp/results")
                options = ("--engine", "ray", "--address", nodes.address)
                command = Command((*words, *options), folder, "", head.inside, nodes.environment)
                process = command.start()
                while process.poll() is None and all_records(head.path(folder)) < total // 2:
                    time.sleep(0.2)
                if count > 1:
                    nodes.nodes[-1].kill()
                code, said = command.end(process)
                kept = out / f"{name}-{count}-nodes"
                head.fetch(folder, kept)
            lost = ", the last one killed half way" if count > 1 else ""
            faults = [] if code == 0 else [f"exit {code}: {said[-500:]}"]
            report.tell(f"eval of {name} on {count} nodes{lost}", faults + differences(kept, expected))


def all_records(folder: Path) -> int:
    """How many records a folder holds, controls included."""
    return sum(count_records(path.parent) for path in folder.rglob("run.json")) if folder.exists() else 0


def ray_victims(kind: str, nodes: ray_nodes.Nodes, pid: int) -> list[int]:
    """The processes that a kind names; of nodes the last, which is not where the command runs."""
    last = nodes.nodes[-1]
    if kind == "the command":
        return nodes.nodes[0].processes("motionbench.cli", but="nsenter")
    if kind == "a worker on a node":
        return [pid for node in nodes.nodes for pid in node.processes("ray::RemoteWorker")]
    return last.processes("raylet/raylet") if kind == "a raylet" else [last.pid]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of that size at a folder, for as long as the block runs; root's."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def remount(folder: Path, options: str) -> None:
    """Changes a disk."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def spoil_disk(out: Path, report: Report, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    """A disk that is full, then read-only, then neither."""
    disk = out / "disk"
    with small_disk(disk, "100k"):
        command = Command(words, disk / "results")
        code, said = command.end(command.start())
        told = [] if (code, "the disk is full" in said) == (2, True) else [f"exit {code}: {said[-300:]}"]
        remount(disk, "ro,size=100m")
        code, said = command.end(command.start())
        told += [] if (code, "read-only" in said) == (2, True) else [f"exit {code}: {said[-300:]}"]
        remount(disk, "rw")
        command.finish()
        report.tell("a full disk, then a read-only one", told + differences(command.folder, expected))


def two_commands(out: Path, report: Report, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    """Two commands on one folder at once: one is refused and says so, or comes late and finds all done."""
    command = Command(words, out / "two")
    ends = [command.end(process) for process in (command.start(), command.start())]
    fair = all(code == 0 or (code == 2 and "is being written by" in said) for code, said in ends)
    command.finish()
    report.tell("two commands on one folder", ([] if fair else [str(ends)]) + differences(command.folder, expected))


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("out/chaos"))
    parser.add_argument("--kills", type=int, default=50, help="Of which half on Ray, with --ray.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ray", action="store_true", help="Also on Ray; as root, on Linux.")
    parser.add_argument("--only-ray", action="store_true", help="On Ray and nowhere else; all kills there.")
    parser.add_argument("--nodes", type=int, nargs="+", default=[], help="Only this: whole runs on so many nodes.")
    arguments, rest = parser.parse_known_args()
    words = tuple(rest) or CHEAP
    out, dice, report = arguments.out.resolve(), random.Random(arguments.seed), Report()
    if out.exists():
        parser.error(f"{out} is there already; remove it or choose another --out")
    if arguments.nodes:
        same_on_nodes(out, arguments.nodes, report)
        sys.exit(1 if report.faults else 0)
    with_ray = (arguments.ray or arguments.only_ray) and ray_nodes.can_isolate()
    here = 0 if arguments.only_ray else arguments.kills // (2 if with_ray else 1)
    expected = kill_local(out, here, dice, report, words)
    if with_ray:
        kill_ray(out, arguments.kills - here, dice, report, words, expected)
    if not arguments.only_ray:
        spoil(out, report, words, expected)
    print(f"{report.kills} kills, {len(report.lines)} comparisons, {report.faults} of them differ")
    sys.exit(1 if report.faults else 0)


def spoil(out: Path, report: Report, words: tuple[str, ...], expected: dict[str, Any]) -> None:
    """All that is no kill."""
    two_commands(out, report, words, expected)
    for name, before in (("a slow disk", SLOW_DISK), ("a clock that jumps", JUMPING_CLOCK)):
        command = Command(words, out / name.replace(" ", "-"), before)
        command.finish()
        report.tell(name, differences(command.folder, expected))
    if os.geteuid() == 0:
        spoil_disk(out, report, words, expected)


if __name__ == "__main__":
    main()
