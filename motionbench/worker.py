"""The worker: fits a reference, generates its prompts, and says what became of each. It knows no results folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

from motionbench.adapters import Fit, load_fit, save_fit
from motionbench.attempt import UNREAD, Failure, out_of_memory, time_limit
from motionbench.case import Case
from motionbench.clip import Clip
from motionbench.cpu_threads import cpu_threads
from motionbench.device import PeakMemory, device_memory, free_memory
from motionbench.errors import MotionBenchError, PluginError, StoreError, VideoError
from motionbench.fallbacks import execution
from motionbench.files import hash_json, scratch_folder
from motionbench.gpu_memory import next_preset
from motionbench.job import Job
from motionbench.method import Runtime, report_nothing
from motionbench.outcome import Files, Order, Outcome
from motionbench.plan import config_to_json
from motionbench.record import Reason, Record, now, video_path
from motionbench.seeds import derive_seed
from motionbench.video import encode_clip

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]


class Worker:
    """Works on orders one after the other, with one method instance."""

    def __init__(
        self, job: Job, run_id: str, report: Report = report_nothing, methods: MethodCache | None = None
    ) -> None:
        self.job = job
        self.run_id = run_id
        self.report = report
        self.methods = MethodCache() if methods is None else methods
        self.memory = PeakMemory(job.device)

    def work(self, order: Order) -> Iterator[Outcome]:
        """What becomes of the fit and of all cases of an order, each as soon as it is known.

        With `retry_oom`, what runs out of memory is begun again within the next memory preset, which then stands.
        Raises MotionBenchError if the method cannot be built, StoreError if the folder for temporary files is full.
        """
        again: Order | None = order
        while again is not None:
            order, again = again, None
            for outcome in self._work(order):
                if outcome.adapter is not None:
                    order = replace(order, adapter=outcome.adapter)
                if outcome.record is not None and self._takes_less_memory(outcome.record):
                    again = order.from_case(outcome.record.case_id)
                    break
                yield outcome

    def _work(self, order: Order) -> Iterator[Outcome]:
        try:
            method = self.methods.get(self.job, self.report)
        except MotionBenchError:
            raise  # weights missing, a wrong setting: the command's fault, no attempt was made
        except Exception as error:
            failure, seconds = self._failure(error), None
        else:
            with scratch_folder() as scratch:
                start = perf_counter()
                try:
                    adapter, fit, files = self._fit(method, order, scratch)
                except StoreError:
                    raise
                except Exception as error:
                    logger.debug("fit of %s failed", order.unit.reference_id, exc_info=True)
                    failure, seconds = self._failure(error), perf_counter() - start
                else:
                    if files is not None:
                        yield Outcome(order.unit.reference_id, order.unit.seed, adapter=files)
                    for case in order.unit.cases:
                        yield self._generate(method, adapter, fit, order, case)
                    return
        free_memory()
        yield from failed_outcomes(self.job, self.run_id, order, failure, seconds)

    def _takes_less_memory(self, record: Record) -> bool:
        """Goes over to the next memory preset if an attempt wants that and there is one; whether it did."""
        if record.reason is not Reason.OOM or not self.job.plan.retry_oom:
            return False
        preset = next_preset(self.job.plan.gpu_memory, device_memory(self.job.device))
        if preset is None:
            return False
        logger.warning("%s seed %d: out of memory; again with --gpu-memory %s", record.case_id, record.seed, preset)
        self.job = replace(self.job, plan=replace(self.job.plan, gpu_memory=preset))
        self.methods.clear()
        free_memory()
        return True

    def _failure(self, error: Exception) -> Failure:
        """The failure, and for want of memory: how much was in use, and which preset to try."""
        failure = Failure.of(error)
        if failure.reason is not Reason.OOM:
            return failure
        return out_of_memory(failure, self.memory.read(), self.job.plan.gpu_memory, device_memory(self.job.device))

    def _fit(self, method: Any, order: Order, scratch: Path) -> tuple[Any, Fit, Files | None]:
        """The adapter, what its fit cost, and its files if they are new and to be kept."""
        unit, case = order.unit, order.unit.cases[0]
        kept = None if order.adapter is None else load_fit(method, scratch / "kept", order.adapter)
        if kept is not None:
            return *kept, None
        try:
            reference = self.job.split.read_reference(case)
        except VideoError as error:
            raise VideoError(f"{UNREAD}{error}") from error
        self.memory.start()
        start = perf_counter()
        with cpu_threads(self.job.threads), time_limit(self.job.plan.timeout_seconds):
            adapter = method.fit(reference, case.caption, seed=derive_seed(unit.seed, unit.reference_id, "fit"))
        fit = Fit(fit_key(self.job, case, unit.seed), perf_counter() - start, self.memory.read())
        if not self.job.keeps_adapters:
            return adapter, fit, None
        adapter, files = save_fit(method, adapter, scratch / "adapter", fit)
        return adapter, fit, files

    def _generate(self, method: Any, adapter: Any, fit: Fit, order: Order, case: Case) -> Outcome:
        unit = order.unit
        self.memory.start()
        start = perf_counter()
        try:
            seed = derive_seed(unit.seed, case.id, "generate")
            with cpu_threads(self.job.threads), time_limit(self.job.plan.timeout_seconds):
                clip = method.generate(adapter, case.prompt, seed=seed, **case_input(self.job, case))
            seconds = perf_counter() - start
            if not isinstance(clip, Clip):
                raise PluginError(f"generate must return a Clip, got {type(clip).__name__}")
            video = encode_clip(clip.even())  # `copy` and `frozen` have the reference's own size
        except Exception as error:
            logger.debug("generation of %s failed", case.id, exc_info=True)
            failure = self._failure(error)
        else:
            record = replace(
                blank_record(self.job, self.run_id, order, case),
                video=video_path(case.id, unit.seed),
                video_sha256=sha256(video).hexdigest(),
                fit_seconds=fit.seconds,
                generate_seconds=seconds,
                peak_memory_bytes=max(fit.peak_memory_bytes, self.memory.read()),
            )
            return Outcome(unit.reference_id, unit.seed, video=video, record=record, execution=execution())
        free_memory()  # only here, when the error and the frames that it holds are gone
        return failed_outcome(self.job, self.run_id, order, case, failure, fit.seconds)


def failed_outcomes(
    job: Job, run_id: str, order: Order, failure: Failure, fit_seconds: float | None = None
) -> Iterator[Outcome]:
    """All cases of an order as failed attempts."""
    for case in order.unit.cases:
        yield failed_outcome(job, run_id, order, case, failure, fit_seconds)


def failed_outcome(
    job: Job, run_id: str, order: Order, case: Case, failure: Failure, fit_seconds: float | None
) -> Outcome:
    """One case as a failed attempt."""
    record = replace(
        blank_record(job, run_id, order, case),
        status="failed",
        reason=failure.reason,
        error=failure.text,
        fit_seconds=fit_seconds,
        peak_memory_bytes=failure.peak_bytes,
    )
    return Outcome(order.unit.reference_id, order.unit.seed, record=record)


def blank_record(job: Job, run_id: str, order: Order, case: Case) -> Record:
    """The record of an attempt that went well, without its video and what it cost."""
    return Record(
        key=job.key(case, order.unit.seed),
        run_id=run_id,
        method=job.plan.method,
        backbone=job.backbone,
        config_hash=job.config_hash,
        split=job.split.name,
        split_revision=job.split.revision,
        case_id=case.id,
        category=case.category.value,
        seed=order.unit.seed,
        status="ok",
        reason=None,
        error=None,
        video=None,
        video_sha256=None,
        fit_seconds=None,
        generate_seconds=None,
        peak_memory_bytes=None,
        created=now(),
        restarts=order.restarts,
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


class MethodCache:
    """The method of a job, made once; one at a time is kept, so that the next has room for its weights."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def get(self, job: Job, report: Report) -> Any:
        """The method, as `create_method` makes it."""
        key = hash_json([job.configuration, config_to_json(job.plan.config), job.plan.gpu_memory])
        if key not in self._made:
            self.clear()
            self._made[key] = create_method(job, report)
        return self._made[key]

    def clear(self) -> None:
        """Forgets it."""
        self._made.clear()
