"""The worker: fits a reference, generates its prompts, and writes every attempt down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, Protocol

from motionbench.adapters import Fit, keep_fit, load_fit
from motionbench.attempt import UNREAD, Failure, out_of_memory, time_limit
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.cpu_threads import cpu_threads
from motionbench.device import PeakMemory, device_memory, free_memory
from motionbench.errors import MotionBenchError, PluginError, StoreError, VideoError
from motionbench.fallbacks import execution
from motionbench.files import hash_json
from motionbench.method import Runtime
from motionbench.plan import Job, Unit
from motionbench.record import Reason, Record
from motionbench.seeds import derive_seed
from motionbench.store import ResultStore, now

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]


class Observer(Protocol):
    """Who watches a run; nothing it does changes a number."""

    def planned(self, total: int, done: int) -> None:
        """There are `total` attempts to be on record, and `done` of them are."""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Within the attempt under way, a stage got to step `done` of `total`."""

    def finished(self, record: Record) -> None:
        """An attempt is on record."""


class SilentObserver:
    """An observer that looks away."""

    def planned(self, total: int, done: int) -> None:
        """Nothing."""

    def stage(self, stage: str, done: int, total: int) -> None:
        """Nothing."""

    def finished(self, record: Record) -> None:
        """Nothing."""


class Worker:
    """Works on units one after the other, with one method instance."""

    def __init__(
        self,
        job: Job,
        store: ResultStore,
        run_id: str,
        observer: Observer,
        make_method: Callable[[Job, Report], Any] | None = None,
    ) -> None:
        self.job = job
        self.store = store
        self.run_id = run_id
        self.observer = observer
        self.make_method = make_method or create_method
        self.memory = PeakMemory(job.device)

    def work(self, units: Iterable[Unit]) -> list[Record]:
        """Puts all cases of the units on record. Raises MotionBenchError if the method cannot be built, StoreError."""
        units = list(units)
        try:
            method = self.make_method(self.job, self.observer.stage)
        except MotionBenchError:
            raise  # weights missing, a wrong setting: the command's fault, no attempt was made
        except Exception as error:
            failure = Failure.of(error)
        else:
            with cpu_threads(self.job.threads):
                records = [record for unit in units for record in self._work_on(method, unit)]
            self.store.note_execution(execution())
            return records
        return [record for unit in units for record in self.fail(unit, failure)]

    def _work_on(self, method: Any, unit: Unit) -> list[Record]:
        """The records of a unit's cases, each on disk."""
        start = perf_counter()
        try:
            adapter, fit = self._fit(method, unit)
        except StoreError:
            raise
        except Exception as error:
            logger.debug("fit of %s failed", unit.reference_id, exc_info=True)
            failure = self._failure(error)
        else:
            return [self._generate(method, adapter, fit, unit, case) for case in unit.cases]
        return self.fail(unit, failure, perf_counter() - start)

    def _failure(self, error: Exception) -> Failure:
        """The failure, and for want of memory: how much was in use, and which preset to try."""
        failure = Failure.of(error)
        if failure.reason is not Reason.OOM:
            return failure
        return out_of_memory(failure, self.memory.read(), self.job.plan.gpu_memory, device_memory(self.job.device))

    def fail(self, unit: Unit, failure: Failure, fit_seconds: float | None = None) -> list[Record]:
        """Puts all cases of a unit on record as failed."""
        free_memory()
        return [
            self._put(self._record(case, unit.seed, failure=failure, fit_seconds=fit_seconds, peak=failure.peak_bytes))
            for case in unit.cases
        ]

    def _fit(self, method: Any, unit: Unit) -> tuple[Any, Fit]:
        case = unit.cases[0]
        folder = self.store.adapter_folder(unit.reference_id, unit.seed)
        key = fit_key(self.job, case, unit.seed)
        # What works on pixels has nothing to learn; its adapter would be a copy of the reference.
        keep = self.job.plan.keep_adapters and self.job.method_class.contract.uses_backbone
        kept = load_fit(method, folder, key) if keep else None
        if kept is not None:
            return kept
        try:
            reference = self.job.split.read_reference(case)
        except VideoError as error:
            raise VideoError(f"{UNREAD}{error}") from error
        self.memory.start()
        start = perf_counter()
        with time_limit(self.job.plan.timeout_seconds):
            adapter = method.fit(reference, case.caption, seed=derive_seed(unit.seed, unit.reference_id, "fit"))
        fit = Fit(key, perf_counter() - start, self.memory.read())
        return (keep_fit(method, adapter, folder, fit) if keep else adapter), fit

    def _generate(self, method: Any, adapter: Any, fit: Fit, unit: Unit, case: Case) -> Record:
        self.memory.start()
        start = perf_counter()
        try:
            with time_limit(self.job.plan.timeout_seconds):
                seed = derive_seed(unit.seed, case.id, "generate")
                clip = method.generate(adapter, case.prompt, seed=seed, **case_input(self.job, case))
            seconds = perf_counter() - start
            if not isinstance(clip, Clip):
                raise PluginError(f"generate must return a Clip, got {type(clip).__name__}")
            video, digest = self.store.write_video(case.id, unit.seed, clip)
        except StoreError:
            raise
        except Exception as error:
            logger.debug("generation of %s failed", case.id, exc_info=True)
            failure = self._failure(error)
            record = self._record(case, unit.seed, failure=failure, fit_seconds=fit.seconds, peak=failure.peak_bytes)
        else:
            record = self._record(
                case,
                unit.seed,
                video=(video, digest),
                fit_seconds=fit.seconds,
                generate_seconds=seconds,
                peak=max(fit.peak_memory_bytes, self.memory.read()),
            )
        if record.status == "failed":
            free_memory()  # only here, when the error and the frames that it holds are gone
        return self._put(record)

    def _put(self, record: Record) -> Record:
        self.store.append_record(record)
        if record.status == "ok":
            logger.info("%s seed %d: ok", record.case_id, record.seed)
        else:
            logger.warning("%s seed %d: failed (%s) %s", record.case_id, record.seed, record.reason, record.error)
        self.observer.finished(record)
        return record

    def _record(
        self,
        case: Case,
        seed: int,
        *,
        failure: Failure | None = None,
        video: tuple[str, str] | None = None,
        fit_seconds: float | None = None,
        generate_seconds: float | None = None,
        peak: int | None = None,
    ) -> Record:
        job = self.job
        return Record(
            key=job.key(case, seed),
            run_id=self.run_id,
            method=job.plan.method,
            backbone=job.backbone,
            config_hash=job.config_hash,
            split=job.split.name,
            split_revision=job.split.revision,
            case_id=case.id,
            category=case.category.value,
            seed=seed,
            status="failed" if failure else "ok",
            reason=failure.reason if failure else None,
            error=failure.text if failure else None,
            video=video[0] if video else None,
            video_sha256=video[1] if video else None,
            fit_seconds=fit_seconds,
            generate_seconds=generate_seconds,
            peak_memory_bytes=peak,
            created=now(),
        )


