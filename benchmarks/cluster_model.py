"""How the time and cost of a run grow with clips and workers, and whether a small run takes as long as the model says.

    python benchmarks/cluster_model.py check
    python benchmarks/cluster_model.py grow docs/results/speed.jsonl
    python benchmarks/cluster_model.py gpus

`check` needs Ray and no GPU, `grow` nothing, `gpus` at least two GPUs.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from motionbench.forecast import makespan
from motionbench.outcome import Outcome
from motionbench.record import Record, video_path
from motionbench.split import read_split
from motionbench.store import ResultStore
from motionbench.video import encode_clip

# A method whose cost is known: it sleeps. Nodes find it as they find any plugin.
SLEEPER = '''
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from motionbench.clip import Clip
from motionbench.method import InputContract

@dataclass(frozen=True)
class Config:
    """fit_seconds, generate_seconds: how long each sleeps."""
    fit_seconds: float = 4.0
    generate_seconds: float = 1.0

class Sleeper:
    """A method that sleeps."""
    name = "sleeper"
    contract = InputContract(trains=False, start_latent="none", sees_reference=True, uses_backbone=False)
    Config = Config
    presets = {}
    def __init__(self, config):
        self.config = config
    @classmethod
    def create(cls, config, runtime):
        return cls(config)
    def fit(self, reference, caption, *, seed):
        time.sleep(self.config.fit_seconds)
        return reference
    def generate(self, adapter, prompt, *, seed):
        time.sleep(self.config.generate_seconds)
        return Clip(adapter.frames, adapter.fps)
    def load_adapter(self, folder):
        raise NotImplementedError("nothing is kept")
'''
FIT, GENERATE = 4.0, 1.0


@dataclass(frozen=True)
class Pieces:
    """What a run is made of, in seconds. take: of the user's process for a clip that comes back, one at a time.

    start: of a worker, once, with its weights. score: of one clip on one CPU.
    """

    fit: float
    generate: float
    take: float
    start: float
    score: float = 0.0

    def wall(self, units: int, prompts: int, workers: int, cpus: int = 0) -> float:
        """Seconds of a run: what is slower of the workers and the process that takes the clips; then the scoring."""
        work = makespan([self.fit + self.generate * prompts] * units, workers, self.start)
        clips = units * prompts
        return max(work, self.take * clips) + (self.score * clips / cpus if cpus else 0.0)

    def hours(self, units: int, prompts: int, workers: int) -> float:
        """GPU hours that are paid for: all workers from the first second to the last."""
        return self.wall(units, prompts, workers) * min(workers, units) / 3600


def take_seconds(folder: Path, frames: int = 16) -> float:
    """Seconds in which this machine's disk takes a clip of lite, with its record; measured."""
    split = read_split("lite")
    case = split.cases[0]
    video = encode_clip(split.read_reference(case).sample(frames).even())
    record = Record("k", "r", "m", "b", "c", "s", "v", case.id, "camera", 0, "ok", None, None, None, None, 1, 1, 1, "t")
    store, start, count = ResultStore(folder), time.perf_counter(), 40
    for seed in range(count):
        made = replace(record, seed=seed, video=video_path(case.id, seed))
        store.take(Outcome(case.reference_id, seed, video=video, record=made))
    return (time.perf_counter() - start) / count


def install_sleeper(folder: Path) -> dict[str, str]:
    """Puts the sleeping method where Python finds it; returns the environment that says where."""
    (folder / "sleeper.py").write_text(SLEEPER)
    about = folder / "sleeper-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sleeper\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[motionbench.methods]\nsleeper = sleeper:Sleeper\n")
    key = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **key}


