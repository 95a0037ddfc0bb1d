"""The commands: what they print, how they exit, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import typer
from hub_server import HubServer, environment
from motionbench.data_cards.hub import commands
from motionbench.data_cards.hub.address import Address
from motionbench.data_cards.hub.errors import HubError
from motionbench.data_cards.hub.results import MARK, push_results
from typer.testing import CliRunner

from motionbench.clip import Clip
from motionbench.errors import StoreError
from motionbench.record import Reason, Record, video_path
from motionbench.split import read_split
from motionbench.store import ResultStore

app = typer.Typer()
app.command("push")(commands.push)
app.command("pull")(commands.pull)
app.add_typer(commands.results, name="results")
SCRIPT = "import typer; from motionbench.data_cards.hub.commands import push; typer.run(push)"


def call(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_push_dry_run_push_again_and_pull_from_the_command_line(
    hub: HubServer, small_folder: Path, tmp_path: Path
) -> None:
    words = ("push", "ann/motion", "--split", str(small_folder))
    assert "nothing was sent (dry run)" in call(*words, "--dry-run")
    assert hub.repos == {}
    pushed = json.loads(call(*words, "--json"))
    assert pushed["changed"]
    assert "no commit was made" in call(*words)
    out = call("pull", f"ann/motion@{pushed['commit']}", "--out", str(tmp_path / "out"))
    assert pushed["commit"][:12] in out
    assert read_split(tmp_path / "out" / "small").revision == read_split(small_folder).revision


def test_private_is_refused_for_a_repository_that_is_public_already(hub: HubServer, small_folder: Path) -> None:
    call("push", "ann/motion", "--split", str(small_folder))
    with pytest.raises(HubError, match="is public already"):
        call("push", "ann/motion", "--split", str(small_folder), "--private")


def test_ctrl_c_during_a_push_commits_nothing_and_the_same_command_goes_on(
    hub: HubServer, small_folder: Path, tmp_path: Path
) -> None:
    hub.put_seconds = 1.0
    command = [sys.executable, "-c", SCRIPT, "ann/motion", "--split", str(small_folder)]
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore Ctrl-C
    process = subprocess.Popen(
        command, env=environment(hub, tmp_path), stderr=subprocess.PIPE, text=True, preexec_fn=heeding
    )
    deadline = time.monotonic() + 120  # a busy machine takes its time to import the client
    while not any("PUT" in line for line in hub.log) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "interrupted: what arrived is kept there, and nothing was committed" in said
    assert hub.commits("ann/motion") == []
    hub.put_seconds = 0.0
    arrived = len(hub.puts)
    call("push", "ann/motion", "--split", str(small_folder))
    assert len(hub.commits("ann/motion")) == 1
    assert len(hub.puts) == 4
    assert arrived <= 4


def write_run(folder: Path) -> Path:
    """A run of two records, one of them failed, with a video, an adapter, and a path of this machine in its error."""
    store = ResultStore(folder)
    store.begin({"method": "copy", "backbone": "tiny", "split": "small", "split_revision": "0" * 16}, {}, {})
    clip = Clip(read_split_clip(), 8.0)
    video = video_path("camera/0001/0", 0)
    sha = clip.write(folder / video)
    shared = {"run_id": "r", "method": "copy", "backbone": "tiny", "config_hash": "c", "split": "small",
              "split_revision": "0" * 16, "category": "camera", "seed": 0, "fit_seconds": None,
              "generate_seconds": 1.0, "peak_memory_bytes": None, "created": "2026-01-01T00:00:00+00:00"}  # fmt: skip
    store.append_record(Record("a", case_id="camera/0001/0", status="ok", reason=None, error=None, video=video,
                               video_sha256=sha, **shared))  # fmt: skip
    store.append_record(Record("b", case_id="camera/0001/1", status="failed", reason=Reason.ERROR,
                               error=f"{Path.home()}/clip.mp4 is gone", video=None,
                               video_sha256=None, **shared))  # fmt: skip
    adapter = store.adapter_folder("camera/0001", 0) / "adapter.safetensors"
    adapter.parent.mkdir(parents=True)
    adapter.write_bytes(b"\0" * 64)
    return folder


def read_split_clip() -> object:
    from small_split import pan

    return pan(7)


def test_a_run_is_pushed_whole_once_and_without_the_home_folder_s_name(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    run = write_run(tmp_path / "first")
    call("results", "push", str(run), "ann/runs")
    (commit,) = hub.commits("ann/runs")
    held = {p.removeprefix("results/first/"): d for p, d in commit.files.items() if p.startswith("results/first/")}
    local = {p.relative_to(run).as_posix(): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name[0] != "."}
    assert set(held) == set(local)
    assert b"~/clip.mp4 is gone" in held["records.jsonl"]
    assert not any(b"/home/somebody" in data for data in held.values())
    assert "| `first` | copy | tiny | small | 0000000000000000 | 1 | 1 |" in commit.files["README.md"].decode()
    assert "no commit was made" in call("results", "push", str(run), "ann/runs")
    call("results", "push", str(run), "ann/runs", "--no-adapters")
    assert not any("adapters" in path for path in hub.commits("ann/runs")[-1].files)


def test_runs_gather_in_one_repository_and_a_card_by_hand_stays(hub: HubServer, tmp_path: Path) -> None:
    push_results(write_run(tmp_path / "first"), Address("ann/runs"))
    push_results(write_run(tmp_path / "second"), Address("ann/runs"))
    last = hub.commits("ann/runs")[-1]
    assert last.files["README.md"].decode().count("| copy |") == 2
    last.files["README.md"] = b"# By hand\n"
    push_results(write_run(tmp_path / "third"), Address("ann/runs"))
    last = hub.commits("ann/runs")[-1]
    assert last.files["README.md"] == b"# By hand\n"
    assert MARK not in last.files["README.md"].decode()
    assert set(json.loads(last.files["results.json"])["runs"]) == {"first", "second", "third"}


def test_a_folder_without_a_run_is_refused(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="found no run"):
        push_results(tmp_path, Address("ann/runs"))
    assert hub.log == []
