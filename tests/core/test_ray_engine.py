"""The ray engine on a fake of Ray: what is refused, what is sent, and what becomes of a lost worker."""

from __future__ import annotations

import logging
import socket
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drift_method import Drift, DriftConfig, make_split
from fake_ray import FakeRay, Node, NodeDiedError, RayTaskError

from motionbench import ray_cluster, ray_node
from motionbench.errors import ConfigError, MissingExtra, MotionBenchError, StoreError
from motionbench.inputs import unit_inputs
from motionbench.job import resolve
from motionbench.plan import RunPlan
from motionbench.ray_cluster import Share, connect
from motionbench.record import Reason, comparable
from motionbench.runner import run
from motionbench.store import ResultStore


def plan_for(folder: Path, **changes: Any) -> RunPlan:
    return replace(RunPlan("drift", split=str(folder), device="cpu", engine="ray"), **changes)


def use(monkeypatch: pytest.MonkeyPatch, ray: FakeRay) -> FakeRay:
    monkeypatch.setitem(sys.modules, "ray", ray)
    # Actors live in this process: what they log is heard already.
    monkeypatch.setattr(ray_node, "SentLog", lambda send: logging.NullHandler())
    return ray


def results(store: ResultStore) -> dict[str, Any]:
    files = {
        str(path.relative_to(store.folder)): path.read_bytes()
        for part in ("videos", "adapters")
        for path in (store.folder / part).glob("**/*")
        if path.is_file() and path.name != "fit.json"
    }
    return {"records": [comparable(record) for record in store.records()], "files": files}


