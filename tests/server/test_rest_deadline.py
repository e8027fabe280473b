"""The header Request-Timeout of REST."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from tests.server.running import running_server
from tests.transport.rest.door import client_of

SCROLL = "/v1/collections/default/count"


@pytest.fixture(scope="module")
def rest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_server(tmp_path_factory.mktemp("deadline")) as server,
        client_of(server.http_port) as client,
    ):
        yield client


def test_a_request_with_time_enough_is_answered(rest: httpx.Client) -> None:
    assert rest.post(SCROLL, json={}, headers={"request-timeout": "60.5"}).status_code == 200


def test_a_request_whose_time_passes_is_answered_504(rest: httpx.Client) -> None:
    # The position is never reached: without the deadline it would wait for 30 s.
    waits = {"min_position": 10**6, "max_wait_ms": 30_000}
    answer = rest.post(SCROLL, json=waits, headers={"request-timeout": "0.2"})
    assert answer.status_code == 504
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "DEADLINE_EXCEEDED"
    assert rest.post(SCROLL, json={}).status_code == 200


def test_a_body_that_stalls_is_not_waited_for_beyond_the_deadline(rest: httpx.Client) -> None:
    with socket.create_connection((rest.base_url.host, rest.base_url.port or 0)) as connection:
        head = (
            f"POST {SCROLL} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n"
        )
        connection.sendall(f"{head}request-timeout: 0.2\r\n\r\n{{".encode())
        connection.settimeout(60)
        # Without the deadline it would be 408, ten seconds later.
        assert connection.recv(65536).startswith(b"HTTP/1.1 504 ")


@pytest.mark.parametrize(
    "text", ["0", "-1", "nan", "1e3", "", "999999999999", "9999999999", "1 s", "0.0", "x" * 500]
)
def test_what_is_no_time_is_refused_by_its_name(rest: httpx.Client, text: str) -> None:
    answer = rest.post(SCROLL, json={}, headers={"request-timeout": text})
    assert answer.status_code == 400
    assert answer.json()["field"] == "request-timeout"
    assert len(answer.json()["detail"]) < 200
