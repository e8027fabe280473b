"""The circuit breaker alone, and together with the log that proves the ground for it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from tests.crash.clock import FakeClock
from tests.crash.disk import AllLost
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.storage.opening import DATA, OpenLog, open_log, put

from pykyro.model.errors import Unavailable, WriteFailed
from pykyro.storage.wal.breaker import COOLDOWN_S, Breaker, BreakerState
from pykyro.storage.wal.log import LogOptions

EIO = OSError(errno.EIO, "Input/output error")


def test_breaker_opens_waits_and_closes() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    assert (breaker.closed, breaker.seconds_to_probe) == (True, 0)
    breaker.trip(EIO, "write to the log")
    assert (breaker.state, breaker.seconds_to_probe) == (BreakerState.OPEN, COOLDOWN_S)
    assert breaker.reason == "write to the log: Input/output error"
    clock.advance(COOLDOWN_S - 1)
    assert breaker.seconds_to_probe == 1
    clock.advance(5)
    assert breaker.seconds_to_probe == 0
    breaker.begin_probe()
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.trip(EIO, "probe")
    assert breaker.seconds_to_probe == COOLDOWN_S
    breaker.close()
    assert (breaker.closed, breaker.reason, breaker.failures) == (True, "", 2)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_named_and_counted(code: int) -> None:
    breaker = Breaker(FakeClock())
    breaker.trip(OSError(code, "x"), "write to the log")
    assert breaker.reason.startswith("Disk full - circuit breaker opened")
    assert breaker.disk_full_failures == 1
    breaker.trip(EIO, "probe")
    assert breaker.disk_full_failures == 1


def test_wall_clock_steps_do_not_shorten_the_cooldown() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    breaker.trip(EIO, "x")
    clock.step_wall(3600)
    assert breaker.seconds_to_probe == COOLDOWN_S


def test_it_says_once_that_writes_are_refused_why_and_what_to_do_and_once_that_they_are_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = FakeClock()
    breaker = Breaker(clock, cooldown_s=1)
    for _ in range(130):
        breaker.trip(EIO, "write to the log")
        clock.advance(1)
        breaker.begin_probe()
    breaker.close()
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in lines] == ["ERROR", "WARNING", "WARNING", "WARNING"]
    for words in (
        "writes are refused",
        "write to the log: Input/output error",
        "Mend the disk",
        "no restart",
    ):
        assert words in lines[0][1]
    assert lines[1][1].startswith("writes are still refused: write to the log: Input/output error")
    assert lines[3][1].startswith("writes are accepted again")


# --- with the log ---------------------------------------------------------------------------------


def failing(disk: FaultFS, name: str, code: int = errno.EIO) -> None:
    disk.faults = [Fault(0, "error", code, lasting=True, calls=frozenset({name}))]


def opened(disk: FaultFS, clock: FakeClock, interval_ms: int = 0) -> OpenLog:
    log = open_log(disk, clock=clock, options=LogOptions(interval_ms=interval_ms))
    log.log.append([put(1)])
    return log


@pytest.mark.parametrize("name", ["write", "sync"])
def test_first_failure_opens_and_nothing_is_written_until_the_cooldown_is_over(name: str) -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock).log
    failing(disk, name)
    with pytest.raises(WriteFailed, match="refused until the disk is proved good"):
        log.append([put(2)])
    disk.heal()
    start = len(disk.calls)
    clock.advance(COOLDOWN_S - 1)
    with pytest.raises(Unavailable, match=r"circuit breaker is open .* the next try is in 1 s"):
        log.append([put(3)])
    with pytest.raises(Unavailable):
        log.rotate()
    log.sync()
    assert len(disk.calls) == start


@pytest.mark.parametrize("name", ["create", "write", "sync", "replace", "sync_directory"])
def test_rotation_that_fails_at_any_call_opens(name: str) -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock).log
    failing(disk, name)
    with pytest.raises(WriteFailed):
        log.rotate()
    assert log.breaker.state is BreakerState.OPEN
    disk.heal()
    clock.advance(COOLDOWN_S)
    log.append([put(2)])
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(2)]


def test_probe_moves_to_a_new_segment_and_never_touches_the_failed_one() -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock)
    failed = log.recovery.manifest.wal[-1].name
    failing(disk, "sync")
    with pytest.raises(WriteFailed):
        log.log.append([put(2)])
    disk.heal()
    clock.advance(COOLDOWN_S)
    start = len(disk.calls)
    log.log.append([put(3)])
    assert [call for call in disk.calls[start:] if call.path.name == failed] == []
    closed, last = log.recovery.manifest.wal
    assert (closed.name, closed.last_lsn) == (failed, 1)
    assert last.base_lsn == 2
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(3)]


@pytest.mark.parametrize("name", ["create", "write", "sync", "sync_directory", "read", "replace"])
def test_probe_that_fails_at_any_call_waits_another_cooldown(name: str) -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock).log
    failing(disk, "write")
    with pytest.raises(WriteFailed):
        log.append([put(2)])
    failing(disk, name)
    clock.advance(COOLDOWN_S)
    with pytest.raises(Unavailable, match="probe of the disk"):
        log.append([put(3)])
    assert (log.breaker.state, log.breaker.seconds_to_probe) == (BreakerState.OPEN, COOLDOWN_S)
    disk.heal()
    clock.advance(COOLDOWN_S)
    log.append([put(4)])
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(4)]


def test_frames_acknowledged_before_their_sync_are_written_again_from_memory() -> None:
    """The fsync that failed dropped them; the next one of the same file would have said OK."""
    lost_on_disk = 0
    for seed in range(12):
        disk, clock = FaultFS(seed=seed), FakeClock()
        log = opened(disk, clock, interval_ms=100).log
        for doc_id in (2, 3, 4):
            log.append([put(doc_id, text="x" * 600)])
        failing(disk, "sync")
        with pytest.raises(WriteFailed, match="sync of the log"):
            log.sync()
        disk.heal()
        everything = [put(1), *(put(doc_id, text="x" * 600) for doc_id in (2, 3, 4))]
        lost_on_disk += open_log(disk.crash(AllLost())).contents != everything
        clock.advance(COOLDOWN_S)
        log.probe()
        assert log.breaker.closed
        assert log.unsynced_frames == 0
        assert open_log(disk.crash(AllLost())).contents == everything
    assert lost_on_disk > 0


def test_clean_stop_probes_at_once() -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock, interval_ms=100)
    failing(disk, "sync")
    with pytest.raises(WriteFailed):
        log.log.sync()
    disk.heal()
    log.close()
    assert open_log(disk.crash(AllLost())).contents == [put(1)]


@pytest.mark.parametrize(
    "action", [lambda log: log.append([put(2)]), lambda log: log.rotate()], ids=["append", "rotate"]
)
def test_reason_of_the_first_failure_is_what_later_writers_are_told(
    action: Callable[[object], object],
) -> None:
    disk, clock = FaultFS(), FakeClock()
    log = opened(disk, clock).log
    log.breaker.trip(EIO, "sealing")
    with pytest.raises(Unavailable, match="sealing: Input/output error"):
        action(log)
    assert disk.exists(DATA)
