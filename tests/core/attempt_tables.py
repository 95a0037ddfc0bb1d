"""Records and scores for tests of the summary, made from a plain table."""

from __future__ import annotations

from motionbench.metric import MetricInfo
from motionbench.record import Reason, Record, Score
from motionbench.summary import Attempts, latest_scores, those_to_zero


def make_info(name: str = "fidelity", version: int = 1, better: str = "higher") -> MetricInfo:
    """Facts of a metric."""
    return MetricInfo(name, version, "cosine", (-1.0, 1.0), better, "test", "test")  # type: ignore[arg-type]


def make_record(case_id: str, *, seed: int = 0, method: str = "method", ok: bool = True) -> Record:
    """One attempt; a failed one ran out of memory."""
    return Record(
        key=f"{method}:{case_id}:{seed}",
        run_id="run",
        method=method,
        backbone="tiny",
        config_hash="hash",
        split="mini",
        split_revision="r1",
        case_id=case_id,
        category=case_id.split("/")[0],
        seed=seed,
        status="ok" if ok else "failed",
        reason=None if ok else Reason.OOM,
        error=None if ok else "out of memory",
        video=f"videos/{case_id}--s{seed}.mp4" if ok else None,
        video_sha256="0" * 64 if ok else None,
        fit_seconds=2.0 if ok else None,
        generate_seconds=1.0 if ok else None,
        peak_memory_bytes=100 if ok else None,
        created="2026-01-01T00:00:00+00:00",
    )


def make_attempts(
    values: dict[str, list[float | str | None]], *, method: str = "method", info: MetricInfo | None = None
) -> Attempts:
    """From case id -> a value per seed: None = unmeasurable, "failed" = the attempt failed, "unscored" = no score."""
    info = info or make_info()
    records, scores = [], []
    for case_id, seeds in values.items():
        for seed, value in enumerate(seeds):
            record = make_record(case_id, seed=seed, method=method, ok=value != "failed")
            records.append(record)
            if not isinstance(value, str):
                scores.append(Score(record.key, info.name, info.version, value, "" if value is not None else "static"))
    infos = {info.name: info}
    return Attempts(method, tuple(records), latest_scores(scores, infos), those_to_zero(infos))
