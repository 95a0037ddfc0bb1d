"""One attempt: what limits it in time, and what its failure is called."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from motionbench.errors import MotionBenchError
from motionbench.gpu_memory import next_preset
from motionbench.record import Reason

LONGEST_ERROR = 1000  # characters of an error's text in a record
UNREAD = "the reference could not be read: "  # in the error of an attempt that had no reference to work on


class AttemptTimeout(MotionBenchError, TimeoutError):
    """An attempt took longer than the plan allows."""

    reason = "timeout"


def classify(error: BaseException) -> Reason:
    """The reason that a failed record carries for an error; torch's errors are known by name, without loading torch."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    if isinstance(error, MemoryError) or "OutOfMemoryError" in names:
        return Reason.OOM
    if isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text):
        return Reason.OOM  # torch's CPU allocator and cuBLAS raise a plain RuntimeError
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return Reason.INTERRUPTED
    if isinstance(error, FloatingPointError):
        return Reason.NAN
    if isinstance(error, TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, MotionBenchError) and error.reason in list(Reason):
        return Reason(error.reason)
    return Reason.ERROR


def describe(error: BaseException) -> str:
    """An error's type and text (up to 1,000 characters), and the line that raised it unless on purpose."""
    text = f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
    if isinstance(error, MotionBenchError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} (at {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else text


@dataclass(frozen=True)
class Failure:
    """What a failed record says. It holds no exception: a traceback would keep the attempt's tensors alive.

    peak_bytes: the highest memory use, told only of attempts that ran out of it.
    """

    reason: Reason
    text: str
    peak_bytes: int | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure that an error amounts to."""
        return cls(classify(error), describe(error))


def out_of_memory(failure: Failure, peak_bytes: int, gpu_memory: str, device_bytes: int | None) -> Failure:
    """The failure of an attempt that ran out of memory, with its peak and the preset that would fit.

    gpu_memory: the preset in use; device_bytes: what the device has, None on a CPU.
    """
    preset = next_preset(gpu_memory, device_bytes)
    mend = (
        f"--gpu-memory {preset} needs less"
        if preset
        else "no preset needs less: take a smaller backbone or fewer frames"
    )
    return Failure(failure.reason, f"{failure.text}; peak {peak_bytes / 1e9:.1f} GB; {mend}", peak_bytes)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raises AttemptTimeout inside the block once `seconds` have passed; None = no limit.

    By a timer signal, so it holds in the main thread only, and a call into native code ends first.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise AttemptTimeout(f"expected an end within {seconds:g} s; raise the limit or make the job smaller")

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
