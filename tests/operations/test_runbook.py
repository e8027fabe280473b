"""docs/operations.md, executed against a real server. Its disasters are in test_disasters.py."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.engine.opening import open_small
from tests.operations.faults import lift_file_size_limit, limit_file_size
from tests.operations.observed import DIMENSION, found, get, health, insert, metric, try_insert
from tests.operations.page import Shell, all_commands, commands, section
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

from pykyro.proto import kyrodb_pb2 as pb

TESTED = (
    "Quick checks",
    "How much memory a machine needs",
    "Restarting the server",
    "Health is 503",
    "The WAL circuit breaker is open",
    "P99 latency is high",
    "Monitoring checklist",
    "Moving the data directory",
    "Out of memory",
    "Damaged data, or a start that fails",
    "A backup failed",
)
"""Sections whose commands this file and test_disasters.py run."""
OF_THE_SYSTEM = ("sudo systemctl ", "docker ", "pm2 ", "df ", "dmesg", "du -sh /var/lib/")
"""Commands of programs that a test machine need not have, or that look at the machine itself."""
SETTINGS: dict[str, Any] = {"hnsw__dimension": DIMENSION, "persistence__wal_breaker_cooldown_secs": 1}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_every_command_of_the_page_is_run_by_a_test() -> None:
    tested = {command for title in TESTED for command in commands(title)}
    untested = all_commands() - tested
    assert {command for command in untested if not command.startswith(OF_THE_SYSTEM)} == set()


def test_quick_checks(tmp_path: Path, shell: Shell) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        shell.describe(server, tmp_path / "data", DIMENSION)
        insert(server, 1)
        healthy, ready, slo, doctor = shell.run_all("Quick checks", server)
        assert json.loads(healthy)["status"] == "healthy"
        assert json.loads(ready) == {"ready": True, "status": "ready"}
        assert not any(json.loads(slo)["slo_breaches"].values())
        assert "Nothing has to be done" in doctor
        exposed = get(server, "/metrics")[1]
        for name, labels in re.findall(r"`(kyrodb_\w+)(?:\{([^}]*)\})?`", section("Quick checks")):
            label, _, values = labels.partition("=")
            for value in values.strip('"').split("\\|"):
                sample = f'{name}{{{label}="{value}"}}' if label else name
                assert f"\n{sample} " in exposed, sample


def test_how_much_memory_a_machine_needs(tmp_path: Path, shell: Shell) -> None:
    with running_server(tmp_path, memory__limit="1GiB", **SETTINGS) as server:
        shell.describe(server, tmp_path / "data", DIMENSION)
        insert(server, 1)
        (told,) = shell.run_all("How much memory a machine needs", server)
        assert re.search(r"^ok +memory needed: \d+ MiB for 1 documents?, of ", told, re.MULTILINE), told
        assert re.search(r"^ok +memory used: \d+ MiB of 1024 MiB", told, re.MULTILINE), told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_is_under_way_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    server = start_server(tmp_path, SETTINGS)
    try:
        server.wait_ready()
        writes = [
            server.stub.Insert.future(pb.InsertRequest(doc_id=at, embedding=[1, at, 2, 3]))
            for at in range(1, 200)
        ]
        writes[0].result()
        server.process.send_signal(number)
        acknowledged = {at for at, write in enumerate(writes, 1) if write.exception() is None}
    finally:
        assert server.stop(number) == 0
    assert server.log.splitlines()[-1].endswith("stopped")
    engine = open_small(tmp_path / "data", dimension=DIMENSION)
    assert not engine.recovered.unclean
    assert all(engine.get(doc_id) for doc_id in acknowledged)
    engine.close()


def reloaded(server: RunningServer, shell: Shell, config: Path, text: str) -> str:
    """The log of a reload with this configuration."""
    before = len(server.log)
    config.write_text(text)
    (reload,) = [command for command in commands("Restarting the server") if command.startswith("kill")]
    shell.run(reload, server)
    wait_until(lambda: "configuration reload" in server.log[before:], "the reload is logged")
    return server.log[before:]


def test_a_reload_applies_what_it_can_and_a_bad_one_changes_nothing(tmp_path: Path, shell: Shell) -> None:
    config, log = tmp_path / "server.yaml", tmp_path / "kyrodb.log"
    config.write_text("")
    with running_server(tmp_path, ("--config", str(config)), **SETTINGS) as server:
        insert(server, 1)
        told = reloaded(server, shell, config, "slo: {p99_latency_ms: 123}\nhnsw: {ef_search: 77, m: 20}\n")
        assert "changed: slo.p99_latency_ms, hnsw.ef_search" in told or "hnsw.ef_search" in told
        assert "only a restart applies it: hnsw.m" in told
        assert server.http_json("/slo")["slo_thresholds"]["p99_latency_ns"] == 123_000_000
        assert server.stub.GetConfig(pb.ConfigRequest()).hnsw_ef_search == 77

        assert "refused" in reloaded(server, shell, config, "hnsw: {ef_search: 0}\n")
        status, body = health(server)
        assert (status, body["status"]) == (200, "degraded")
        assert "configuration reload refused" in body["reason"]
        assert server.stub.GetConfig(pb.ConfigRequest()).hnsw_ef_search == 77

        reloaded(server, shell, config, "hnsw: {ef_search: 77}\n")
        assert health(server)[1]["status"] == "healthy"

        config.write_text(f"hnsw: {{ef_search: 77}}\nlogging: {{file: {log}, level: debug}}\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "the log goes to the file")
        found(server)
        wait_until(lambda: 'rpc="Search"' in log.read_text(), "level debug writes about calls")
        log.rename(tmp_path / "moved")
        server.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "the log file is opened anew")


def test_health_is_503(tmp_path: Path, shell: Shell) -> None:
    with running_server(tmp_path, **SETTINGS) as server:
        shell.describe(server, tmp_path / "data", DIMENSION)
        insert(server, 1)
        limit_file_size(server.process.pid, 0)
        assert try_insert(server, 2).code == "UNAVAILABLE"
        *looks, doctor = commands("Health is 503")
        unhealthy, _, metrics = [shell.run(command, server) for command in looks]
        assert "File too large" in json.loads(unhealthy)["reason"]
        for line in ("kyrodb_wal_circuit_breaker_state 1", 'kyrodb_errors_total{category="internal"} 1'):
            assert line in metrics
        assert "WRONG  server: /health is 503" in shell.run(doctor, server, code=1)
        (state,) = commands("The WAL circuit breaker is open")
        assert "\nkyrodb_wal_circuit_breaker_state 1\n" in shell.run(state, server)
        lift_file_size_limit(server.process.pid)
        wait_until(
            lambda: "\nkyrodb_wal_circuit_breaker_state 0\n" in shell.run(state, server),
            "it closes by itself",
        )
        insert(server, 2)
        assert set(found(server)) == {1, 2}


def test_high_p99(tmp_path: Path, shell: Shell) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("logging: {slow_query_ms: 0, format: json}\n")
    with running_server(tmp_path, ("--config", str(config)), **SETTINGS) as server:
        rows = np.random.default_rng(1).standard_normal((2000, 4)).tolist()
        documents = (pb.InsertRequest(doc_id=at, embedding=row) for at, row in enumerate(rows, 1))
        assert server.stub.BulkInsert(documents).success
        server.stub.FlushHotTier(pb.FlushRequest(force=True))

        def plan() -> str:
            before = server.log.count('"plan"')
            server.stub.Search(pb.SearchRequest(query_embedding=[1.0, time.time() % 100, 0.0, 1.0], k=5))
            wait_until(lambda: server.log.count('"plan"') > before, "the search is logged")
            slow = [json.loads(line) for line in server.log.splitlines() if '"plan"' in line]
            return str(slow[-1]["plan"])

        assert "graph with ef 50" in plan()
        shown = shell.run_all("P99 latency is high", server)
        for name, text in zip(("query_latency_ns", "hnsw_latency_ns", "hit_rate", "tier_hits"), shown):
            assert name in text
        assert metric(server, "query_latency_ns", percentile="99") > 0
        reloaded(server, shell, config, config.read_text() + "hnsw: {ef_search: 80}\n")
        assert "graph with ef 80" in plan()


def test_searches_beyond_the_limit_are_refused_at_once(tmp_path: Path) -> None:
    """timeouts.max_concurrent_queries: what is admitted stays fast."""
    with running_server(tmp_path, timeouts__max_concurrent_queries=1, **SETTINGS) as server:
        insert(server, 1)
        # With an ef of its own a request goes past the query cache, which would answer it at once.
        request = pb.SearchRequest(query_embedding=[1.0, 2.0, 3.0, 4.0], k=1, ef_search=50)
        calls = [server.stub.Search.future(request) for _ in range(300)]
        codes = [call.code().name for call in calls]
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
        refused = next(call for call in calls if call.code().name != "OK")
        assert "Query queue saturated: 1 in-flight queries (max: 1)" in refused.details()
        assert metric(server, "errors_total", category="resource_exhausted") == codes.count(
            "RESOURCE_EXHAUSTED"
        )


def test_monitoring_checklist(tmp_path: Path, shell: Shell) -> None:
    backups = tmp_path / "backups"
    with running_server(tmp_path, backup__dir=backups, **SETTINGS) as server:
        shell.describe(server, tmp_path / "data", DIMENSION)
        insert(server, 1)
        made = Shell(tmp_path, DATA_DIR=tmp_path / "data", BACKUP_DIR=backups)
        made.run('kyrodb_backup create --data-dir "$DATA_DIR" --backup-dir "$BACKUP_DIR"')
        (name,) = [path.stem for path in backups.glob("backup_*.tar")]
        shell = Shell(
            tmp_path,
            DATA_DIR=tmp_path / "data",
            BACKUP_DIR=backups,
            BACKUP_ID=name.removeprefix("backup_"),
        )
        for text in shell.run_all("Monitoring checklist", server):
            assert text
        assert time.time() - metric(server, "backup_newest_timestamp_seconds") < 600
