"""The HTTP port over a real engine: paths, statuses and bodies in every phase of the server's life."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.server.running import http_request

from pykyro.config import Settings
from pykyro.database.opening import open_database
from pykyro.engine.engine import Engine
from pykyro.model.errors import ConfigError
from pykyro.model.requests import Put
from pykyro.model.types import Document
from pykyro.service.server_state import ServerState
from pykyro.telemetry.health import Phase
from pykyro.transport.http.http import serving_http

Get = Callable[..., httpx.Response]

GUIDE_METRICS = {
    "kyrodb_queries_total",
    "kyrodb_queries_failed",
    "kyrodb_query_latency_ns",
    "kyrodb_cache_hit_rate",
    "kyrodb_cache_hits_total",
    "kyrodb_cache_misses_total",
    "kyrodb_hnsw_searches_total",
    "kyrodb_hnsw_latency_ns",
    "kyrodb_tier_hits_total",
    "kyrodb_wal_circuit_breaker_state",
    "kyrodb_wal_writes_failed",
    "kyrodb_errors_total",
    "kyrodb_inserts_total",
    "kyrodb_inserts_failed",
    "kyrodb_ready",
}


def settings_of(directory: Path, **server: Any) -> Settings:
    wanted = {
        "server": {"http_port": 0, **server},
        "hnsw": {"dimension": 4},
        "persistence": {"data_dir": directory / "data"},
    }
    return Settings.model_validate(wanted)


@pytest.fixture
def server_state(tmp_path: Path) -> ServerState:
    """A server that is starting."""
    return ServerState(settings_of(tmp_path))


@pytest.fixture
def get(server_state: ServerState) -> Iterator[Get]:
    with serving_http(server_state, None) as http:

        def request(path: str, method: str = "GET") -> httpx.Response:
            return http_request(method, f"http://127.0.0.1:{http.port}{path}")

        yield request


@pytest.fixture
def engine(server_state: ServerState) -> Iterator[Engine]:
    """The server has an engine and serves."""
    engine = open_database(server_state.settings)
    server_state.engine = engine
    server_state.phase = Phase.SERVING
    yield engine
    server_state.engine = None
    engine.close()


def answer(response: httpx.Response) -> tuple[int, Any]:
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    if "uptime_seconds" in body:
        assert body.pop("uptime_seconds") >= 0
    return response.status_code, body


def test_starting(get: Get) -> None:
    assert answer(get("/health")) == (503, {"status": "starting"})
    assert answer(get("/ready")) == (503, {"ready": False, "status": "not_ready"})
    assert "kyrodb_ready 0\n" in get("/metrics").text


def test_serving(get: Get, engine: Engine) -> None:
    assert answer(get("/health")) == (200, {"status": "healthy"})
    assert answer(get("/ready")) == (200, {"ready": True, "status": "ready"})
    assert "kyrodb_ready 1\n" in get("/metrics").text


def test_draining_is_alive_and_not_ready(get: Get, engine: Engine, server_state: ServerState) -> None:
    server_state.phase = Phase.DRAINING
    assert answer(get("/health")) == (200, {"status": "degraded", "reason": "shutting down"})
    assert answer(get("/ready")) == (503, {"ready": False, "status": "not_ready"})


def test_stopped_is_unhealthy(get: Get, server_state: ServerState) -> None:
    server_state.phase = Phase.STOPPED
    assert answer(get("/health")) == (503, {"status": "unhealthy", "reason": "the database is closed"})


def test_a_write_that_was_interrupted_is_unhealthy_with_the_reason(
    get: Get, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def out_of_memory(lsn: int, records: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(engine._context.state, "apply", out_of_memory)
        with pytest.raises(MemoryError):
            engine.write(Put(Document(1, np.ones(4, np.float32), {})))
    status, body = answer(get("/health"))
    assert (status, body["status"]) == (503, "unhealthy")
    assert "left memory behind the log; close the database and open it again" in body["reason"]
    (line,) = (record for record in caplog.records if record.levelname == "ERROR")
    assert line.getMessage() == f"writes are refused: {body['reason']} (MemoryError)"
    assert answer(get("/ready")) == (200, {"ready": True, "status": "read_only"})
    assert "kyrodb_writes_refused 1\n" in get("/metrics").text


def test_slo_breach_degrades_and_keeps_serving(get: Get, engine: Engine, server_state: ServerState) -> None:
    for _ in range(100):
        server_state.counters.query(500_000_000)
    status, body = answer(get("/health"))
    assert (status, body["status"]) == (200, "degraded")
    assert body["reason"] == "P99 latency 500.00 ms exceeds SLO of 100 ms"
    assert get("/ready").status_code == 200
    assert answer(get("/slo"))[1]["slo_breaches"] == {
        "p99_latency": True,
        "cache_hit_rate": False,
        "error_rate": False,
        "availability": False,
    }


def test_slo_of_a_fresh_server(get: Get) -> None:
    assert answer(get("/slo")) == (
        200,
        {
            "slo_breaches": {
                "p99_latency": False,
                "cache_hit_rate": False,
                "error_rate": False,
                "availability": False,
            },
            "current_metrics": {
                "p99_latency_ns": 0,
                "cache_hit_rate": 0.0,
                "error_rate": 0.0,
                "availability": 1.0,
            },
            "since_start": {"cache_hit_rate": 0.0, "error_rate": 0.0, "availability": 1.0},
            "window_seconds": 300,
            "slo_thresholds": {
                "p99_latency_ns": 100_000_000,
                "min_cache_hit_rate": 0.0,
                "max_error_rate": 0.001,
                "min_availability": 0.999,
                "min_samples": 100,
            },
        },
    )


def test_event_loop_that_hangs_is_unhealthy(
    get: Get, engine: Engine, server_state: ServerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pykyro.service.server_state.STALL_S_MAX", -1.0)
    status, body = answer(get("/health"))
    assert (status, body["status"]) == (503, "unhealthy")
    assert "the event loop has not moved" in body["reason"]
    assert get("/ready").status_code == 503


def test_refused_reload_degrades(get: Get, engine: Engine, server_state: ServerState) -> None:
    server_state.config_fault = "configuration reload refused: no such key"
    assert answer(get("/health")) == (
        200,
        {"status": "degraded", "reason": "configuration reload refused: no such key"},
    )


def test_metrics_can_be_parsed_and_hold_what_the_guide_names(
    get: Get, engine: Engine, server_state: ServerState
) -> None:
    server_state.counters.query(1_500_000)
    server_state.counters.call("Search", "OK", 1_600_000)
    response = get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    lines = response.text.splitlines()
    assert {re.split("[ {]", line)[0] for line in lines} >= GUIDE_METRICS
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }
    assert values["kyrodb_query_latency_ns", "99"] == 1_500_000
    assert values["kyrodb_queries_total",] == 1
    assert values["kyrodb_grpc_requests_total", "Search", "OK"] == 1
    assert values["kyrodb_grpc_request_duration_seconds_bucket", "Search", "0.0025"] == 1
    assert values["kyrodb_grpc_request_duration_seconds_bucket", "Search", "0.001"] == 0
    assert "# TYPE kyrodb_queries_failed counter" in lines
    assert "kyrodb_cache_hit_rate 0.000000" in lines


def test_no_family_is_described_twice(get: Get, engine: Engine) -> None:
    described = [line for line in get("/metrics").text.splitlines() if line.startswith("# TYPE")]
    assert len(described) == len(set(described))


def test_usage_without_auth_is_not_there(get: Get) -> None:
    error = {"error": "usage tracking disabled (auth.enabled=false)"}
    assert answer(get("/usage?scope=nonsense")) == (404, error)


@pytest.mark.parametrize("path", ["/health", "/ready", "/slo", "/metrics"])
def test_head_is_a_get_without_a_body(get: Get, engine: Engine, path: str) -> None:
    head, full = get(path, "HEAD"), get(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers["content-type"] == full.headers["content-type"]


def test_unknown_path_is_404_and_empty(get: Get) -> None:
    response = get("/nothing")
    assert (response.status_code, response.content) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_405(get: Get, method: str) -> None:
    response = get("/health", method)
    assert (response.status_code, response.content) == (405, b"")
    assert "GET" in response.headers["allow"]


def test_port_that_is_taken_keeps_the_server_from_starting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        settings = settings_of(tmp_path, http_port=taken)
        with pytest.raises(ConfigError, match=f"server.http_port: cannot listen on 127.0.0.1:{taken}"):
            serving_http(ServerState(settings), None).__enter__()
