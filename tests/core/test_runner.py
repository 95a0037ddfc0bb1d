from __future__ import annotations

import itertools
import json
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from drift_method import Drift, DriftConfig, OutOfMemoryError, make_split

from motionbench import worker
from motionbench.adapters import kept_files
from motionbench.arguments import parse_shard
from motionbench.attempt import AttemptTimeout, classify, describe, time_limit
from motionbench.case import Category
from motionbench.config import setting
from motionbench.device import PeakMemory, resolve_device
from motionbench.environment import git_state
from motionbench.errors import (
    ConfigError,
    ManifestError,
    MissingWeightsError,
    MotionBenchError,
    StoreError,
    UnknownNameError,
)
from motionbench.job import resolve
from motionbench.plan import config_to_json
from motionbench.record import Reason, Record, comparable
from motionbench.runner import RunPlan, run
from motionbench.seeds import derive_seed
from motionbench.store import ResultStore


def plan_for(folder: Path, **changes: Any) -> RunPlan:
    return replace(RunPlan("drift", split=str(folder), device="cpu"), **changes)


def results(store: ResultStore) -> dict[str, Any]:
    """What two runs of one command share: records by key, and the bytes of the videos."""
    records = {record.key: comparable(record) for record in store.records()}
    videos = {str(p.relative_to(store.folder)): p.read_bytes() for p in store.folder.glob("videos/**/*.mp4")}
    return {"records": records, "videos": videos}


class Diary:
    """An observer that writes everything down."""

    def __init__(self) -> None:
        self.plans: list[tuple[int, int]] = []
        self.stages: list[tuple[str, int, int]] = []
        self.records: list[Record] = []

    def planned(self, total: int, done: int) -> None:
        self.plans.append((total, done))

    def stage(self, stage: str, done: int, total: int) -> None:
        self.stages.append((stage, done, total))

    def finished(self, record: Record) -> None:
        self.records.append(record)


