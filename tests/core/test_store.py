from __future__ import annotations

import errno
import hashlib
import json
import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from footage import moving_frames

from motionbench import files
from motionbench.clip import Clip
from motionbench.errors import StoreError, VideoError
from motionbench.metric import MetricInfo
from motionbench.outcome import Outcome
from motionbench.record import Reason, Record, Row, Score, comparable, comparable_score
from motionbench.store import ResultStore
from motionbench.summary_file import Failure, Summary
from motionbench.video import encode_clip

CONFIGURATION = {"method": "copy", "config": {"rank": 4, "sizes": (1, 2)}, "backbone": "tiny"}


def record(number: int = 0, **changes: Any) -> Record:
    plain = Record(
        key=f"{number:016x}",
        run_id="r",
        method="copy",
        backbone="none",
        config_hash="c",
        split="s",
        split_revision="v",
        case_id=f"camera/{number:04d}/0",
        category="camera",
        seed=0,
        status="ok",
        reason=None,
        error=None,
        video="videos/a.mp4",
        video_sha256="0" * 64,
        fit_seconds=1.5,
        generate_seconds=None,
        peak_memory_bytes=7,
        created="2026-01-01T00:00:00+00:00",
    )
    return replace(plain, **changes)


def failed(number: int = 0) -> Record:
    return record(number, status="failed", reason=Reason.OOM, error="no room ☃\nnone", video=None, video_sha256=None)


def test_records_come_back_as_they_went_in(store: ResultStore) -> None:
    assert store.records() == []
    for item in (record(2), failed(1)):
        store.append_record(item)
    assert store.records() == [failed(1), record(2)]
    assert store.records()[0].reason is Reason.OOM
    lines = (store.folder / "records.jsonl").read_text().splitlines()
    assert [json.loads(line)["schema"] for line in lines] == [2, 2]


def test_last_record_of_a_key_wins_and_earlier_lines_stay(store: ResultStore) -> None:
    store.append_record(failed(1))
    store.append_record(record(1))
    assert store.records() == [record(1)]
    assert len((store.folder / "records.jsonl").read_text().splitlines()) == 2


def test_scores_are_kept_by_metric_version(store: ResultStore) -> None:
    first = Score("k", "motion_fidelity", 1, 0.5, "", {"pairs": 3})
    for score in (first, replace(first, metric_version=2), replace(first, value=None, note="static reference")):
        store.append_score(score)
    assert store.scores() == [replace(first, value=None, note="static reference"), replace(first, metric_version=2)]


def test_nan_cannot_be_stored(store: ResultStore) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.append_score(Score("k", "m", 1, float("nan"), ""))
    assert store.scores() == []


