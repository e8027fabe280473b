"""What goes wrong is said once, and once that it is over, however often it comes and goes."""

from __future__ import annotations

import logging

import pytest
from tests.crash.clock import FakeClock

from pykyro.system.alarm import QUIET_S, Alarm

LOG = logging.getLogger("kyrodb.test_alarm")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def alarm(clock: FakeClock) -> Alarm:
    return Alarm(LOG, clock)


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_beginning_and_an_end_are_one_line_each(alarm: Alarm, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        alarm.on("it burns")
    for _ in range(3):
        alarm.off("it is out")
    assert lines(caplog) == [("ERROR", "it burns"), ("WARNING", "it is out")]


def test_an_end_without_a_beginning_is_not_said(alarm: Alarm, caplog: pytest.LogCaptureFixture) -> None:
    alarm.off("it is out")
    assert lines(caplog) == []


def test_what_comes_and_goes_does_not_fill_the_log(
    alarm: Alarm, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        alarm.on("it burns")
        alarm.off("it is out")
        clock.advance(0.05)
    assert lines(caplog) == [("ERROR", "it burns"), ("WARNING", "it is out")]


def test_what_was_kept_back_and_lasts_is_said_with_the_number_of_those_before(
    alarm: Alarm, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        alarm.on("it burns")
        alarm.off("it is out")
    alarm.on("it burns again")
    clock.advance(QUIET_S)
    alarm.on("it burns again")
    alarm.off("it is out")
    assert lines(caplog)[2:] == [
        ("ERROR", "it burns again (4 times more since the last such line)"),
        ("WARNING", "it is out"),
    ]
