"""Results folders of one configuration as one: seeds, shards or repeats that were made on different machines.

    python benchmarks/merge_runs.py results/seed0/det results/seed1/det --out results/both/det

What the leaderboard merges on its page lies here in a folder, so that it can be scored, packed and summed up as one
run: records, scores and videos of all, and the first controls that there are. Folders that contradict each other, or
are of different configurations or choices of cases, are refused. Environment and creation are those of the first.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shutil import copytree
from typing import Any

from motionbench.leaderboard.merging import Entry, merge
from motionbench.leaderboard.reading import Run, read_run

from motionbench.controls import FOLDER
from motionbench.errors import StoreError
from motionbench.files import canonical_json, write_atomically, write_json
from motionbench.store import ResultStore


def merge_runs(folders: Sequence[Path], out: Path) -> Entry:
    """Writes the merged folder and returns what is in it. Raises StoreError."""
    if out.exists():
        raise StoreError(f"{out} is there already; choose another --out or remove it")
    runs = [read_run(ResultStore(folder)) for folder in folders]
    entries = merge(runs)
    if len(entries) != 1:
        told = ", ".join(f"{run.store.folder} ({run.configuration_hash})" for run in runs)
        raise StoreError(f"expected folders of one configuration and tracker, got {told}; merge each by itself")
    (entry,) = entries
    manifest = {**runs[0].manifest, "selection": selection_of(runs)}
    for record in entry.records:
        made = record.video and entry.stores[record.key].inside(record.video)
        if made and made.is_file():  # packed records have none
            write_atomically(ResultStore(out).inside(record.video), made.read_bytes())
    for name, values in (("records.jsonl", entry.records), ("scores.jsonl", entry.scores)):
        write_atomically(out / name, "".join(f"{canonical_json(asdict(value))}\n" for value in values).encode())
    for controls in [run.store.folder / FOLDER for run in runs if (run.store.folder / FOLDER).is_dir()][:1]:
        copytree(controls, out / FOLDER)
    write_json(out / "run.json", manifest)  # last: a folder is one from here on
    return entry


def selection_of(runs: Sequence[Run]) -> Mapping[str, Any]:
    """The cases that the runs set out to make, under all their seeds. Raises StoreError where the cases differ."""
    asked = [{key: run.manifest["selection"].get(key) for key in ("categories", "levels", "limit")} for run in runs]
    if any(other != asked[0] for other in asked):
        told = "; ".join(f"{run.store.folder}: {canonical_json(one)}" for run, one in zip(runs, asked, strict=True))
        raise StoreError(f"expected the same choice of cases in every folder, got {told}; merge what is alike")
    seeds = {int(seed) for run in runs for seed in run.manifest["selection"].get("seeds") or (0,)}
    seeds |= {record.seed for run in runs for record in run.records}  # a run's last command may have asked for fewer
    return {**runs[0].manifest["selection"], "seeds": sorted(seeds)}


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+", help="folders, the one whose run.json stays first")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    args = parser.parse_args(argv)
    try:
        entry = merge_runs(args.results, args.out)
    except StoreError as error:
        raise SystemExit(str(error)) from error
    seeds = ", ".join(map(str, sorted({record.seed for record in entry.records})))
    print(f"{args.out}: {len(entry.records)} records of seeds {seeds}, {len(entry.scores)} scores")
    for note in entry.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    main()