def run_seconds(environment: dict[str, str], out: Path, *words: str) -> float:
    """How long a command takes from start to end. Raises CalledProcessError."""
    line = [sys.executable, "-m", "motionbench", "-q", "run", *words, "--out", str(out)]
    start = time.perf_counter()
    subprocess.run(line, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


@contextmanager
def ray_head(environment: dict[str, str], cpus: int) -> Iterator[str]:
    """A cluster of one node on loopback that claims so many cores; its address."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    words = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--node-ip-address=127.0.0.1"]
    words += [f"--port={address.partition(':')[2]}", f"--num-cpus={cpus}", "--include-dashboard=false"]
    quiet = subprocess.DEVNULL
    head = subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet)
    try:
        while not answers(address):
            time.sleep(0.2)
        time.sleep(5)  # the node joins its own cluster
        yield address
    finally:
        head.terminate()
        head.wait()


def answers(address: str) -> bool:
    """Whether somebody listens."""
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def check(arguments: argparse.Namespace) -> None:
    """A run of known cost on some workers of a Ray cluster of this machine, beside the model."""
    cases = read_split("lite").cases
    units = len({case.reference_id for case in cases})
    prompts = len(cases) // units
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        environment = install_sleeper(folder)
        pieces = Pieces(FIT, GENERATE, take_seconds(folder / "taken"), 0.0)
        with ray_head(environment, max(arguments.workers)) as address:
            words = ["--method", "sleeper", "--split", "lite", "--engine", "ray", "--address", address]
            one = ["--limit", "1", "--category", "camera"]
            alone = run_seconds(environment, folder / "one", *words, *one)
            pieces = replace(pieces, start=alone - FIT - GENERATE * prompts)
            print(f"command and first worker start in {pieces.start:.1f} s; a clip is taken in {pieces.take:.3f} s")
            for workers in arguments.workers:
                took = run_seconds(environment, folder / f"{workers}", *words, "--workers", str(workers))
                told = pieces.wall(units, prompts, workers)
                print(f"{workers} workers: {took:.1f} s; the model: {told:.1f} s ({took / told - 1:+.0%})", flush=True)


def grow(arguments: argparse.Namespace) -> None:
    """A table for the docs: hours and GPU hours by clips and GPUs, from a measured fit and a measured clip."""
    lines = [json.loads(line) for line in arguments.lines.read_text().splitlines()]
    job = next(line for line in lines if line.get("fit_seconds") and line.get("generate_seconds"))
    with tempfile.TemporaryDirectory() as place:
        take = take_seconds(Path(place))
    pieces = Pieces(job["fit_seconds"], job["generate_seconds"], take, arguments.start, arguments.score)
    print(f"fit {pieces.fit:.1f} s, clip {pieces.generate:.1f} s, taken in {take:.3f} s, start {pieces.start:.0f} s")
    print()
    print("| clips | 1 GPU | 8 GPUs | 64 GPUs | GPU hours on 64 | busy on 64 |\n|---|---|---|---|---|---|")
    for references, prompts, runs in ((20, 3, 1), (111, 3, 1), (111, 3, 3), (111, 3, 12), (111, 3, 36)):
        units = references * runs  # seeds and methods: fits of their own
        walls = [pieces.wall(units, prompts, gpus) / 3600 for gpus in (1, 8, 64)]
        paid = pieces.hours(units, prompts, 64)
        busy = units * (pieces.fit + pieces.generate * prompts) / 3600 / paid
        cells = " | ".join(f"{wall:.1f} h" for wall in walls)
        print(f"| {units * prompts:,} | {cells} | {paid:.0f} | {busy:.0%} |")


def gpus(arguments: argparse.Namespace) -> None:
    """`tiny` on lite by one GPU, by --workers and by Ray on all: clips a second, and the share that Ray costs."""
    words = ["--method", arguments.method, "--split", "lite", "--device"]
    rates = {}
    with tempfile.TemporaryDirectory() as place:
        for name, more in (
            ("one GPU", ["cuda:0"]),
            ("--workers, one a GPU", ["cuda", "--workers", str(arguments.gpus)]),
            ("Ray, one worker a GPU", ["cuda", "--engine", "ray", "--workers", str(arguments.gpus)]),
            ("Ray, as many as fit", ["cuda", "--engine", "ray"]),
        ):
            out = Path(place) / name.replace(" ", "-").replace(",", "")
            took = run_seconds(dict(os.environ), out, *words, *more)
            rates[name] = len(ResultStore(out).records()) / took
            print(f"{name}: {took:.1f} s, {rates[name]:.2f} clips/s", flush=True)
    lost = 1 - rates["Ray, one worker a GPU"] / rates["--workers, one a GPU"]
    print(f"the engine costs {lost:.1%} of the throughput of --workers")


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parts = parser.add_subparsers(required=True)
    part = parts.add_parser("check")
    part.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8])
    part.set_defaults(do=check)
    part = parts.add_parser("grow")
    part.add_argument("lines", type=Path, help="Lines of benchmarks/wan.py, with fit_seconds and generate_seconds.")
    part.add_argument("--start", type=float, default=120.0, help="Seconds to load the weights, once a worker.")
    part.add_argument("--score", type=float, default=0.0, help="Seconds to score a clip on one CPU.")
    part.set_defaults(do=grow)
    part = parts.add_parser("gpus")
    part.add_argument("--gpus", type=int, default=2)
    part.add_argument("--method", default="flowmotion")
    part.set_defaults(do=gpus)
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
