"""Connections to the HTTP port that never come to the point are closed, those that do are not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.test_http import settings_of

from kyrodb.server import http_deadline
from kyrodb.server.http import serving_http
from kyrodb.server.vitals import Vitals


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(http_deadline, "HTTP_REQUEST_S_MAX", 0.2)
    with (
        serving_http(Vitals(settings_of(tmp_path)), None) as http,
        socket.create_connection(("127.0.0.1", http.port), timeout=10) as connection,
    ):
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