def case_input(job: Job, case: Case) -> dict[str, Case]:
    """What `generate` gets beside prompt and seed: the case, if the method's contract names it among its inputs."""
    return {"case": case} if "case" in job.method_class.contract.extra_inputs else {}


def create_method(job: Job, report: Report) -> Any:
    """The method of a job, ready to work. Raises what the method raises."""
    plan = job.plan
    runtime = Runtime(plan.backbone, device=job.device, dtype=plan.dtype, report=report, gpu_memory=plan.gpu_memory)
    return job.method_class.create(job.plan.config, runtime)


def fit_key(job: Job, case: Case, seed: int) -> str:
    """16 hex digits of all that determines a fit: the prompt does not."""
    made_by = {k: v for k, v in job.configuration.items() if k not in ("split", "split_revision")}
    return hash_json(
        {"by": made_by, "reference": case.reference_id, "sha256": case.sha256, "caption": case.caption, "seed": seed}
    )


METHODS: dict[str, Any] = {}  # of this process; one is kept for the next unit that comes here


def kept_method(job: Job, report: Report) -> Any:
    """The method of a job, made once in a process."""
    key = hash_json(job.configuration)
    if key not in METHODS:
        METHODS.clear()  # room for the new one's weights
        METHODS[key] = create_method(job, report)
    return METHODS[key]
