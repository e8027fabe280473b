"""The server as a process: how it starts, what keeps it from starting, how it stops and reloads."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import RunningServer, running_server, start_server

from pykyro.proto import kyrodb_pb2 as pb

X = [1.0, 0.0, 0.0, 0.0]
DIMENSION: dict[str, Any] = {"hnsw__dimension": 4}
WAIT_S = PATIENCE_S


def failed_start(directory: Path, **settings: object) -> str:
    """What a server that exits with 1 wrote."""
    server = start_server(directory, DIMENSION | settings)
    try:
        assert server.process.wait(WAIT_S) == 1, server.log
    finally:
        server.channel.close()
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    assert "Traceback" not in server.log
    return server.log


def ready_status(server: RunningServer) -> int:
    with contextlib.suppress(httpx.TransportError):
        return server.http("/ready").status_code
    return 0


class OpenStream:
    """A BulkInsert that sends a document again and again, and another one when told to end."""

    def __init__(self, server: RunningServer) -> None:
        self._end = threading.Event()
        self.sent = 0
        self.call = server.stub.BulkInsert.future(self._messages())
        wait_until(lambda: server.stub.Query(pb.QueryRequest(doc_id=1)).found)

    def end(self) -> None:
        self._end.set()

    def _messages(self) -> Iterator[pb.InsertRequest]:
        # One on which nothing happens would not be waited for.
        while not self._end.wait(0.1):
            self.sent += 1
            yield pb.InsertRequest(doc_id=1, embedding=X)
        self.sent += 1
        yield pb.InsertRequest(doc_id=2, embedding=X)


def test_stop_is_clean_and_everything_is_there_after_it(tmp_path: Path) -> None:
    with running_server(tmp_path, **DIMENSION) as server:
        steps = ["HTTP on", "created an empty database", "gRPC on", "Server ready to accept connections"]
        assert sorted(steps, key=server.log.index) == steps
        for doc_id in range(1, 21):
            server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=X, metadata={"n": str(doc_id)}))
        assert server.stop(signal.SIGINT) == 0
    with running_server(tmp_path, **DIMENSION) as server:
        wait_until(lambda: "recovered 20 documents" in server.log)
        assert server.stub.Query(pb.QueryRequest(doc_id=7)).metadata["n"] == "7"


def test_acknowledged_documents_survive_a_kill(tmp_path: Path) -> None:
    with running_server(tmp_path, **DIMENSION) as server:
        server.stub.Insert(pb.InsertRequest(doc_id=1, embedding=X))
        server.stub.BulkInsert(pb.InsertRequest(doc_id=doc_id, embedding=X) for doc_id in range(2, 400))
        server.stop(signal.SIGKILL)
    with running_server(tmp_path, **DIMENSION) as server:
        request = pb.SearchRequest(query_embedding=X, k=1, exact=True)
        assert server.stub.Search(request).matched == 399


@pytest.mark.parametrize("transport", ["auto", "grpcio"])
def test_drain_lets_calls_finish_and_is_not_ready_meanwhile(tmp_path: Path, transport: str) -> None:
    with running_server(tmp_path, server__transport=transport, **DIMENSION) as server:
        stream = OpenStream(server)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready_status(server) == 503)
        assert server.http_json("/health")["reason"].startswith("shutting down")
        stream.end()
        assert stream.call.result().total_inserted == stream.sent
        assert server.process.wait(WAIT_S) == 0


@pytest.mark.parametrize("transport", ["auto", "grpcio"])
def test_what_was_done_while_the_server_stopped_was_answered(tmp_path: Path, transport: str) -> None:
    """Of the calls around the signal, those that were answered are there after it, and those that failed are not."""
    answered: list[int] = []
    tried: list[int] = []
    failures: list[str] = []

    def insert_until_refused(server: RunningServer, ids: range) -> None:
        for doc_id in ids:
            tried.append(doc_id)
            try:
                server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=X), timeout=WAIT_S)
            except grpc.RpcError as error:
                failures.append(error.code().name)
                return
            answered.append(doc_id)

    with running_server(tmp_path, server__transport=transport, **DIMENSION) as server:
        with ThreadPoolExecutor(16) as clients:
            calls = [clients.submit(insert_until_refused, server, range(n, 10**6, 16)) for n in range(1, 17)]
            wait_until(lambda: len(answered) > 500)
            server.process.send_signal(signal.SIGTERM)
        assert [call.result() for call in calls] == [None] * 16
        assert failures == ["UNAVAILABLE"] * 16
        assert server.process.wait(WAIT_S) == 0
    with running_server(tmp_path, server__transport=transport, **DIMENSION) as server:
        found = server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=tried)).results
        assert sorted(result.doc_id for result in found if result.found) == sorted(answered)


def test_drain_is_bounded(tmp_path: Path) -> None:
    with running_server(tmp_path, server__shutdown_timeout_secs=1, **DIMENSION) as server:
        stream = OpenStream(server)
        assert server.stop() == 0
        stream.end()
    with running_server(tmp_path, **DIMENSION) as server:
        assert server.stub.Query(pb.QueryRequest(doc_id=1)).found


def test_second_signal_ends_the_drain(tmp_path: Path) -> None:
    with running_server(tmp_path, server__shutdown_timeout_secs=100_000, **DIMENSION) as server:
        stream = OpenStream(server)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: ready_status(server) == 503)
        assert server.stop() == 0
        stream.end()


def test_hangup_reloads_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "kyrodb.yaml"
    config.write_text("slo: {p99_latency_ms: 25}\nhnsw: {ef_search: 60}\n")
    server = start_server(tmp_path, DIMENSION, ("--config", str(config)))

    def reload(text: str) -> None:
        config.write_text(text)
        server.process.send_signal(signal.SIGHUP)

    def threshold_ms() -> float:
        return float(server.http_json("/slo")["slo_thresholds"]["p99_latency_ns"]) / 1e6

    try:
        server.wait_ready()
        assert threshold_ms() == 25
        reload("slo: {p99_latency_ms: 50}\nhnsw: {ef_search: 70, m: 32}\n")
        wait_until(lambda: threshold_ms() == 50)
        shown = server.stub.GetConfig(pb.ConfigRequest())
        assert (shown.hnsw_ef_search, shown.hnsw_m) == (70, 16)
        wait_until(lambda: "only a restart applies it: hnsw.m" in server.log)

        reload("slo: {p99_latency_milliseconds: 50}\n")
        wait_until(lambda: server.http_json("/health")["status"] == "degraded")
        assert "p99_latency_milliseconds" in server.http_json("/health")["reason"]
        assert threshold_ms() == 50

        reload("slo: {p99_latency_ms: 75}\n")
        wait_until(lambda: threshold_ms() == 75)
        assert server.http_json("/health")["status"] == "healthy"
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


def test_hangup_while_starting_does_not_kill(tmp_path: Path) -> None:
    server = start_server(tmp_path, DIMENSION)
    try:
        wait_until(lambda: "kyrodb_server" in server.log)
        server.process.send_signal(signal.SIGHUP)
        server.wait_ready()
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


def test_second_server_on_the_data_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with running_server(tmp_path, **DIMENSION) as server:
        log = failed_start(tmp_path)
        assert "Error: " in log
        assert str(server.process.pid) in log


@pytest.mark.parametrize("key", ["server__port", "server__http_port"])
def test_port_that_is_taken_is_an_error(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        log = failed_start(tmp_path, **{key: taken})
    assert f"Error: {key.replace('__', '.')}: cannot listen on 127.0.0.1:{taken}" in log


def test_signal_before_the_end_of_the_start_ends_it(tmp_path: Path) -> None:
    server = start_server(tmp_path, DIMENSION)
    try:
        wait_until(lambda: "HTTP on" in server.log)
        assert server.stop() == 0, server.log
    finally:
        server.process.kill()
        server.process.wait()
