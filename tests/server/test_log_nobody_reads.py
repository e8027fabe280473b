"""A server whose standard output and standard error are pipes that nobody reads: it serves as ever, says so, and
stops."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.contract.test_tls import CA, issue
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server, start_server

from pykyro.proto import kyrodb_pb2 as pb

CALLS = 3000
"""Their lines at level debug are several pipes full."""
ONTO = ("bash", "-c", 'out=$1; shift; exec "$@" >"$out" 2>&1', "onto")


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[int]:
    """The reading end of the pipe `tmp_path / "pipe"`, which blocks as long as nothing is there."""
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDWR)
    yield reading
    os.close(reading)


def read_until(pipe: int, text: bytes) -> bytes:
    read = bytearray()
    while text not in read:
        read += os.read(pipe, 1 << 16)
    return bytes(read)


def insert(server: RunningServer, doc_id: int) -> bool:
    request = pb.InsertRequest(doc_id=doc_id, embedding=[1.0, 0.0, 0.0, 0.0])
    return bool(server.stub.Insert(request, timeout=120).success)


def test_calls_are_answered_health_says_so_and_a_stop_is_bounded(tmp_path: Path, pipe: int) -> None:
    wrapper = (*ONTO, str(tmp_path / "pipe"))
    with running_server(tmp_path, (), wrapper, hnsw__dimension=4, logging__level="debug") as server:
        with ThreadPoolExecutor(16) as callers:
            assert all(callers.map(lambda doc_id: insert(server, doc_id), range(1, CALLS + 1)))
        wait_until(lambda: "the log cannot be written" in server.http_json("/health").get("reason", ""))
        assert server.http("/health").status_code == 200
        # Read again, it is all there.
        wait_until(lambda: "reason" not in _health_while_read(server, pipe))
        with ThreadPoolExecutor(16) as callers:
            assert all(callers.map(lambda doc_id: insert(server, doc_id), range(1, CALLS + 1)))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0


def _health_while_read(server: RunningServer, pipe: int) -> dict[str, object]:
    os.set_blocking(pipe, False)
    try:
        while os.read(pipe, 1 << 20):
            pass
    except BlockingIOError:
        pass
    finally:
        os.set_blocking(pipe, True)
    found: dict[str, object] = server.http_json("/health")
    return found


def test_a_reader_that_leaves_ends_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    wrapper = (*ONTO, str(tmp_path / "pipe"))
    with running_server(tmp_path, (), wrapper, hnsw__dimension=4, logging__level="debug") as server:
        os.close(reading)
        assert all(insert(server, doc_id) for doc_id in range(1, 200))
        wait_until(lambda: "Broken pipe" in server.http_json("/health").get("reason", ""))
        assert "kyrodb_log_lines_lost_total 0\n" not in server.http("/metrics").text


def test_what_the_grpc_library_says_about_handshakes_holds_nobody_up(tmp_path: Path, pipe: int) -> None:
    tls = tmp_path / "tls"
    tls.mkdir()
    issue(tls, CA, "localhost")
    wrapper = (*ONTO, str(tmp_path / "pipe"))
    settings = {
        "server__tls__enabled": "true",
        "server__tls__cert_path": tls / "server.pem",
        "server__tls__key_path": tls / "server.key",
    }
    with running_server(tmp_path, (), wrapper, hnsw__dimension=4, **settings) as server:
        for _ in range(1500):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(b"no TLS at all, however long one looks at it")
                connection.recv(4096)
        context = ssl.create_default_context(cadata=CA.cert_pem.bytes().decode())
        context.set_alpn_protocols(["h2"])
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            assert secured.version() == "TLSv1.3"


def test_what_keeps_a_server_from_starting_is_still_said(tmp_path: Path, pipe: int) -> None:
    wrapper = (*ONTO, str(tmp_path / "pipe"))
    (tmp_path / "data").write_text("no directory")
    server = start_server(tmp_path, {"hnsw__dimension": 4}, (), wrapper)
    assert server.process.wait(120) == 1
    said = read_until(pipe, b"Error: ")
    assert b"stopped: " in said
    assert b"Traceback" not in said
