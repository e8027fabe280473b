"""The WAL circuit breaker end to end: a real server, a disk that really refuses, and the way back.

Each time: the write that meets the fault fails and says why; later ones are refused; reads go on; /health is 503
with the reason; the metric goes 0 → 1 → 2 → 0; what was acknowledged is there, also after a restart.
"""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

from tests.operations.faults import (
    ext4_disk,
    fill,
    injected,
    lift_file_size_limit,
    limit_file_size,
    small_disk,
)
from tests.operations.observed import DIMENSION, found, get, health, insert, metric, stored, try_insert
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

COOLDOWN_S = 1
SETTINGS: dict[str, Any] = {
    "hnsw__dimension": DIMENSION,
    "persistence__wal_breaker_cooldown_secs": COOLDOWN_S,
}


def breaker(server: RunningServer) -> float:
    return metric(server, "wal_circuit_breaker_state")


def assert_closed_again(server: RunningServer, acknowledged: set[int]) -> set[int]:
    """The breaker closes by itself, then writes are accepted; everything acknowledged by then."""
    wait_until(lambda: breaker(server) == 0, "the breaker closes")
    # The watch of the free space refuses documents by itself, and may see the room later than the breaker.
    wait_until(lambda: metric(server, "writes_refused") == 0, "the watch sees the room")
    insert(server, 1000)
    status, body = health(server)
    assert (status, body["status"]) == (200, "degraded")
    assert "failed WAL writes observed" in body["reason"]
    assert json.loads(get(server, "/ready")[1]) == {"ready": True, "status": "ready"}
    assert metric(server, "writes_refused") == 0
    assert set(found(server)) == acknowledged | {1000}
    return acknowledged | {1000}


def assert_opened(server: RunningServer) -> None:
    """It is open, but for the moments in which the disk is tried again."""
    wait_until(lambda: breaker(server) == 1, "the breaker is open")


def assert_refusing(server: RunningServer, reason: str, acknowledged: set[int]) -> None:
    outcome = try_insert(server, 999)
    assert outcome.code == "UNAVAILABLE"
    assert "Insert failed: WAL circuit breaker is open - writes disabled" in outcome.details
    assert reason in outcome.details
    status, body = health(server)
    assert (status, body["status"]) == (503, "unhealthy")
    assert reason in body["reason"]
    assert json.loads(get(server, "/ready")[1]) == {"ready": True, "status": "read_only"}
    assert metric(server, "writes_refused") == 1
    assert metric(server, "health", status="unhealthy") == 1
    assert stored(server, *range(1, 1000)) == acknowledged
    assert set(found(server)) == acknowledged


def assert_kept(tmp_path: Path, acknowledged: set[int], **settings: Any) -> None:
    with running_server(tmp_path, **SETTINGS | settings) as server:
        assert set(found(server)) == acknowledged
        assert health(server)[1]["status"] == "healthy"


def test_a_file_that_may_not_grow_opens_it_and_a_mended_disk_closes_it(tmp_path: Path) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        acknowledged = set(range(1, 6))
        for doc_id in acknowledged:
            insert(server, doc_id)
        assert breaker(server) == 0
        limit_file_size(server.process.pid, 0)
        first = try_insert(server, 999)
        assert first.code == "UNAVAILABLE"
        assert "write to the log: File too large" in first.details
        assert_opened(server)
        assert_refusing(server, "File too large", acknowledged)
        failures = metric(server, "wal_writes_failed")
        tries = metric(server, "wal_retries_total")
        wait_until(lambda: metric(server, "wal_retries_total") > tries, "the disk is tried again")
        wait_until(lambda: metric(server, "wal_writes_failed") > failures, "the try fails")
        assert_refusing(server, "File too large", acknowledged)
        lift_file_size_limit(server.process.pid)
        assert_closed_again(server, acknowledged)


