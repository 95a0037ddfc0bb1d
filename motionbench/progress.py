"""Progress bars on stderr for work that lasts; silent where stderr is no terminal."""

from __future__ import annotations

import logging
import sys
import time
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Self

from motionbench.record import Record
from motionbench.terminal import is_terminal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PATIENCE_SECONDS = 1.0  # work that ends sooner shows no bar
CASES = "cases"


@cache
def stderr_console() -> Console:
    """The one console on stderr: bars and log lines share it, so that neither tears the other."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


class LogLines(logging.Handler):
    """Log lines on the shared console, above a running bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one line; warnings and errors carry their level."""
        try:
            level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
            stderr_console().print(level + self.format(record), markup=False)
        except Exception:  # logging must never end a run: the standard library's own rule
            self.handleError(record)


class Bars:
    """A bar for the cases and one below it for the stage at work; the runner's and the scorer's observer.

    A context manager. Nothing is drawn before PATIENCE_SECONDS, nor where stderr is no terminal. Changes no number.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._started = time.monotonic()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._counts: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def planned(self, total: int, done: int) -> None:
        """`total` cases are to be done, of which `done` are there already."""
        self._show(CASES, done, total)

    def counted(self, done: int, total: int) -> None:
        """`done` of `total` are done."""
        self._show(CASES, done, total)

    def stage(self, stage: str, done: int, total: int) -> None:
        """Stage `stage` of the case at work has come to step `done` of `total`."""
        for other in [name for name in self._tasks if name not in (CASES, stage)]:
            self._drop(other)
        self._show(stage, done, total)

    def finished(self, record: Record) -> None:
        """One more case is done."""
        self.advance()

    def advance(self) -> None:
        """One more case or record is done, whatever became of it."""
        for stage in [name for name in self._tasks if name != CASES]:
            self._drop(stage)
        done, total = self._counts.get(CASES, (0, 1))
        self._show(CASES, done + 1, total)

    def _show(self, name: str, done: int, total: int) -> None:
        self._counts[name] = (done, total)
        progress = self._drawn()
        if progress is None:
            return
        for known in (CASES, name):
            if known in self._counts and known not in self._tasks:
                label = self.title if known == CASES else f"  {known}"
                self._tasks[known] = progress.add_task(label, total=None)
        progress.update(self._tasks[name], completed=done, total=max(total, 1))
        if CASES in self._tasks:
            completed, planned = self._counts[CASES]
            progress.update(self._tasks[CASES], completed=completed, total=max(planned, 1))

    def _drop(self, name: str) -> None:
        if self._progress is not None and name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def _drawn(self) -> Progress | None:
        """The live display; None before it is worth showing, or where nobody sees it."""
        waited = time.monotonic() - self._started > PATIENCE_SECONDS
        if self._progress is None and waited and is_terminal(sys.stderr):
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
            from rich.progress import TimeRemainingColumn as Remaining

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                Remaining(),
            )
            self._progress = Progress(*columns, console=stderr_console(), transient=True)
            self._progress.start()
        return self._progress
