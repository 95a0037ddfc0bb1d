"""Results on the Hub: a run's records, scores, videos and, if wanted, adapters, in a dataset repository."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from motionbench.errors import StoreError
from motionbench.home import home
from motionbench.marked_page import table
from motionbench.store import ResultStore

from ..dataset_card import render
from .address import Address
from .client import Content, HubClient, RemoteState, changes_between
from .errors import HubError
from .publishing import Pushed, carry_out

RUNS = "results.json"
RUNS_SCHEMA = 1
MARK = "<!-- written by `motionbench results push`; changed by hand, it is left alone once this line is gone -->"
LINES = ("run.json", "records.jsonl", "scores.jsonl", "summary.json")


def push_results(
    folder: Path, address: Address, *, adapters: bool = True, private: bool = False, dry_run: bool = False
) -> Pushed:
    """Makes the branch hold a run under `results/NAME/`, beside what it holds already. Raises HubError, StoreError.

    Files that the branch has are not sent; the same content makes no commit. Files of the run that are gone here are
    deleted there.
    """
    name = folder.resolve().name
    run = describe_run(folder)
    files = {f"results/{name}/{path}": content for path, content in run_files(folder, adapters).items()}
    client = HubClient()
    client.require_token()
    remote = client.base(address)
    runs = read_runs(client, address, remote) | {name: run | {"adapters": adapters}}
    files[RUNS] = f"{json.dumps({'schema': RUNS_SCHEMA, 'runs': runs}, indent=2, sort_keys=True)}\n".encode()
    if may_write_card(client, address, remote):
        files["README.md"] = render_results_card(runs).encode()
    old = [path for path in (remote.files if remote else ()) if path.startswith(f"results/{name}/")]
    changes = changes_between(remote, files, old)
    return carry_out(client, address, changes, remote, private, dry_run, f"Set results {name}")


def describe_run(folder: Path) -> dict[str, Any]:
    """What the card tells of a run. Raises StoreError if the folder holds none, or none with a record."""
    store = ResultStore(folder)
    configuration = store.read_run()["configuration"]
    statuses = Counter(record.status for record in store.records())
    if not statuses:
        raise StoreError(f"{folder}: the run has no record yet; repeat `motionbench run`, then push")
    keys = ("method", "backbone", "split", "split_revision", "config_hash", "motionbench_version")
    known = {key: configuration.get(key) for key in keys}
    return known | {"ok": statuses["ok"], "failed": statuses["failed"]}


def run_files(folder: Path, adapters: bool) -> dict[str, Content]:
    """The files of a run and of the controls in it by their path below the folder, without the home folder's name."""
    files: dict[str, Content] = {}
    for root in [folder, *sorted(path.parent for path in folder.glob("controls/*/run.json"))]:
        kept = [root / name for name in LINES] + sorted((root / "videos").rglob("*.mp4"))
        kept += sorted(p for p in (root / "adapters").rglob("*") if p.suffix in (".safetensors", ".json")) * adapters
        for path in kept:
            if path.is_file() and not path.name.startswith("."):
                files[path.relative_to(folder).as_posix()] = published(path)
    return files


def published(path: Path) -> Content:
    """The file, or for text its bytes with `~` for the home folder: run.json and errors hold paths of this machine."""
    here = str(home()).encode()
    if path.suffix not in (".json", ".jsonl") or len(here) < 2:
        return path
    data = path.read_bytes()
    return data.replace(here, b"~") if here in data else path


def read_runs(client: HubClient, address: Address, remote: RemoteState | None) -> dict[str, Any]:
    """The runs that the branch lists. Raises HubError if its list is malformed."""
    if remote is None or RUNS not in remote.files:
        return {}
    try:
        value = json.loads(client.read(address, remote.sha, RUNS))
        if value["schema"] != RUNS_SCHEMA:
            raise HubError(f"{address}: {RUNS} has schema {value['schema']}, expected {RUNS_SCHEMA}")
        return dict(value["runs"])
    except (ValueError, KeyError, TypeError) as error:
        raise HubError(f"{address}: {RUNS} is not a list of runs ({error}); mend or delete it there") from error


def may_write_card(client: HubClient, address: Address, remote: RemoteState | None) -> bool:
    """Whether the README there is absent or ours: a card of data, or one written by hand, stays."""
    if remote is None or "README.md" not in remote.files:
        return True
    return MARK.encode() in client.read(address, remote.sha, "README.md")


def render_results_card(runs: dict[str, Any]) -> str:
    """The README.md of a repository of runs; the same runs give the same text."""
    keys = ("method", "backbone", "split", "split_revision", "ok", "failed")
    rows = [[f"`{name}`", *(str(run.get(key)) for key in keys)] for name, run in sorted(runs.items())]
    head = ["run", "method", "backbone", "split", "revision", "ok", "failed"]
    front = {"pretty_name": "MotionBench results", "tags": ["video-motion-transfer", "results"], "viewer": False}
    text = (
        "Runs of MotionBench for video motion transfer: under `results/NAME/` lie `run.json` (the whole configuration,"
        " versions and device), `records.jsonl` (one line per attempt, failures included), `scores.jsonl`,"
        " `summary.json`, the videos and, where listed, the adapters. Compare rows only where split, revision and"
        " backbone agree. The licenses of the references and of the backbone apply to the videos."
    )
    return render(front, "MotionBench results", {}, f"{MARK}\n\n{text}\n\n{table(head, rows)}")