def test_engine_without_ray_names_the_extra(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'motionbench-transfer\[ray\]'"):
        run(plan_for(make_split(tmp_path / "s")), store)
    assert not store.folder.exists()


@pytest.mark.parametrize("storage", ["sent", "shared"])
def test_engine_puts_on_record_what_one_process_does(
    drift: type[Drift], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    folder = make_split(tmp_path / "s", captions=("one", "nan", "three"))
    (folder / "clips/2.mp4").write_bytes(b"rubbish")  # its error names a file: the user's, not the node's
    local, spread = ResultStore(tmp_path / "local"), ResultStore(tmp_path / "spread")
    run(plan_for(folder, engine="local"), local)
    ray = use(monkeypatch, FakeRay([Node("10.0.0.1"), Node("10.0.0.2")]))
    done = run(plan_for(folder, storage=storage), spread)
    assert (done.ok, done.failed) == (2, 4)
    assert results(spread) == results(local)
    assert spread.read_run()["environment"]["device"].startswith("2 Ray nodes: ")
    assert len(ray.started) == ray.killed == 3
    assert ray.started[0]["num_cpus"] == 1
    assert not list(spread.folder.glob(".shared*"))


def test_order_of_a_lost_worker_is_begun_again_with_what_was_kept_of_it(
    drift: type[Drift], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_split(tmp_path / "s", captions=("one", "two", "three"))
    local, spread = ResultStore(tmp_path / "local"), ResultStore(tmp_path / "spread")
    run(plan_for(folder, engine="local"), local)
    drift.fits.clear()
    use(monkeypatch, FakeRay(lose=lambda order: order.restarts == 0 and order.unit.reference_id == "camera/0000"))
    done = run(plan_for(folder), spread)
    assert results(spread) == results(local)
    assert [record.restarts for record in done.records] == [1, 1, 0, 0, 0, 0]
    assert sorted(drift.fits) == ["one", "three", "two"]  # the fit had come back before the worker was lost


def test_order_that_loses_every_worker_fails_and_is_tried_by_the_next_command(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_split(tmp_path / "s", prompts=("a cat", "a dog", "a hen"))
    ray = use(monkeypatch, FakeRay(lose=lambda order: order.unit.reference_id == "camera/0000"))
    done = run(plan_for(folder, retries=1, keep_adapters=False), store)
    assert [record.status for record in done.records] == ["ok", "ok", "failed", "ok", "ok", "ok"]
    lost = done.records[2]
    assert (lost.reason, lost.restarts) == (Reason.INTERRUPTED, 1)
    assert lost.error == "its worker on the cluster was lost (ActorDiedError)"
    assert len(ray.started) == 3
    use(monkeypatch, FakeRay())
    assert run(plan_for(folder, keep_adapters=False), store).ok == 6


def test_weights_missing_on_a_node_end_the_command_with_its_name(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = use(monkeypatch, FakeRay())
    with pytest.raises(MotionBenchError, match=r"node .*no head\.safetensors"):
        run(plan_for(make_split(tmp_path / "s"), config=DriftConfig(broken="weights")), store)
    assert store.records() == []
    assert ray.killed == len(ray.started)


def changed(**changes: Any) -> Any:
    return lambda said: {**said, **changes}


def fail(said: dict[str, Any]) -> dict[str, Any]:
    raise RayTaskError("No module named 'motionbench'")


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (changed(motionbench="0.0.1, source 12345678"), r"10\.0\.0\.2 .*has motionbench 0\.0\.1, source 12345678"),
        (changed(split="0" * 16), r"10\.0\.0\.2 .*has split revision 0{16}, this machine"),
        (changed(weights="w2"), r"10\.0\.0\.2 .*has weights w2, this machine w1"),
        (
            changed(faults=["weights of tiny are missing; hf download …"]),
            r"10\.0\.0\.2 .*: weights of tiny are missing",
        ),
        (fail, r"10\.0\.0\.2 .*cannot be loaded there \(No module named 'motionbench'\)"),
    ],
    ids=["package", "split", "other weights", "no weights", "no package"],
)
def test_node_that_would_give_other_numbers_is_refused_before_anything_is_computed(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Any, sentence: str
) -> None:
    use(monkeypatch, FakeRay([Node("10.0.0.1"), Node("10.0.0.2", says=says)]))
    with pytest.raises(MotionBenchError, match=sentence):
        run(plan_for(make_split(tmp_path / "s")), store)
    assert drift.fits == []
    assert not store.folder.exists()


def test_node_that_does_not_see_the_shared_folder_is_refused(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeRay())
    look = ray_node.account
    elsewhere = str(tmp_path / "elsewhere")
    monkeypatch.setattr(ray_cluster, "account", lambda q: look(replace(q, shared=q.shared and elsewhere)))
    with pytest.raises(MotionBenchError, match="does not see the results folder"):
        run(plan_for(make_split(tmp_path / "s"), storage="shared"), store)
    assert drift.fits == []


def gone(said: dict[str, Any]) -> dict[str, Any]:
    raise NodeDiedError("its raylet ended")


def test_node_that_was_lost_is_left_out_and_the_others_work(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeRay([Node("10.0.0.1"), Node("10.0.0.2", says=gone)]))
    assert run(plan_for(make_split(tmp_path / "s")), store).ok == 4
    assert store.read_run()["environment"]["device"].startswith("1 Ray nodes: ")
    use(monkeypatch, FakeRay([Node("10.0.0.1", says=gone)]))
    with pytest.raises(MotionBenchError, match="no node of the cluster answers"):
        run(plan_for(tmp_path / "s"), store)


def test_cluster_without_room_is_refused(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakeRay([Node("head", {"CPU": 0.0})]))
    with pytest.raises(MotionBenchError, match="no node of the cluster has room for a worker, which takes 1 CPUs"):
        run(plan_for(make_split(tmp_path / "s")), store)


def test_address_that_is_none_or_answers_nobody_is_refused() -> None:
    ray = SimpleNamespace(init=None, __version__="2.60.0")
    with socket.socket() as held:  # bound, and not listening
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(MotionBenchError, match=rf"no Ray cluster answers at 127\.0\.0\.1:{port}"):
            connect(ray, f"127.0.0.1:{port}")
    for wrong in ("cluster", "host:99999", "ray://host:10001"):
        with pytest.raises(ConfigError, match="--address takes HOST:PORT"):
            connect(ray, wrong)
    with pytest.raises(ConfigError, match="add --engine ray"):
        RunPlan("copy", address="auto")


def test_other_version_of_ray_on_the_cluster_is_refused() -> None:
    """The words are Ray's own; two versions cannot be installed side by side here."""

    def init(**options: Any) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.40.0\n    Python: 3.11.7")

    ray = SimpleNamespace(init=init, __version__="2.60.0")
    with pytest.raises(MotionBenchError, match=r"another version of Ray or Python than .*2\.60\.0: .*Ray: 2\.40\.0"):
        connect(ray, "auto")


def test_cluster_that_cannot_be_joined_from_here_is_refused() -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    with pytest.raises(MotionBenchError, match=r"cannot be joined .*Could not find any running Ray instance"):
        connect(SimpleNamespace(init=init, __version__="1"), "auto")


def test_share_of_a_worker_follows_backbone_and_threads(tmp_path: Path) -> None:
    job = resolve(RunPlan("backbone", device="cpu", threads=3))
    assert Share.of(job) == Share(3)
    assert Share.of(replace(job, device="cuda")) == Share(1, 0.125)
    wan = replace(job, device="cuda", plan=replace(job.plan, backbone="wan2.1-1.3b"))
    assert Share.of(wan) == Share(1, 1.0)
    assert Share(1, 0.125).fits({"CPU": 64, "GPU": 2}) == 16
    assert Share(1, 1).fits({"CPU": 2, "GPU": 8}) == 2
    assert Share(1, 1).fits({"CPU": 2}) == 0


def test_clips_of_a_folder_travel_and_links_out_of_it_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(tmp_path / "s")
    clips = tmp_path / "clips"
    local, spread = ResultStore(tmp_path / "local"), ResultStore(tmp_path / "spread")
    for index, case in enumerate(("camera/0000/0", "camera/0000/1", "single_object/0001/0")):
        (clips / case).parent.mkdir(parents=True, exist_ok=True)
        (clips / f"{case}.mp4").write_bytes((split / f"clips/{index % 2}.mp4").read_bytes())
    plan = RunPlan("folder", split=str(split), settings=(f"path={clips}",))
    run(plan, local)
    use(monkeypatch, FakeRay())
    done = run(replace(plan, engine="ray"), spread)
    assert (done.ok, done.failed) == (3, 1)
    assert results(spread) == results(local)
    secret = tmp_path / "secret"
    secret.write_text("key")
    (clips / "single_object/0001/1.mp4").symlink_to(secret)
    job = resolve(plan)
    for unit in job.units():
        assert b"key" not in [data for files in unit_inputs(job, unit).files.values() for data in files.values()]


def test_rows_of_a_table_of_clips_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(tmp_path / "s")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/a.mp4").write_bytes((split / "clips/0.mp4").read_bytes())
    table = tmp_path / "clips/table.csv"
    table.write_text("case_id,file\ncamera/0000/0,a.mp4\nsingle_object/0001/1,a.mp4\n")
    plan = RunPlan("folder", split=str(split), settings=(f"path={table}",))
    local, spread = ResultStore(tmp_path / "local"), ResultStore(tmp_path / "spread")
    run(plan, local)
    use(monkeypatch, FakeRay())
    assert run(replace(plan, engine="ray"), spread).ok == 2
    assert results(spread) == results(local)


def test_disk_of_the_user_that_fills_up_ends_the_command_and_frees_the_workers(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = use(monkeypatch, FakeRay())

    def fill(self: ResultStore, record: Any) -> None:
        raise StoreError("cannot append: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "append_record", fill)
        with pytest.raises(StoreError, match="disk is full"):
            run(plan_for(make_split(tmp_path / "s")), store)
    assert ray.killed == len(ray.started)
    assert run(plan_for(tmp_path / "s"), store).ok == 4
