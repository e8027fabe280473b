"""Backups a server takes by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, running_server

from pykyro.proto import kyrodb_pb2 as pb


def metric(server: RunningServer, name: str) -> float:
    lines = server.http("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"kyrodb_{name} ")).split()[-1])


def wait_for(server: RunningServer, name: str, least: float) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while metric(server, name) < least:
        assert time.monotonic() < deadline, server.log
        time.sleep(0.1)


def test_a_server_backs_itself_up_and_the_backup_is_whole(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    settings = {"backup__interval_secs": 1, "backup__dir": backups, "hnsw__dimension": 2}
    with running_server(tmp_path, **settings) as server:
        server.stub.Insert(pb.InsertRequest(doc_id=7, embedding=[1, 0]))
        wait_for(server, "backups_made_total", metric(server, "backups_made_total") + 2)
        assert metric(server, "backup_failures_total") == 0
        assert metric(server, "backup_last_size_bytes") > 0
    command = [sys.executable, "-m", "pykyro.cli.kyrodb_backup", "--backup-dir", str(backups)]
    listed = subprocess.run([*command, "list", "--format", "json"], capture_output=True, check=True)
    newest = json.loads(listed.stdout)[0]["id"]
    subprocess.run([*command, "verify", "--backup-id", newest], capture_output=True, check=True)


def test_a_failing_backup_degrades_health_and_says_why(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the directory should be")
    settings = {"backup__interval_secs": 1, "backup__dir": blocked / "backups", "hnsw__dimension": 2}
    with running_server(tmp_path, **settings) as server:
        wait_for(server, "backup_failures_total", 1)
        health = server.http("/health")
        assert health.status_code == 200
        assert health.json()["status"] == "degraded"
        assert "backup failed" in health.json()["reason"]
