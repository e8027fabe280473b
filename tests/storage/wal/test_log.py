"""Durability policies, rotation, bounds and the clean stop."""

from __future__ import annotations

import errno

import pytest
from tests.crash.disk import AllKept, AllLost
from tests.crash.fault_filesystem import Fault, FaultFS
from tests.storage.opening import DATA, open_log, put

from pykyro.model.errors import WriteFailed
from pykyro.storage.manifest import read_manifest
from pykyro.storage.wal import log as log_module
from pykyro.storage.wal.log import LogOptions, SyncPolicy
from pykyro.storage.wal.reader import End, read_segment

INTERVAL = LogOptions(interval_ms=100)
NEVER = LogOptions(policy=SyncPolicy.NONE)


def calls_since(disk: FaultFS, start: int) -> list[str]:
    return [call.name for call in disk.calls[start:]]


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (LogOptions(), ["write", "sync"]),
        (LogOptions(policy=SyncPolicy.FULL), ["write", "sync"]),
        (LogOptions(policy=SyncPolicy.FULL, interval_ms=100), ["write", "sync"]),
        (INTERVAL, ["write"]),
        (NEVER, ["write"]),
    ],
)
def test_what_a_policy_asks_of_the_disk_for_one_group(options: LogOptions, calls: list[str]) -> None:
    disk = FaultFS()
    log = open_log(disk, options=options).log
    start = len(disk.calls)
    assert log.append([put(1), put(2)]) == [1, 2]
    assert calls_since(disk, start) == calls
    durable = open_log(disk.crash(AllLost())).contents
    assert durable == ([put(1), put(2)] if "sync" in calls else [])


def test_sync_makes_everything_accepted_durable_and_is_free_when_there_is_nothing_to_do() -> None:
    disk = FaultFS()
    log = open_log(disk, options=INTERVAL).log
    log.append([put(1)])
    log.append([put(2)])
    assert log.unsynced_frames == 2
    log.sync()
    assert log.unsynced_frames == 0
    start = len(disk.calls)
    log.sync()
    assert calls_since(disk, start) == []
    assert open_log(disk.crash(AllLost())).contents == [put(1), put(2)]


@pytest.mark.parametrize("options", [INTERVAL, NEVER])
def test_unsynced_frames_are_bounded_in_memory(monkeypatch: pytest.MonkeyPatch, options: LogOptions) -> None:
    monkeypatch.setattr(log_module, "UNSYNCED_BYTES_MAX", 3 * len(put(1)))
    disk = FaultFS()
    log = open_log(disk, options=options).log
    for doc_id in (1, 2, 3):
        log.append([put(doc_id)])
    assert log.unsynced_frames == 3
    log.append([put(4)])
    assert log.unsynced_frames == 0
    assert len(open_log(disk.crash(AllLost())).contents) == 4


def test_rotation_seals_and_names_the_next_segment() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1)])
    assert opened.log.rotate() == 2  # the seal has a position of its own
    assert opened.log.segment_empty
    assert opened.log.append([put(2)]) == [3]
    closed, last = read_manifest(disk, DATA).wal
    assert (closed.last_lsn, last.base_lsn, last.last_lsn) == (2, 3, None)
    contents = read_segment(disk.read(DATA / closed.name), DATA / closed.name, end_offset=closed.end_offset)
    assert contents.end is End.SEALED


def test_rotation_syncs_whatever_the_policy() -> None:
    disk = FaultFS()
    log = open_log(disk, options=NEVER).log
    log.append([put(1)])
    log.rotate()
    assert log.unsynced_frames == 0
    assert open_log(disk.crash(AllLost())).contents == [put(1)]


def test_segment_is_rotated_once_it_is_long_enough() -> None:
    disk = FaultFS()
    opened = open_log(disk, options=LogOptions(segment_bytes_max=400))
    for doc_id in range(1, 20):
        opened.log.append([put(doc_id)])
    sizes = [entry.end_offset for entry in opened.recovery.manifest.wal[:-1]]
    assert len(sizes) > 3
    assert all(size is not None and 400 <= size < 800 for size in sizes)
    assert len(open_log(disk.crash(AllLost())).contents) == 19


def test_rotation_that_fails_does_not_take_back_the_write_that_was_due_for_it() -> None:
    disk = FaultFS()
    opened = open_log(disk, options=LogOptions(segment_bytes_max=200))
    disk.faults = [Fault(len(disk.calls), "error", calls=frozenset({"create"}), lasting=True)]
    assert opened.log.append([put(1), put(2), put(3)]) == [1, 2, 3]
    assert not opened.log.breaker.closed
    assert len(open_log(disk.crash(AllLost())).contents) == 3


def test_failed_append_is_refused_as_a_whole_and_named() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    disk.faults = [Fault(len(disk.calls), "error", errno.ENOSPC)]
    with pytest.raises(WriteFailed, match=r"Disk full.*No space left") as caught:
        opened.log.append([put(1), put(2)])
    assert caught.value.path.name == opened.recovery.manifest.wal[-1].name
    assert opened.log.position == 0
    assert (opened.log.breaker.failures, opened.log.breaker.disk_full_failures) == (1, 1)


def test_clean_stop_seals_and_the_next_start_copies_nothing() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1)])
    opened.close()
    (entry,) = read_manifest(disk, DATA).wal
    assert entry.last_lsn == 2
    start = len(disk.calls)
    again = open_log(disk)
    created = [
        str(call) for call in disk.calls[start:] if call.name == "create" and call.path.suffix == ".wal"
    ]
    assert (len(created), again.contents) == (1, [put(1)])


def test_clean_stop_syncs_what_an_interval_left_behind() -> None:
    disk = FaultFS()
    opened = open_log(disk, options=INTERVAL)
    opened.log.append([put(1)])
    opened.close()
    assert open_log(disk.crash(AllLost())).contents == [put(1)]


def test_clean_stop_of_a_failing_disk_says_so() -> None:
    disk = FaultFS()
    opened = open_log(disk, options=INTERVAL)
    opened.log.append([put(1)])
    disk.faults = [Fault(0, "error", lasting=True)]
    with pytest.raises(WriteFailed):
        opened.close()
    disk.heal()
    assert open_log(disk).contents == [put(1)]  # the process died, the page cache lives


def test_counters_count() -> None:
    disk = FaultFS()
    opened = open_log(disk)
    opened.log.append([put(1), put(2)])
    opened.log.append([put(3)])
    size = disk.size(DATA / opened.recovery.manifest.wal[-1].name)
    assert (opened.log.writes, opened.log.syncs, opened.log.bytes_written) == (3, 2, size - 64)
    assert len(open_log(disk.crash(AllKept())).contents) == 3
