"""Worker processes: the same records and bytes as one, and one that dies takes one reference with it."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drift_method import Drift, DriftConfig, make_split

from motionbench import worker_pool
from motionbench.device import core_count
from motionbench.errors import ConfigError, MissingWeightsError
from motionbench.job import resolve
from motionbench.plan import RunPlan
from motionbench.record import Reason, comparable
from motionbench.runner import run
from motionbench.store import ResultStore
from motionbench.worker_pool import worker_count

SCRIPT = Path(__file__).with_name("drift_worker.py")
CAPTIONS = ("one", "two", "three", "four", "five")


@pytest.fixture
def drift(drift: type[Drift], monkeypatch: pytest.MonkeyPatch) -> type[Drift]:
    monkeypatch.setattr(worker_pool, "COMMAND", (str(SCRIPT),))
    return drift


def plan_for(folder: Path, **changes: Any) -> RunPlan:
    return replace(RunPlan("drift", split=str(folder), device="cpu", workers=3), **changes)


def results(store: ResultStore) -> dict[str, Any]:
    videos = {str(p.relative_to(store.folder)): p.read_bytes() for p in store.folder.glob("videos/**/*.mp4")}
    return {"records": [comparable(record) for record in store.records()], "videos": videos}


def test_three_processes_put_on_record_what_one_does(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", captions=CAPTIONS)
    done = run(plan_for(folder), ResultStore(tmp_path / "three"))
    assert (done.ok, done.failed) == (10, 0)
    assert Drift.fits == []  # all of them elsewhere
    run(plan_for(folder, workers=1), ResultStore(tmp_path / "one"))
    assert results(ResultStore(tmp_path / "three")) == results(ResultStore(tmp_path / "one"))
    again = run(plan_for(folder), ResultStore(tmp_path / "three"))
    assert again.skipped == 10


def test_process_that_dies_takes_one_reference_with_it(
    drift: type[Drift], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_split(tmp_path / "s", captions=("one", "die", "three", "four", "die"))
    store = ResultStore(tmp_path / "out")
    with caplog.at_level(logging.INFO, "motionbench"):
        done = run(plan_for(folder, workers=2, retries=1), store)
    assert (done.ok, done.failed) == (6, 4)
    failed = [record for record in done.records if record.status == "failed"]
    assert {record.case_id.rpartition("/")[0][-4:] for record in failed} == {"0001", "0004"}
    assert {record.reason for record in failed} == {Reason.INTERRUPTED}
    assert {record.error for record in failed} == {"its worker process was ended by SIGKILL"}
    assert {record.restarts for record in failed} == {1}
    assert caplog.text.count("it is begun again") == 2
    assert sum("seed 0: ok" in line for line in caplog.messages) == 6  # what the processes log is heard
    assert run(plan_for(folder, workers=2), store).skipped == 6  # and the next command tries the others again


def test_prompt_that_kills_spares_what_was_done_before_it(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", prompts=("a cat", "die", "a dog"), captions=("one", "two"))
    done = run(plan_for(folder, workers=2, retries=0), ResultStore(tmp_path / "out"))
    assert [record.status for record in done.records] == ["ok", "failed", "failed"] * 2


def test_reference_of_a_process_that_dies_once_is_begun_again_from_what_was_done(
    drift: type[Drift], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_split(tmp_path / "s", prompts=("a cat", "die once", "a dog"), captions=("one", "two"))
    monkeypatch.setenv("DRIFT_DIED", str(tmp_path / "died"))
    store = ResultStore(tmp_path / "out")
    done = run(plan_for(folder, workers=2), store)
    assert (done.ok, done.failed) == (6, 0)
    assert sorted(record.restarts for record in done.records) == [0, 0, 0, 0, 1, 1]
    run(plan_for(folder, workers=1), ResultStore(tmp_path / "one"))  # nobody dies twice
    assert results(store) == results(ResultStore(tmp_path / "one"))


def test_method_that_cannot_be_built_ends_the_command(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", captions=CAPTIONS)
    plan = plan_for(folder, config=DriftConfig(broken="weights"))
    with pytest.raises(MissingWeightsError, match="no head"):
        run(plan, ResultStore(tmp_path / "out"))
    assert ResultStore(tmp_path / "out").records() == []


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", captions=("hang", "hang"))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import pytest; from drift_method import install; from motionbench import worker_pool\n"
        "from motionbench.runner import RunPlan, run; from motionbench.store import ResultStore\n"
        "worker_pool.COMMAND = (sys.argv[1] + '/drift_worker.py',)\n"
        "install(pytest.MonkeyPatch())\n"
        "run(RunPlan('drift', split=sys.argv[2], device='cpu', workers=2), ResultStore(sys.argv[3]))\n"
    )
    out = tmp_path / "out"
    parent = subprocess.Popen([sys.executable, "-c", code, str(SCRIPT.parent), str(folder), str(out)])
    children = wait_for(lambda: offspring(parent.pid, 2))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def offspring(pid: int, count: int) -> list[int]:
    """The worker processes of a process, once there are so many."""
    listed = subprocess.run(["pgrep", "-P", str(pid), "-f", "drift_worker"], capture_output=True, text=True)
    found = [int(word) for word in listed.stdout.split()]
    return found if len(found) == count else []


def wait_for(look: Any) -> Any:
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_no_more_processes_than_references_and_one_for_a_model_that_may_be_large(
    drift: type[Drift], tmp_path: Path
) -> None:
    folder = make_split(tmp_path / "s")
    job = resolve(plan_for(folder))
    assert [worker_count(job, units) for units in (1, 2, 5)] == [1, 2, 3]
    assert worker_count(resolve(plan_for(folder, workers="auto")), 5) == 1


def test_number_of_processes_follows_cores_and_threads() -> None:
    plan = RunPlan("flowmotion", split="mini", device="cpu")
    assert worker_count(resolve(plan), 99) == min(core_count(), 99)
    assert worker_count(resolve(replace(plan, threads=core_count())), 99) == 1
    assert worker_count(resolve(replace(plan, method="backbone")), 99) == 1  # a control, done in no time
    assert worker_count(resolve(replace(plan, method="copy", workers=2)), 99) == 2


def test_threads_are_part_of_the_configuration_of_models_on_the_cpu() -> None:
    one, two = (resolve(RunPlan("backbone", device="cpu", threads=n)) for n in (1, 2))
    case = one.cases()[0]
    assert one.key(case, 0) != two.key(case, 0)
    assert "threads" not in resolve(RunPlan("copy")).configuration
    with pytest.raises(ConfigError, match="threads"):
        RunPlan(threads=0)
    for wrong in ("none", 0, "-1", 1.5):
        with pytest.raises(ConfigError, match="workers"):
            RunPlan(workers=wrong)
    assert RunPlan(workers="2").workers == 2
