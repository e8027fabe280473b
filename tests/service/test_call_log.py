"""Slow calls stand in the log with their plan and request id, fast ones do not, and secrets never."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.contract.corner import TRANSPORTS
from tests.patience import wait_until
from tests.server.calls import Sent, running_call
from tests.server.running import RunningServer, running_server
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.model.limits import REQUEST_ID_CHARS_MAX, SLOW_QUERY_LINES_PER_S
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.service.call_log import CallLog, RunningCall

MS = 1_000_000
CANARY = "canary-4d1f"
CANARY_KEY = "CANARYcanaryCANARYcanaryCANARYcanary0"


def described(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__["kyrodb_fields"] for record in caplog.records]


def test_calls_at_the_threshold_are_slow(caplog: pytest.LogCaptureFixture) -> None:
    calls = CallLog(5)
    calls.ended(running_call("Query"), "OK", 5 * MS - 1)
    calls.ended(running_call("Query", ("x-request-id", "mine")), "NOT_FOUND", 5 * MS)
    calls.ended(running_call("BulkInsert"), "OK", 9000 * MS, may_be_slow=False)
    (line,) = described(caplog)
    assert line == {
        "rpc": "Query",
        "code": "NOT_FOUND",
        "duration_ms": 5.0,
        "request_id": "mine",
        "peer": "ipv4:127.0.0.1:1",
    }
    assert calls.slow_total == 1
    calls.set_slow(None)
    calls.ended(running_call("Query"), "OK", 10**15)
    assert calls.slow_total == 1


def test_debug_level_writes_about_every_call(caplog: pytest.LogCaptureFixture) -> None:
    calls = CallLog(None)
    calls.ended(running_call("Insert"), "OK", MS)
    with caplog.at_level(logging.DEBUG, logger="pykyro.service.call_log"):
        calls.ended(running_call("Insert"), "OK", MS)
    (line,) = described(caplog)
    assert line["rpc"] == "Insert"


def test_when_everything_is_slow_only_some_of_it_is_written(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [100.0]
    calls = CallLog(0, lambda: now_s[0])
    for _ in range(SLOW_QUERY_LINES_PER_S + 7):
        calls.ended(running_call("Search"), "OK", 0)
    assert len(caplog.records) == SLOW_QUERY_LINES_PER_S
    now_s[0] += 1
    calls.ended(running_call("Search"), "OK", 0)
    assert described(caplog)[-1]["left_out"] == 7
    assert calls.slow_total == SLOW_QUERY_LINES_PER_S + 8


@pytest.mark.parametrize(
    "given", ["", "x" * (REQUEST_ID_CHARS_MAX + 1), "line\nbreak", "umläut", b"bytes", "\x1b[31m"]
)
def test_an_id_that_is_not_fit_for_a_log_is_replaced(given: str | bytes) -> None:
    call = RunningCall("Search", Sent(("x-request-id", given)))
    assert call.request_id != given
    assert len(call.request_id) == 16
    assert call.request_id == call.request_id


def entries(server: RunningServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.splitlines()]


def slow(server: RunningServer) -> list[dict[str, Any]]:
    return [entry for entry in entries(server) if entry["message"] == "slow query"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_tells_how_slow_searches_were_done(tmp_path: Path, transport: str) -> None:
    settings: dict[str, Any] = {
        "server__transport": transport,
        "logging__format": "json",
        "logging__slow_query_ms": 0,
    }
    with running_server(tmp_path, hnsw__dimension=2, **settings) as server:
        sent: dict[str, Any] = {"metadata": [("x-request-id", "abc-1"), ("x-api-key", CANARY)]}
        document = pb.InsertRequest(doc_id=1, embedding=[1, 0], metadata={CANARY: CANARY}, namespace=CANARY)
        search = pb.SearchRequest(query_embedding=[1, 0], k=3, metadata_filters={CANARY: CANARY})
        server.stub.Insert(document, **sent)
        server.stub.Search(search, **sent)
        list(server.stub.BulkSearch(iter([search, search]), **sent))
        wait_until(lambda: server.log.count("slow query") == 4, "they are logged")
        found = slow(server)
        assert [entry["rpc"] for entry in found] == ["Insert", "Search", "BulkSearch", "BulkSearch"]
        for entry in found:
            assert (entry["request_id"], entry["code"]) == ("abc-1", "OK")
            assert entry["duration_ms"] > 0
            assert bool(entry.get("plan")) == (entry["rpc"] != "Insert")
        assert "hot: scan 1 rows" in found[1]["plan"]
        assert "kyrodb_slow_queries_total 4\n" in server.http("/metrics").text
        assert CANARY not in server.log


def test_keys_stand_nowhere(tmp_path: Path) -> None:
    """Right ones, wrong ones, and those of a file that a reload refuses, at the level that tells most."""
    right, wrong = key_of("acme", CANARY_KEY), key_of("acme", CANARY_KEY[::-1])
    keys = write_keys(tmp_path / "keys.yaml", entry(key=right))
    settings = {"auth__enabled": "true", "auth__api_keys_file": keys, "logging__level": "debug"}
    with running_server(tmp_path, hnsw__dimension=2, **settings) as server:
        for key in (right, wrong, "", "Bearer " + right):
            with contextlib.suppress(grpc.RpcError):
                server.stub.Query(pb.QueryRequest(doc_id=1), metadata=[("x-api-key", key)])
            with contextlib.suppress(grpc.RpcError):
                server.stub.Query(pb.QueryRequest(doc_id=1), metadata=[("authorization", f"Bearer {key}")])
        keys.write_text(f"api_keys: [{{key: {wrong}")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration reload refused" in server.log, "the reload is refused")
        told = server.log + "".join(server.http(path).text for path in ("/health", "/metrics", "/slo"))
        assert 'rpc="Query" code="UNAUTHENTICATED"' in told
        assert CANARY_KEY not in told
        assert CANARY_KEY[::-1] not in told


def test_the_threshold_can_be_changed_while_the_server_runs(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("logging: {slow_query_ms: null}\n")
    with running_server(
        tmp_path, ("--config", str(config)), hnsw__dimension=2, logging__format="json"
    ) as server:
        query = pb.QueryRequest(doc_id=1)
        server.stub.Query(query)
        config.write_text("logging: {slow_query_ms: 0}\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration reloaded" in server.log, "the reload")
        assert not slow(server)
        server.stub.Query(query)
        wait_until(lambda: "slow query" in server.log, "it is logged")
        assert [entry["rpc"] for entry in slow(server)] == ["Query"]