@pytest.mark.parametrize("kept", [0, 1, 30, -1])
def test_half_written_last_line_is_cut_off_with_a_warning(
    store: ResultStore, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    store.append_record(record(1))
    path = store.folder / "records.jsonl"
    whole = path.read_bytes()
    half = whole[:-1][:kept] if kept else b""
    path.write_bytes(whole + half)
    assert store.records() == [record(1)]  # reading skips it
    store.append_record(record(2))
    assert store.records() == [record(1), record(2)]
    assert path.read_bytes().startswith(whole + b"{")
    assert ("half-written" in caplog.text) == bool(kept)


def test_malformed_line_in_the_middle_is_named(store: ResultStore) -> None:
    store.append_record(record(1))
    path = store.folder / "records.jsonl"
    path.write_text(path.read_text() + "{broken\n" + path.read_text())
    with pytest.raises(StoreError, match=r"records\.jsonl:2: not a JSON line"):
        store.records()


def test_lines_of_another_schema_are_refused(store: ResultStore) -> None:
    store.append_record(record(1))
    path = store.folder / "records.jsonl"
    path.write_text(path.read_text().replace('"schema":2', '"schema":9'))
    with pytest.raises(StoreError, match=r"records\.jsonl:1: expected schema 2 or older, got 9"):
        store.records()
    path.write_text(json.dumps({"schema": 1, "key": "k"}) + "\n")
    with pytest.raises(StoreError, match=r"records\.jsonl:1: malformed line"):
        store.records()


def test_records_of_version_1_load_for_ever(tmp_path: Path) -> None:
    golden = Path(__file__).parent.parent / "golden" / "records_v1.jsonl"
    (tmp_path / "records.jsonl").write_bytes(golden.read_bytes())
    ok, bad = ResultStore(tmp_path).records()
    assert (ok.status, ok.video) == ("ok", "videos/camera/0001/0--s0.mp4")
    assert (bad.status, bad.reason) == ("failed", Reason.BAD_VIDEO)


def test_folder_belongs_to_one_configuration(store: ResultStore) -> None:
    run_id = store.begin(CONFIGURATION, {"seeds": (0,)}, {"git": None})
    assert store.begin(CONFIGURATION, {"seeds": (0, 1)}, {"git": None}) == run_id
    assert store.read_run()["selection"] == {"seeds": [0, 1]}
    other = {**CONFIGURATION, "config": {"rank": 8, "sizes": (1, 2)}, "backbone": "wan2.1-1.3b"}
    with pytest.raises(StoreError) as caught:
        store.begin(other, {"seeds": (0,)}, {})
    assert "backbone: 'tiny' there, 'wan2.1-1.3b' asked; config.rank: 4 there, 8 asked" in str(caught.value)
    assert "sizes" not in str(caught.value)
    assert store.read_run()["selection"] == {"seeds": [0, 1]}


def test_same_configuration_elsewhere_has_the_same_run_id(store: ResultStore, tmp_path: Path) -> None:
    assert store.begin(CONFIGURATION, {}, {}) == ResultStore(tmp_path / "b").begin(CONFIGURATION, {"x": 1}, {"y": 2})


def test_other_state_of_the_code_is_warned_of(store: ResultStore, caplog: pytest.LogCaptureFixture) -> None:
    store.begin(CONFIGURATION, {}, {"git": {"commit": "a", "dirty": False}})
    assert not caplog.records
    store.begin(CONFIGURATION, {}, {"git": {"commit": "b", "dirty": False}})
    assert "another state of the code" in caplog.text


def test_records_without_a_run_are_not_adopted(store: ResultStore) -> None:
    store.append_record(record())
    with pytest.raises(StoreError, match=r"holds records but no run\.json"):
        store.begin(CONFIGURATION, {}, {})


def test_bad_run_files_are_told(store: ResultStore) -> None:
    with pytest.raises(StoreError, match=r"no run\.json; check the path"):
        store.read_run()
    store.begin(CONFIGURATION, {}, {})
    path = store.folder / "run.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(StoreError, match="not JSON"):
        store.read_run()
    path.write_text('{"schema": 3}')
    with pytest.raises(StoreError, match="expected schema 2 or older, got 3"):
        store.begin(CONFIGURATION, {}, {})


def put_video(store: ResultStore, clip: Clip, path: str) -> str:
    """What a worker hands over for a case; returns the video's checksum. Nothing goes on record."""
    video = encode_clip(clip)
    store.take_files(Outcome("camera/0001", 3, video=video, record=record(video=path)))
    return hashlib.sha256(video).hexdigest()


def test_video_is_read_back_only_if_it_is_the_one_recorded(store: ResultStore) -> None:
    clip = Clip(moving_frames(5, 32, 48), 8.0)
    path = "videos/camera/0001/0--s3.mp4"
    digest = put_video(store, clip, path)
    item = record(video=path, video_sha256=digest)
    assert store.has_video(item)
    assert store.read_video(item).frames.shape == clip.frames.shape
    put_video(store, Clip(clip.frames[::-1], 8.0), path)
    assert not store.has_video(item)
    with pytest.raises(VideoError, match=f"expected sha256 {digest}, got sha256"):
        store.read_video(item)
    (store.folder / path).unlink()
    with pytest.raises(VideoError, match="got nothing; repeat `motionbench run`"):
        store.read_video(item)
    with pytest.raises(VideoError, match=r"the attempt failed \(oom"):
        store.read_video(failed())


def test_paths_stay_in_the_folder(store: ResultStore) -> None:
    with pytest.raises(StoreError, match="leaves the results folder"):
        put_video(store, Clip(moving_frames(2, 32, 48), 8.0), "videos/../../camera/0001/0--s0.mp4")
    with pytest.raises(StoreError, match="leaves the results folder"):
        store.has_video(record(video="../secret.mp4"))


def test_summary_comes_back_whole(store: ResultStore) -> None:
    assert store.read_summary() is None
    row = Row("m", "all", "fidelity", 0.5, None, None, None, None, None, 1, 0)
    info = MetricInfo("fidelity", 1, "", (None, 1.0), "higher", "here", "a metric", ceiling=("copy",))
    failure = Failure("camera/0001/0", 0, Reason.OOM, None)
    written = Summary({"method": "m"}, {"fidelity": info}, (row,), (), {"fidelity": ("lk v1",)}, failures=(failure,))
    store.write_summary(written)
    assert store.read_summary() == written
    with pytest.raises(ValueError, match="JSON compliant"):
        store.write_summary(replace(written, configuration={"mean": float("inf")}))
    assert store.read_summary() == written


def test_a_wrong_key_is_named_with_its_file_and_line_and_what_came(store: ResultStore) -> None:
    store.append_record(record(1))
    path = store.folder / "records.jsonl"
    good = json.loads(path.read_text())
    for changes, fault in {
        (("seed", "1"),): r"seed must be a valid integer, got '1'",
        (("status", "done"),): r"status must be 'ok' or 'failed', got 'done'",
        (("reason", "tired"),): r"reason must be .*'oom'.*, got 'tired'",
        (("created", None),): r"created must be a valid string, got None",
        (("mood", "good"),): r"unknown key 'mood'; keys are key, run_id",
    }.items():
        path.write_text(json.dumps(good) + "\n" + json.dumps(good | dict(changes)) + "\n")
        with pytest.raises(StoreError, match=rf"records\.jsonl:2: malformed line \({fault}.*\); remove it"):
            store.records()
    (store.folder / "summary.json").write_text('{"schema": 2, "rows": [{"method": 1}], "news": 1}')
    with pytest.raises(StoreError, match=r"summary\.json: malformed \(rows\.0\.method must be .*, got 1\); run"):
        store.read_summary()


def test_comparable_leaves_out_only_what_two_runs_may_differ_in() -> None:
    slow = replace(record(), fit_seconds=9.0, generate_seconds=1.0, peak_memory_bytes=1, created="later", restarts=2)
    assert comparable(slow) == comparable(record())
    assert set(asdict(record())) - set(comparable(record())) == {
        "fit_seconds",
        "generate_seconds",
        "peak_memory_bytes",
        "created",
        "restarts",
    }
    score = Score("k", "m", 1, 0.5, "", {}, 3.0)
    assert comparable_score(score) == comparable_score(replace(score, seconds=4.0))
    assert comparable_score(score) != comparable_score(replace(score, value=0.6))


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Lets os.pwrite write `after` bytes, then fail as a full disk does."""
    left = [after]
    real = os.pwrite

    def pwrite(handle: int, data: bytes, at: int) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(handle, data[: left[0]], at)
        left[0] -= written
        return written

    monkeypatch.setattr(files.os, "pwrite", pwrite)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_full_disk_leaves_no_half_line(store: ResultStore, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    store.append_record(record(1))
    before = (store.folder / "records.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        full_disk(patch, room)
        with pytest.raises(StoreError, match="the disk is full: free space"):
            store.append_record(record(2))
    assert (store.folder / "records.jsonl").read_bytes() == before
    store.append_record(record(2))
    assert len(store.records()) == 2


def test_file_size_limit_leaves_the_old_summary_and_no_rest(store: ResultStore) -> None:
    store.write_summary(Summary())
    code = (
        "import resource, signal, sys\nfrom motionbench.errors import StoreError\n"
        "from motionbench.summary_file import Summary\nfrom motionbench.store import ResultStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    ResultStore(sys.argv[1]).write_summary(Summary({'method': 'x' * 5000}))\n"
        "except StoreError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(store.folder)], capture_output=True, text=True, check=True)
    assert "file-size limit" in done.stdout
    assert store.read_summary() == Summary()
    assert [path.name for path in store.folder.iterdir()] == ["summary.json"]


@pytest.mark.parametrize(
    "action",
    [
        lambda store: store.begin(CONFIGURATION, {}, {}),
        lambda store: store.append_record(record()),
        lambda store: put_video(store, Clip(moving_frames(2, 32, 48), 8.0), "videos/camera/0001/0--s0.mp4"),
        lambda store: store.locked("records").__enter__(),
    ],
    ids=["begin", "append", "video", "lock"],
)
def test_unwritable_folder_is_a_store_error(tmp_path: Path, action: Callable[[ResultStore], Any]) -> None:
    # Root may write anywhere, but nobody can make a folder where a file stands.
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        action(ResultStore(tmp_path / "file" / "results"))


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_read_only_folder_is_a_store_error(store: ResultStore, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*arguments: Any) -> int:
        raise OSError(number, os.strerror(number))

    store.append_record(record(1))
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "open", refuse)
        with pytest.raises(StoreError, match="choose a folder that can be written"):
            store.append_record(record(2))
    assert store.records() == [record(1)]


def append_many(folder: str, start: int) -> None:
    for number in range(start, start + 25):
        ResultStore(folder).append_record(record(number))


def test_processes_that_append_at_once_lose_nothing(store: ResultStore) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=append_many, args=(str(store.folder), 25 * n)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [item.key for item in store.records()] == [record(n).key for n in range(100)]


def test_one_writer_at_a_time_and_one_for_each_shard(store: ResultStore) -> None:
    again = ResultStore(store.folder)
    with store.locked("records"):
        with pytest.raises(StoreError, match=f"is being written by process {os.getpid()} on"), again.locked("records"):
            pass
        with pytest.raises(StoreError, match="is being written"), again.locked("records", (1, 2)):
            pass
        with again.locked("scores"):
            pass
    with store.locked("records", (1, 2)):
        with again.locked("records", (2, 2)):
            pass
        with pytest.raises(StoreError, match="is being written"), again.locked("records", (1, 2)):
            pass
        with pytest.raises(StoreError, match="is being written"), again.locked("records"):
            pass
    with again.locked("records"):
        pass


def test_lock_ends_with_a_killed_process(store: ResultStore) -> None:
    code = (
        "import sys, time\nfrom motionbench.store import ResultStore\n"
        "with ResultStore(sys.argv[1]).locked('records'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(store.folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(StoreError, match=f"process {process.pid} on"), store.locked("records"):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with store.locked("records"):
        pass


def test_line_is_on_disk_when_append_returns(store: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []

    def fsync(handle: int) -> None:
        synced.append(os.pread(handle, 10_000, 0))

    monkeypatch.setattr(files.os, "fsync", fsync)
    store.append_record(record(1))
    assert [json.loads(data)["key"] for data in synced] == [record(1).key]


def test_logging_is_quiet_for_whole_files(store: ResultStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        store.append_record(record(1))
        store.append_record(record(2))
        np.testing.assert_equal(len(store.records()), 2)
    assert not caplog.records
