"""A stop that nobody outside can drag out: streams of which nothing is under way, connections that say nothing, a
start that is not finished, and the second and third signal.

Each server may take ten minutes for calls under way; that it ends at all within the patience of `stop` shows that it
did not wait for them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.contract.corner import TRANSPORTS
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

from pykyro.proto import kyrodb_pb2 as pb

SETTINGS: dict[str, Any] = {"hnsw__dimension": 4, "server__shutdown_timeout_secs": 600}
PATIENCE_S = 60.0
X = [1.0, 0.0, 0.0, 0.0]
SHUTTING_DOWN = "the server is shutting down"


@pytest.fixture(params=TRANSPORTS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, server__transport=request.param, **SETTINGS) as running:
        yield running


class Reader:
    """Reads the answers of a stream, and how it ends."""

    def __init__(self, answers: Any) -> None:
        self.answers: queue.Queue[Any] = queue.Queue()
        self._stream = answers
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for answer in self._stream:
                self.answers.put(answer)
        except grpc.RpcError as error:
            self.answers.put(error)

    def next(self) -> Any:
        return self.answers.get(timeout=PATIENCE_S)


def stop(server: RunningServer) -> None:
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0, server.log
    assert "ERROR" not in server.log


def test_who_watches_health_hears_of_the_stop_and_is_let_go(server: RunningServer) -> None:
    stub = health_pb2_grpc.HealthStub(server.channel)
    watching = [Reader(stub.Watch(health_pb2.HealthCheckRequest(service=name))) for name in ("", "unknown")]
    serving, unknown = (reader.next().status for reader in watching)
    assert serving == health_pb2.HealthCheckResponse.SERVING
    assert unknown == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    stop(server)
    assert watching[0].next().status == health_pb2.HealthCheckResponse.NOT_SERVING
    for reader in watching:
        end = reader.next()
        assert (end.code(), end.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)


def test_open_reflection_is_let_go(server: RunningServer) -> None:
    never = threading.Event()

    def requests() -> Iterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        never.wait(PATIENCE_S)

    reader = Reader(reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo(requests()))
    assert reader.next().list_services_response.service
    stop(server)
    end = reader.next()
    assert (end.code(), end.details()) == (grpc.StatusCode.UNAVAILABLE, SHUTTING_DOWN)
    never.set()


@pytest.mark.parametrize("name", ["BulkInsert", "BulkLoadHnsw", "BulkSearch"])
def test_a_stream_on_which_nothing_happens_is_ended_and_what_it_stored_stays(
    server: RunningServer, tmp_path: Path, name: str
) -> None:
    never = threading.Event()
    is_search = name == "BulkSearch"

    def requests() -> Iterator[Any]:
        yield (
            pb.SearchRequest(query_embedding=X, k=1) if is_search else pb.InsertRequest(doc_id=1, embedding=X)
        )
        never.wait(PATIENCE_S)

    call = getattr(server.stub, name)
    reader = Reader(call(requests()) if is_search else iter([call.future(requests())]))
    answer = reader.next()
    if not is_search:
        wait_until(lambda: server.stub.Query(pb.QueryRequest(doc_id=1)).found)
    stop(server)
    end = reader.next() if is_search else answer.exception(PATIENCE_S)
    assert end.code() is grpc.StatusCode.UNAVAILABLE
    assert SHUTTING_DOWN in end.details()
    never.set()
    if not is_search:
        with running_server(tmp_path, **SETTINGS) as again:
            assert again.stub.Query(pb.QueryRequest(doc_id=1)).found


def test_connections_that_say_nothing_or_read_nothing_hold_nobody_up(server: RunningServer) -> None:
    with contextlib.ExitStack() as held:

        def connect(port: int, said: bytes) -> socket.socket:
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(said)
            return connection

        for port in (server.port, server.http_port):
            for said in (
                b"",
                b"\x16\x03\x01",
                b"PRI * HTTP/2.0\r\n\r\n",
                b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
            ):
                connect(port, said)
        # Answers that are never read.
        connect(server.http_port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 300)
        kept_alive = connect(server.http_port, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept_alive.recv(4096)
        stop(server)


class _Filled:
    """A data directory whose recovery takes a while: a long log and no checkpoint."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        with running_server(tmp_path, **SETTINGS) as server:
            documents = (pb.InsertRequest(doc_id=at, embedding=X) for at in range(1, 9001))
            assert server.stub.BulkInsert(documents).total_inserted == 9000
            server.stop(signal.SIGKILL)


def test_a_start_that_is_stopped_does_not_become_ready(tmp_path: Path) -> None:
    filled = _Filled(tmp_path)
    server = start_server(filled.tmp_path, SETTINGS)
    try:
        wait_until(lambda: "HTTP on" in server.log)
        assert server.stop() == 0, server.log
    finally:
        server.process.kill()
        server.process.wait()
    assert "Server ready" not in server.log
    assert "gRPC on" not in server.log
    assert "Traceback" not in server.log
    with running_server(tmp_path, **SETTINGS) as again:
        assert again.stub.Search(pb.SearchRequest(query_embedding=X, k=1, exact=True)).matched == 9000


def test_a_recovery_that_hangs_holds_no_stop_up(tmp_path: Path) -> None:
    """The data directory stands on a file system that does not answer, which a FIFO plays."""
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data" / "MANIFEST")
    server = start_server(tmp_path, SETTINGS)
    try:
        wait_until(lambda: "HTTP on" in server.log)
        server.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(PATIENCE_S)
        assert server.process.poll() is not None, "it waits for the recovery"
    finally:
        server.process.kill()
        server.process.wait()
    assert "Server ready" not in server.log


class _Busy:
    """A stream that always has something to say, and so is under way."""

    def __init__(self, server: RunningServer) -> None:
        self._over = threading.Event()
        self.call = server.stub.BulkLoadHnsw.future(self._documents())
        wait_until(lambda: server.stub.Query(pb.QueryRequest(doc_id=1)).found)

    def _documents(self) -> Iterator[pb.InsertRequest]:
        doc_ids = itertools.cycle(range(1, 1001))
        while not self._over.wait(0.01):
            yield pb.InsertRequest(doc_id=next(doc_ids), embedding=X)

    def end(self) -> None:
        self._over.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_hurries_and_closes_cleanly(server: RunningServer, number: signal.Signals) -> None:
    busy = _Busy(server)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "draining" in server.log)
    server.process.send_signal(number)
    assert server.process.wait(PATIENCE_S) == 0, server.log
    busy.end()
    assert server.log.rstrip().endswith("stopped")
    assert busy.call.exception(PATIENCE_S) is not None


def test_requests_to_reload_and_to_seal_that_come_too_late_are_no_end_of_another_kind(
    server: RunningServer,
) -> None:
    """Up to the last moment of the process, which has given back whatever it handles by then."""
    server.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while server.process.poll() is None and time.monotonic() < deadline:
        for number in (signal.SIGHUP, signal.SIGUSR1):
            server.process.send_signal(number)
        time.sleep(0.001)
    assert server.process.wait(PATIENCE_S) == 0, server.log


def test_the_third_signal_ends_the_process_whatever_it_waits_for() -> None:
    waits_for_ever = (
        "import asyncio; from pykyro.server.signals import Stop\n"
        "async def main() -> None:\n"
        "    stop = Stop(); print('up', flush=True)\n"
        "    await stop.wait(); print('first', flush=True)\n"
        "    await stop.unless_again(asyncio.sleep(3600)); print('second', flush=True)\n"
        "    await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", waits_for_ever], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for said in (b"up\n", b"first\n", b"second\n"):
            assert process.stdout.readline() == said
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