def test_a_full_disk_opens_it_and_room_closes_it(tmp_path: Path) -> None:
    with small_disk(24 << 20) as disk:
        where = {"persistence__data_dir": disk / "data"}
        with running_server(tmp_path, **SETTINGS | where) as server:
            wait_until(lambda: "readiness: not_ready -> ready" in server.log, "the log says that all is well")
            acknowledged = _until_the_disk_is_full(server, disk)
            assert_opened(server)
            assert metric(server, "wal_disk_full_errors") >= 1
            assert_refusing(server, "Disk full - circuit breaker opened", acknowledged)
            assert "ERROR pykyro.storage.wal.breaker: writes are refused" in server.log
            told = re.compile(r"health: (\w+ ->|still) unhealthy: Disk full")
            wait_until(lambda: told.search(server.log), "the log says so")
            wait_until(lambda: "readiness: ready -> read_only" in server.log, "the log says so")
            (disk / "filler").unlink()
            acknowledged = assert_closed_again(server, acknowledged)
            assert "WARN  pykyro.storage.wal.breaker: writes are accepted again" in server.log
        assert_kept(tmp_path, acknowledged, **where)


def _until_the_disk_is_full(server: RunningServer, disk: Path) -> set[int]:
    """Fill the disk behind the back of the watch that would refuse writes before; the documents acknowledged."""
    acknowledged: set[int] = set()
    for doc_id in range(1, 100):
        (disk / "filler").unlink(missing_ok=True)
        wait_until(lambda: metric(server, "writes_refused") == 0, "the watch sees the room")
        time.sleep(0.02)
        fill(disk, leaving_bytes=0)
        # Larger than what the last page of the log has room for.
        outcome = try_insert(server, doc_id, text="x" * 8192)
        if outcome.code == "OK":
            acknowledged.add(doc_id)
        elif "Disk full" in outcome.details:
            return acknowledged
    raise AssertionError("the disk was never full")


def test_a_failed_fsync_opens_it_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        acknowledged = set(range(1, 6))
        for doc_id in acknowledged:
            insert(server, doc_id)
        with injected(server.process.pid, "fdatasync:error=EIO", "fsync:error=EIO"):
            outcome = try_insert(server, 999)
            assert outcome.code == "UNAVAILABLE"
            assert "Input/output error" in outcome.details
            assert_opened(server)
            assert_refusing(server, "Input/output error", acknowledged)
        acknowledged = assert_closed_again(server, acknowledged)
    assert_kept(tmp_path, acknowledged)


def test_a_file_system_that_turned_read_only_is_read_and_mended_by_a_mount(tmp_path: Path) -> None:
    with ext4_disk(64 << 20) as disk:
        where = {"persistence__data_dir": disk.path / "data"}
        server = start_server(tmp_path, SETTINGS | where)
        try:
            server.wait_ready()
            acknowledged = set(range(1, 6))
            for doc_id in acknowledged:
                insert(server, doc_id)
            disk.meet_an_error()
            outcome = try_insert(server, 999)
            assert outcome.code == "UNAVAILABLE"
            assert "Read-only file system" in outcome.details
            assert_refusing(server, "Read-only file system", acknowledged)
            # It cannot seal its log, and says so.
            assert server.stop() == 1
            assert "Read-only file system" in server.log.splitlines()[-1]
        finally:
            server.stop(signal.SIGKILL)
        disk.unmount()
        disk.mount()
        assert_kept(tmp_path, acknowledged, **where)


def test_it_is_half_open_while_the_disk_is_tried(tmp_path: Path) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        insert(server, 1)
        limit_file_size(server.process.pid, 0)
        assert try_insert(server, 2).code == "UNAVAILABLE"
        lift_file_size_limit(server.process.pid)
        with injected(server.process.pid, "fsync:delay_enter=700000"):
            wait_until(lambda: breaker(server) == 2, "it is half-open")
        wait_until(lambda: breaker(server) == 0, "it closes")
        assert_closed_again(server, {1})
