"""Progress of the whole: the time left, and what straggles."""

from __future__ import annotations

import logging

import pytest

from motionbench.pace import Pace, seconds_to_text


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_told_once_a_minute_and_each_straggler_once(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    pace = Pace(8, clock)
    assert pace.seconds_left() is None
    with caplog.at_level(logging.INFO):
        for unit in ("a", "b", "c"):
            pace.begin(unit)
        pace.begin("slow")
        for unit in ("a", "b", "c"):
            clock.now += 20
            pace.step()
            pace.end(unit)
            pace.tell()
        assert caplog.messages == ["3 of 8 done, 1 units at work, 100 s left"]  # 60 s for 3 of 8
        clock.now += 59
        pace.tell()
        assert len(caplog.messages) == 1
        clock.now += 30
        pace.tell()
        pace.tell()
    assert caplog.messages[1:] == [
        "slow has taken 149 s by now; half of the others took less than 40 s".replace("149 s", "2 min"),
        "3 of 8 done, 1 units at work, 4 min left",
    ]


def test_lost_unit_is_timed_anew() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    pace.begin("a")
    pace.forget("a")
    clock.now += 500
    pace.begin("a")
    pace.end("a")
    assert pace.seconds == [0.0]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (150, "2 min"), (7199, "2 h 00 min"), (11_100, "3 h 05 min"), (187_200, "2 d 4 h")],
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert seconds_to_text(seconds) == text
