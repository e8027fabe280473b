"""A real disk that fills up: first a warning, then documents are refused, and room mends it without a restart."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from tests.operations.faults import fill, small_disk
from tests.operations.observed import DIMENSION, found, health, insert, metric, try_insert
from tests.patience import wait_until
from tests.server.running import running_server

from pykyro.proto import kyrodb_pb2 as pb

DISK_BYTES = 64 << 20


def test_warning_refusal_and_room_again(tmp_path: Path) -> None:
    with (
        small_disk(DISK_BYTES) as disk,
        running_server(tmp_path, hnsw__dimension=DIMENSION, persistence__data_dir=disk / "data") as server,
    ):
        for doc_id in (1, 2):
            insert(server, doc_id)
        assert health(server) == (
            200,
            {"status": "healthy", "uptime_seconds": health(server)[1]["uptime_seconds"]},
        )

        # The log looks every second: what is over before is not in it.
        wait_until(lambda: "-> healthy" in server.log, "the log says so")
        fill(disk, leaving_bytes=DISK_BYTES * 8 // 100)
        wait_until(lambda: health(server)[1]["status"] == "degraded", "the warning")
        status, body = health(server)
        assert status == 200
        assert "disk space low (< 10%)" in body["reason"]
        warning = "health: healthy -> degraded: disk space low (< 10%)"
        wait_until(lambda: warning in server.log, "the log says so")
        insert(server, 3)

        fill(disk, leaving_bytes=DISK_BYTES * 3 // 100)
        wait_until(lambda: metric(server, "writes_refused") == 1, "documents are refused")
        outcome = try_insert(server, 4)
        assert outcome.code == "UNAVAILABLE"
        assert "disk space critically low (< 5%)" in outcome.details
        status, body = health(server)
        assert (status, body["status"]) == (503, "unhealthy")
        assert "disk space critically low (< 5%)" in body["reason"]
        assert metric(server, "wal_circuit_breaker_state") == 0
        assert metric(server, "disk_free_bytes") < DISK_BYTES * 5 // 100
        assert set(found(server)) == {1, 2, 3}
        assert server.stub.Delete(pb.DeleteRequest(doc_id=1)).existed
        with pytest.raises(grpc.RpcError, match="snapshot rejected: disk space critically low"):
            server.stub.CreateSnapshot(pb.SnapshotRequest())

        (disk / "filler").unlink()
        wait_until(lambda: health(server)[1]["status"] == "healthy", "the server is well again")
        insert(server, 4)
        assert set(found(server)) == {2, 3, 4}
        wait_until(lambda: "health: unhealthy -> healthy" in server.log, "the log says so")
        log = server.log
        assert (
            "ERROR pykyro.storage.files.disk_space: new documents are refused: disk space critically low (< 5%)"
            in log
        )
        assert "WARN  pykyro.storage.files.disk_space: new documents are accepted again" in log
        assert (
            "WARN  pykyro.server.health_log: readiness: ready -> read_only: disk space critically low" in log
        )