def test_each_reference_is_fitted_once_for_a_seed_and_each_prompt_generated(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    diary = Diary()
    result = run(plan_for(make_split(tmp_path / "s"), seeds=(0, 5)), store, observer=diary)
    assert (result.planned, result.skipped, result.ok, result.failed) == (8, 0, 8, 0)
    assert drift.fits == ["one", "one", "two", "two"]
    assert drift.generated == ["a cat", "a dog"] * 4
    assert diary.plans == [(8, 0)]
    assert diary.stages[:4] == [("fit", n, 4) for n in (1, 2, 3, 4)]
    assert sorted(diary.records, key=lambda r: (r.case_id, r.seed)) == list(result.records)
    for record in result.records:
        assert store.read_video(record).frames.shape == (5, 32, 48, 3)
        assert record.fit_seconds is not None
        assert record.generate_seconds is not None
        assert record.peak_memory_bytes is not None
        assert record.peak_memory_bytes > 1 << 20
    assert len({record.video_sha256 for record in result.records}) == 8


def test_run_file_says_what_ran_where(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    run(plan_for(folder, config=DriftConfig(speed=3), limit=1), store)
    held = store.read_run()
    assert held["configuration"]["config"] == {"broken": "", "speed": 3}
    assert held["configuration"]["backbone_revision"] == "w1"
    assert held["configuration"]["split_revision"] == resolve(plan_for(folder)).split.revision
    place = {"split": str(folder), "split_from_here": "../s"}
    assert held["selection"] == {**place, "categories": [], "limit": 1, "seeds": [0]}
    assert held["environment"]["versions"]["numpy"] == np.__version__
    assert "cores" in held["environment"]["device"]
    assert len(held["configuration_hash"]) == 16


def test_second_command_does_nothing_again(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    plan = plan_for(make_split(tmp_path / "s"))
    first = run(plan, store)
    drift.fits.clear()
    lines = (store.folder / "records.jsonl").read_bytes()
    second = run(plan, store)
    assert (second.skipped, second.records) == (4, first.records)
    assert drift.fits == []
    assert (store.folder / "records.jsonl").read_bytes() == lines


def test_selection_may_grow_and_adapters_are_used_again(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    run(plan_for(folder, categories=(Category.CAMERA,)), store)
    (store.folder / "records.jsonl").unlink()  # all prompts again, from the kept adapter
    (store.folder / "records.jsonl").touch()
    drift.fits.clear()
    result = run(plan_for(folder), store)
    assert drift.fits == ["two"]
    assert result.ok == 4
    whole = ResultStore(store.folder.with_name("whole"))
    run(plan_for(folder), whole)
    assert results(whole) == results(store)


def test_limit_order_and_seeds_change_no_number(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", captions=("one", "two", "three"))
    whole, part = ResultStore(tmp_path / "whole"), ResultStore(tmp_path / "part")
    run(plan_for(folder, seeds=(0, 1)), whole)
    run(plan_for(folder, seeds=(1,), categories=(Category.MULTI_OBJECT,)), part)
    run(plan_for(folder, seeds=(1, 0)), part)
    assert results(part) == results(whole)


def test_adapters_kept_or_not_are_the_same_to_a_run_with_the_same_choice(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    bare, again = ResultStore(tmp_path / "bare"), ResultStore(tmp_path / "again")
    run(plan_for(folder, keep_adapters=False), bare)
    run(plan_for(folder, keep_adapters=False), again)
    assert results(bare) == results(again)
    assert not (bare.folder / "adapters").exists()


def test_adapter_of_another_fit_or_a_damaged_one_is_not_used(
    drift: type[Drift], store: ResultStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_for(make_split(tmp_path / "s"), limit=1, categories=(Category.CAMERA,))
    run(plan, store)
    before = results(store)
    folder = store.adapter_folder("camera/0000", 0)
    assert kept_files(folder, "other key") is None
    (folder / "picture.npy").write_bytes(b"rubbish")
    (store.folder / "records.jsonl").write_bytes(b"")
    drift.fits.clear()
    run(plan, store)
    assert drift.fits == ["one"]
    assert "fitting anew" in caplog.text
    assert results(store) == before


def test_shards_add_up_to_one_run(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s", captions=("one", "two", "three", "four", "five"))
    whole, shards = ResultStore(tmp_path / "whole"), ResultStore(tmp_path / "shards")
    run(plan_for(folder, seeds=(0, 1)), whole)
    parts = [run(plan_for(folder, seeds=(0, 1), shard=(i, 3)), shards) for i in (3, 1, 2)]
    assert results(shards) == results(whole)
    assert sum(part.planned for part in parts) == 20
    assert max(part.planned for part in parts) <= 8
    assert run(plan_for(folder, seeds=(0, 1)), shards).skipped == 20


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("oom", "oom"),
        ("gpu", "oom"),
        ("cublas", "oom"),
        ("nan", "nan"),
        ("float", "nan"),
        ("weights", "missing_weights"),
        ("bug", "error"),
        ("unread", "bad_video"),
        ("nothing", "error"),
        ("hang", "timeout"),
    ],
)
def test_failed_generation_is_a_typed_record_and_the_run_goes_on(
    drift: type[Drift], store: ResultStore, tmp_path: Path, word: str, reason: str
) -> None:
    plan = plan_for(make_split(tmp_path / "s", prompts=("a cat", word, "a dog")))
    result = run(replace(plan, timeout_seconds=0.8 if word == "hang" else None), store)
    assert (result.ok, result.failed) == (4, 2)
    failures = [record for record in result.records if record.status == "failed"]
    assert {record.case_id[-1] for record in failures} == {"1"}
    for record in failures:
        assert (record.reason, record.video, record.video_sha256) == (reason, None, None)
        assert record.error
        assert record.fit_seconds is not None


def test_generated_clip_with_odd_sides_is_kept_without_its_last_row(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    result = run(plan_for(make_split(tmp_path / "s", prompts=("a cat", "odd"))), store)
    assert result.failed == 0
    shapes = {record.case_id[-1]: store.read_video(record).frames.shape[1:3] for record in result.records}
    assert shapes["0"][0] - shapes["1"][0] == 2  # the method leaves out a row, and the store one more
    assert shapes["0"][1] == shapes["1"][1]


def test_failed_fit_fails_all_cases_of_its_reference_only(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    result = run(plan_for(make_split(tmp_path / "s", captions=("one", "nan", "three"))), store)
    assert [record.status for record in result.records] == ["ok"] * 4 + ["failed"] * 2  # sorted: camera, multi, single
    assert {record.reason for record in result.records[4:]} == {Reason.NAN}
    assert "loss is nan at step 3" in str(result.records[4].error)


def test_damaged_reference_fails_its_cases_as_bad_video(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    (folder / "clips" / "0.mp4").write_bytes(b"")
    result = run(plan_for(folder), store)
    assert [str(record.reason) for record in result.records if record.status == "failed"] == ["bad_video", "bad_video"]
    assert result.ok == 2


def test_reference_that_can_be_read_again_is_tried_again_unasked(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    folder = make_split(tmp_path / "s")
    reference = folder / "clips" / "0.mp4"
    good = reference.read_bytes()
    reference.unlink()
    assert run(plan_for(folder), store).failed == 2
    lines = (store.folder / "records.jsonl").read_bytes()
    still = run(plan_for(folder), store)
    assert (still.skipped, still.failed) == (4, 2)
    assert (store.folder / "records.jsonl").read_bytes() == lines  # looked at, and nothing written again
    reference.write_bytes(good)
    mended = run(plan_for(folder), store)
    assert (mended.skipped, mended.failed) == (2, 0)
    whole = ResultStore(tmp_path / "whole")
    run(plan_for(folder), whole)
    assert results(whole) == results(store)


def test_other_failures_are_retried_only_when_asked(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    plan = plan_for(make_split(tmp_path / "s", prompts=("a cat", "unread")))
    run(plan, store)
    assert (run(plan, store).skipped, run(replace(plan, retry_failed=True), store).skipped) == (4, 2)


def test_result_depends_on_the_content_of_files_beside_the_split(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = tmp_path / "extra.txt"

    def sources(config: Any, split: Any, cases: Any) -> dict[str, list[Path]]:
        return {case.id: [extra] for case in cases if case.id.endswith("/0")}

    monkeypatch.setattr(Drift, "sources", staticmethod(sources), raising=False)
    plan = plan_for(make_split(tmp_path / "s"))
    skipped = [run(plan, store).skipped]
    for content in ("one", "one", "two"):
        extra.write_text(content)
        skipped.append(run(plan, store).skipped)
    assert skipped == [0, 2, 4, 2]  # of four: those that do not depend on it, and all where it did not change
    assert len(store.records()) == 4


def test_interrupted_records_are_always_attempted_again(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    plan = plan_for(make_split(tmp_path / "s"))
    record = run(plan, store).records[0]
    lost = replace(record, status="failed", reason=Reason.INTERRUPTED, video=None, video_sha256=None)
    store.append_record(lost)
    assert run(plan, store).skipped == 3
    assert comparable(store.records()[0]) == comparable(record)


def test_lost_or_changed_video_is_generated_again(
    drift: type[Drift], store: ResultStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = plan_for(make_split(tmp_path / "s"))
    run(plan, store)
    before = results(store)
    (store.folder / "videos/camera/0000/0--s0.mp4").unlink()
    (store.folder / "videos/camera/0000/1--s0.mp4").write_bytes(b"other")
    assert run(plan, store).skipped == 2
    assert results(store) == before
    assert "its video is gone or changed" in caplog.text


def test_interrupt_leaves_what_was_done_and_nothing_half(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    folder = make_split(tmp_path / "s", prompts=("a cat", "interrupt"))
    with pytest.raises(KeyboardInterrupt):
        run(plan_for(folder), store)
    assert [record.case_id for record in store.records()] == ["camera/0000/0"]
    assert not list(store.folder.glob("**/.*.tmp"))


def test_method_that_cannot_be_built_fails_the_command_or_all_cases(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    folder = make_split(tmp_path / "s")
    with pytest.raises(MissingWeightsError):
        run(plan_for(folder, config=DriftConfig(broken="weights")), store)
    assert store.records() == []
    other = ResultStore(tmp_path / "other")
    result = run(plan_for(folder, config=DriftConfig(broken="gpu")), other)
    assert [record.reason for record in result.records] == [Reason.OOM] * 4


def test_unwritable_adapter_stops_the_run_and_says_so(drift: type[Drift], store: ResultStore, tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    with pytest.raises(StoreError, match=r"--no-adapters.*disk is full"):
        run(plan_for(folder, config=DriftConfig(broken="save")), store)
    assert not list(store.folder.glob("adapters/**/*.npy"))
    assert run(plan_for(folder, config=DriftConfig(broken="save"), keep_adapters=False), store).ok == 4


def test_full_disk_stops_the_run_and_the_same_command_goes_on(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_for(make_split(tmp_path / "s"))
    append, count = ResultStore.append_record, [0]

    def fill(self: ResultStore, record: Record) -> None:
        count[0] += 1
        if count[0] == 3:
            raise StoreError("cannot append: the disk is full")
        append(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(ResultStore, "append_record", fill)
        with pytest.raises(StoreError, match="disk is full"):
            run(plan, store)
    assert len(store.records()) == 2
    assert run(plan, store).ok == 4
    whole = ResultStore(tmp_path / "whole")
    run(plan, whole)
    assert results(whole) == results(store)


def test_other_configuration_and_second_process_are_refused(
    drift: type[Drift], store: ResultStore, tmp_path: Path
) -> None:
    plan = plan_for(make_split(tmp_path / "s"))
    run(plan, store)
    with pytest.raises(StoreError, match=r"config\.speed: 2 there, 9 asked"):
        run(replace(plan, config=DriftConfig(speed=9)), store)
    with store.locked("records"), pytest.raises(StoreError, match="is being written"):
        run(plan, ResultStore(store.folder))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"method": "drifft"}, UnknownNameError),
        ({"split": "minni"}, UnknownNameError),
        ({"device": "tpu"}, ConfigError),
        ({"dtype": "float16"}, ConfigError),
        ({"categories": (Category.HUMAN,)}, ManifestError),
    ],
)
def test_wrong_plan_is_refused_before_anything_is_written(
    drift: type[Drift], store: ResultStore, tmp_path: Path, changes: dict[str, Any], error: type[MotionBenchError]
) -> None:
    plan = plan_for(make_split(tmp_path / "s"), **changes)
    with pytest.raises(error):
        run(plan, store)
    assert store.records() == []


@pytest.mark.parametrize("changes", [{"limit": 0}, {"seeds": ()}, {"shard": (0, 2)}, {"shard": (3, 2)}])
def test_impossible_plan_is_refused_at_once(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        RunPlan("copy", **changes)


def test_shards_are_written_from_one() -> None:
    assert parse_shard("2/3") == (2, 3)
    for text in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(ConfigError, match="1 <= i <= n"):
            parse_shard(text)


def test_key_follows_all_that_determines_a_result(drift: type[Drift], tmp_path: Path) -> None:
    folder = make_split(tmp_path / "s")
    plan = plan_for(folder)

    def key(plan: RunPlan, seed: int = 0, **changes: Any) -> str:
        job = resolve(plan)
        return job.key(replace(job.split.cases[0], **changes), seed)

    changed = [
        key(plan, seed=1),
        key(plan, prompt="x"),
        key(plan, caption="x"),
        key(plan, sha256="x"),
        key(plan, id="camera/0000/9"),
        key(replace(plan, config=DriftConfig(speed=7))),
        key(replace(plan, dtype="bfloat16")),
        key(replace(plan, method="copy", config=None)),
    ]
    assert len({key(plan), *changed}) == 9
    assert key(replace(plan, limit=1, seeds=(4,), shard=(1, 2), retry_failed=True)) == key(plan)
    assert key(plan, license="x", source="y") == key(plan)


def test_seeds_are_derived_from_names(drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: Any) -> None:
    seen: list[tuple[str, int]] = []
    fit, generate = Drift.fit, Drift.generate
    monkeypatch.setattr(Drift, "fit", lambda s, r, c, *, seed: seen.append((c, seed)) or fit(s, r, c, seed=seed))
    monkeypatch.setattr(
        Drift, "generate", lambda s, a, p, *, seed: seen.append((p, seed)) or generate(s, a, p, seed=seed)
    )
    run(plan_for(make_split(tmp_path / "s"), seeds=(7,), categories=(Category.CAMERA,)), store)
    assert seen == [
        ("one", derive_seed(7, "camera/0000", "fit")),
        ("a cat", derive_seed(7, "camera/0000/0", "generate")),
        ("a dog", derive_seed(7, "camera/0000/1", "generate")),
    ]


def test_config_becomes_plain_json() -> None:
    assert config_to_json(DriftConfig()) == {"speed": 2, "broken": ""}
    assert config_to_json(None) == {}
    assert config_to_json({"a": (1, Path("b"), Category.CAMERA, None)}) == {"a": [1, "b", "camera", None]}
    assert json.dumps(config_to_json(DriftConfig(3)))


def test_a_setting_that_came_later_changes_no_result_that_is_there() -> None:
    @dataclass(frozen=True)
    class Grown:
        speed: int = setting(2, "of the drift")
        rounding: str = setting("none", "of the drift", later=True)

    assert config_to_json(Grown()) == {"speed": 2}
    assert config_to_json(Grown(rounding="float8")) == {"speed": 2, "rounding": "float8"}


def test_pixel_methods_load_no_torch_and_keep_no_adapter(tmp_path: Path) -> None:
    import subprocess

    folder = make_split(tmp_path / "s")
    code = (
        "import sys\nfrom motionbench.runner import RunPlan, run\nfrom motionbench.store import ResultStore\n"
        "result = run(RunPlan('copy', split=sys.argv[1]), ResultStore(sys.argv[2]))\n"
        "print(result.ok, 'torch' in sys.modules, {r.backbone for r in result.records})"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "4 False {'none'}\n"
    assert not (tmp_path / "r" / "adapters").exists()


def test_errors_are_classified_by_what_they_are() -> None:
    assert classify(OutOfMemoryError("x")) is Reason.OOM
    assert classify(RuntimeError("CUDA error: out of memory")) is Reason.OOM
    assert classify(ValueError("out of memory")) is Reason.ERROR
    assert classify(TimeoutError()) is Reason.TIMEOUT
    assert classify(KeyboardInterrupt()) is Reason.INTERRUPTED
    odd = type("Odd", (MotionBenchError,), {"reason": "unheard of"})
    assert classify(odd()) is Reason.ERROR


def test_error_text_says_where_an_accident_happened_and_is_cut() -> None:
    with pytest.raises(ValueError, match="property name") as caught:
        json.loads("{")
    assert "JSONDecodeError" in describe(caught.value)
    assert "(at decoder.py:" in describe(caught.value)
    assert describe(ConfigError("rank must be positive")) == "ConfigError: rank must be positive"
    assert len(describe(ValueError("x" * 5000))) == 1000


def test_time_limit_ends_python_code_and_restores_the_timer() -> None:
    with pytest.raises(AttemptTimeout, match=r"within 0\.05 s"), time_limit(0.05):
        sum(abs(number) for number in itertools.count())  # for ever, in Python code
    with time_limit(60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_peak_memory_sees_a_passing_peak() -> None:
    memory = PeakMemory("cpu")
    memory.start()
    before = memory.read()
    block = np.ones(64 << 20, np.uint8)
    del block
    assert memory.read() - before > 32 << 20
    memory.start()
    if Path("/proc/self/clear_refs").exists():
        assert memory.read() - before < 32 << 20


def test_devices_are_checked_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_device("CPU") == "cpu"
    assert resolve_device("auto", needs_torch=False) == "cpu"
    for name in ("gpu", "cuda:x", "cuda:-1"):
        with pytest.raises(ConfigError, match="unknown device"):
            resolve_device(name)
    current: list[int] = []
    for count in (0, 2):
        cuda = SimpleNamespace(is_available=lambda count=count: count > 0, device_count=lambda count=count: count)
        cuda.set_device = current.append
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        assert resolve_device("auto") == ("cuda" if count else "cpu")
        with pytest.raises(ConfigError, match=f"is not here: torch sees {count} GPUs"):
            resolve_device("cuda:2")
    assert not current
    assert resolve_device("cuda:1") == "cuda:1"
    assert current == [1]  # else a kernel of our own would be launched on the first one


def test_git_state_is_of_a_tracked_package_only(tmp_path: Path) -> None:
    import subprocess

    def git(*words: str) -> None:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t", *words]
        subprocess.run(command, check=True, capture_output=True)

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert git_state(package) is None
    git("init")
    assert git_state(package) is None  # inside a repository, but not of it
    git("add", ".")
    git("commit", "-m", "x")
    state = git_state(package)
    assert state is not None
    assert (len(state["commit"]), state["dirty"]) == (40, False)
    (package / "__init__.py").write_text("x = 1\n")
    assert git_state(package) == {**state, "dirty": True}


def test_attempt_out_of_memory_is_begun_again_within_the_next_preset_if_that_is_asked(
    drift: type[Drift], store: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "device_memory", lambda device: 85_000_000_000)  # a card of 80 GB
    asked: list[str] = []
    generate = Drift.generate

    def hungry(self: Drift, adapter: Any, prompt: str, *, seed: int) -> Any:
        asked.append(self.runtime.gpu_memory)
        if prompt == "large" and self.runtime.gpu_memory != "24":
            raise MemoryError("no room")
        return generate(self, adapter, prompt, seed=seed)

    monkeypatch.setattr(Drift, "generate", hungry)
    folder = make_split(tmp_path / "s", prompts=("a cat", "large", "a dog"), captions=("one",))
    result = run(plan_for(folder, retry_oom=True), store)
    assert [record.status for record in result.records] == ["ok"] * 3
    assert asked == ["auto", "auto", "60", "40", "24", "24"]
    assert [record.restarts for record in result.records] == [0, 3, 3]
    assert drift.fits == ["one"]  # it was kept
    plain = run(plan_for(folder), ResultStore(tmp_path / "plain"))
    assert [record.reason for record in plain.records] == [None, Reason.OOM, None]
