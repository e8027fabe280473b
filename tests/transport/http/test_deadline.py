"""Connections to the HTTP port that never come to the point are closed, those that do are not; nor does one take
memory without bound."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.patience import PATIENCE_S
from tests.transport.http.test_http import settings_of

from pykyro.model.limits import HTTP_REQUEST_BYTES_MAX
from pykyro.service.server_state import ServerState
from pykyro.transport.http import deadline as http_deadline
from pykyro.transport.http.http import serving_http


@contextmanager
def connected(directory: Path) -> Iterator[socket.socket]:
    with (
        serving_http(ServerState(settings_of(directory)), None) as http,
        socket.create_connection(("127.0.0.1", http.port), timeout=PATIENCE_S) as connection,
    ):
        yield connection


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(http_deadline, "HTTP_REQUEST_S_MAX", 0.2)
    with connected(tmp_path) as connection:
        yield connection


def everything(connection: socket.socket) -> bytes:
    """Until the server closes."""
    received = b""
    while part := connection.recv(1 << 16):
        received += part
    return received


@pytest.mark.parametrize("begun", [b"", b"GET /ready HTTP/1.1\r\n", b"GET /ready HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_that_does_not_come_is_not_waited_for(connection: socket.socket, begun: bytes) -> None:
    connection.sendall(begun)
    assert everything(connection) == b""


def test_nor_is_the_next_one(connection: socket.socket) -> None:
    connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\n")
    answers = everything(connection)
    assert answers.count(b"HTTP/1.1 503") == 1


def test_requests_on_one_connection_are_all_answered(connection: socket.socket) -> None:
    for _ in range(3):
        connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 503")
    assert everything(connection) == b""


HEAD = b"GET /ready HTTP/1.1\r\nHost: x\r\n"
LONG_LINE = b"X-Y: " + b"y" * 1000 + b"\r\n"


def test_a_request_may_be_as_long_as_the_bound(connection: socket.socket) -> None:
    lines = (HTTP_REQUEST_BYTES_MAX - len(HEAD) - 2) // len(LONG_LINE)
    connection.sendall(HEAD + LONG_LINE * lines + b"\r\n")
    assert everything(connection).startswith(b"HTTP/1.1 503")


@pytest.mark.parametrize(
    ("begun", "more"),
    [
        (HEAD, LONG_LINE),
        (HEAD + b"X-Y: ", b"y" * 1000),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"3e8\r\n" + b"y" * 1000 + b"\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", LONG_LINE),
    ],
    ids=["headers", "a header", "a body", "trailers"],
)
def test_a_request_without_end_is_refused(tmp_path: Path, begun: bytes, more: bytes) -> None:
    sent = 0
    with connected(tmp_path) as connection, suppress(OSError):
        connection.sendall(begun)
        while sent < 100 * HTTP_REQUEST_BYTES_MAX:
            connection.sendall(more)
            sent += len(more)
    # What was under way when the server closed it was sent as well.
    assert sent < 100 * HTTP_REQUEST_BYTES_MAX
