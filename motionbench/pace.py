"""How a run comes on: a line a minute on the whole and the time left, a word on what takes far longer than the rest.

Clocks here only run forwards (`time.monotonic`): a change of the date moves nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from statistics import median

logger = logging.getLogger(__name__)

TELL_EVERY = 60.0  # seconds between two lines on the whole
STRAGGLING = 3.0  # times the median of the units that are done
STRAGGLING_SECONDS = 60.0  # what takes less never straggles
LEAST_DONE = 3  # units, before their median says anything


class Pace:
    """Counts the parts of a run and times its units. parts: attempts, or records to be scored."""

    def __init__(self, parts: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.parts, self.done = parts, 0
        self._clock = clock
        self._start = self._reported_at = clock()
        self._begun: dict[str, float] = {}
        self.seconds: list[float] = []
        self._late: set[str] = set()

    def begin(self, unit: str) -> None:
        """A worker has begun with a unit."""
        self._begun[unit] = self._clock()

    def step(self) -> None:
        """One more part is done."""
        self.done += 1

    def end(self, unit: str) -> None:
        """All of a unit is done."""
        self.seconds.append(self._clock() - self._begun.pop(unit))
        self._late.discard(unit)

    def forget(self, unit: str) -> None:
        """A unit's worker was lost."""
        self._begun.pop(unit, None)
        self._late.discard(unit)

    def seconds_left(self) -> float | None:
        """At the rate until now; None before anything is done."""
        return None if not self.done else (self._clock() - self._start) / self.done * (self.parts - self.done)

    def tell(self) -> None:
        """Logs what is due: units that straggle, each once, and the whole once a minute."""
        now = self._clock()
        usual = median(self.seconds) if len(self.seconds) >= LEAST_DONE else None
        for unit, begun in self._begun.items():
            if (
                usual is not None
                and unit not in self._late
                and now - begun > max(STRAGGLING * usual, STRAGGLING_SECONDS)
            ):
                self._late.add(unit)
                taken, median_ = seconds_to_text(now - begun), seconds_to_text(usual)
                logger.warning("%s has taken %s by now; half of the others took less than %s", unit, taken, median_)
        if now - self._reported_at >= TELL_EVERY:
            self._reported_at = now
            left = self.seconds_left()
            rest = "" if left is None else f", {seconds_to_text(left)} left"
            logger.info("%d of %d done, %d units at work%s", self.done, self.parts, len(self._begun), rest)


def seconds_to_text(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
