"""Each change of health and readiness is a line of the log; what changes all the time does not fill it."""

from __future__ import annotations

import pytest
from tests.crash.clock import FakeClock

from pykyro.server.health_log import HealthLog
from pykyro.telemetry.health import Findings, Phase

DISK = "Disk full - circuit breaker opened: write to the log: No space left on device"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def told(
    clock: FakeClock, caplog: pytest.LogCaptureFixture, *findings: Findings, requires_writes: bool = False
) -> list[tuple[str, str]]:
    """The lines of a look at each of the findings, a second apart."""
    log = HealthLog(requires_writes=requires_writes, monotonic_s=clock.monotonic_s)
    for found in findings:
        log.look(found)
        clock.advance(1)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "pykyro.server.health_log")


def serving(**found: object) -> Findings:
    return Findings(Phase.SERVING, **found)  # type: ignore[arg-type]


def test_a_life_with_a_full_disk(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    starting, stopping = Findings(Phase.STARTING), Findings(Phase.DRAINING)
    refusing = serving(refusing_writes=DISK)
    after = serving(warnings=["1 failed WAL writes observed"])
    assert told(clock, caplog, starting, serving(), refusing, refusing, after, stopping) == [
        ("INFO", "health: starting -> healthy"),
        ("INFO", "readiness: not_ready -> ready"),
        ("ERROR", f"health: healthy -> unhealthy: {DISK}"),
        ("WARNING", f"readiness: ready -> read_only: {DISK}"),
        ("WARNING", "health: unhealthy -> degraded: 1 failed WAL writes observed"),
        ("INFO", "readiness: read_only -> ready"),
        ("INFO", "health: still degraded: shutting down"),
        ("INFO", "readiness: ready -> not_ready: draining"),
    ]


def test_readiness_that_needs_writes(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    lines = told(clock, caplog, serving(), serving(refusing_writes=DISK), requires_writes=True)
    assert lines[-1] == ("WARNING", f"readiness: ready -> not_ready: {DISK}")


def test_a_loop_that_stands_still(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    stalls = [serving(stalled=f"the event loop has not moved for {seconds} s") for seconds in (31, 32, 33)]
    lines = told(clock, caplog, serving(), *stalls)
    assert lines[2:] == [
        ("ERROR", "health: healthy -> unhealthy: the event loop has not moved for 31 s"),
        ("WARNING", "readiness: ready -> not_ready: the event loop has not moved for 31 s"),
    ]


def test_another_reason_is_a_line_and_other_figures_are_none(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow = [f"P99 latency {figure} ms exceeds SLO of 10 ms" for figure in ("11.02", "1,250.4")]
    found = [
        serving(warnings=[slow[0]]),
        serving(warnings=[slow[1]]),
        serving(warnings=[slow[1], "disk space low"]),
    ]
    assert [line for _, line in told(clock, caplog, serving(), *found)][2:] == [
        f"health: healthy -> degraded: {slow[0]}",
        f"health: still degraded: {slow[1]}; disk space low",
    ]


def test_what_comes_and_goes_is_told_at_a_bounded_pace_and_its_end_always(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    flapping = [serving(warnings=["slow"] if second % 2 else []) for second in range(3600)]
    lines = told(clock, caplog, *flapping, *[serving(warnings=["slow"])] * 121)
    assert len(lines) < 80
    assert lines[-1][1].endswith("degraded: slow")
