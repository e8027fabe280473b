"""REST and clients that mean no good: each is answered clearly or cut off, and others are served as ever."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from tests.patience import PATIENCE_S
from tests.server.running import RunningServer, start_server
from tests.transport.rest.door import client_of

from pykyro.model.limits import REST_BODY_BYTES_MAX, STREAM_MESSAGES_MAX

C: Final = "/v1/collections/default"
VECTOR: Final = [1.0, 0.0, 0.0, 0.0]
FILES: Final = 256
"""With so few files there may be 24 connections to the HTTP port, and 12 of them for REST."""
REST_MAX: Final = 12
JSON: Final = {"content-type": "application/json"}
LINES: Final = {"content-type": "application/x-ndjson"}
ARROW: Final = {"content-type": "application/vnd.apache.arrow.stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(
        tmp_path_factory.mktemp("hostile"),
        {"hnsw__dimension": 4},
        wrapper=("prlimit", f"--nofile={FILES}:{FILES}"),
    )
    try:
        running.wait_ready()
        yield running
    finally:
        assert running.stop() == 0
        assert "Traceback" not in running.log
        assert "unexpectedly" not in running.log
        assert "Exception in ASGI" not in running.log


@pytest.fixture
def rest(server: RunningServer) -> Iterator[httpx.Client]:
    with client_of(server.http_port) as client:
        yield client


def raw(server: RunningServer, *parts: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.http_port), PATIENCE_S)
    for part in parts:
        connection.sendall(part)
    return connection


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: hostile"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    connection.settimeout(PATIENCE_S)
    try:
        while piece := connection.recv(1 << 16):
            found += piece
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return found


BODIES: Final[dict[str, tuple[bytes, str]]] = {
    "nan": (b'{"vector":[NaN,0,0,0]}', "NaN is no JSON"),
    "infinity": (b'{"vector":[-Infinity,0,0,0]}', "-Infinity is no JSON"),
    "a number beyond floats": (b'{"vector":[1e999,0,0,0]}', "too large for a float"),
    "a key twice": (b'{"vector":[1,0,0,0],"k":1,"k":2}', "the key 'k' comes twice"),
    "a key twice in a filter": (b'{"vector":[1,0,0,0],"filter":{"a":1,"a":2}}', "the key 'a' comes twice"),
    "deep lists": (b"[" * 200_000, "nested too deep"),
    "deep objects": (b'{"filter":' + b'{"$not":' * 5_000 + b"{}" + b"}" * 5_001, "nested"),
    "a filter of a thousand levels": (
        b'{"vector":[1,0,0,0],"filter":' + b'{"$not":' * 400 + b"{}" + b"}" * 401,
        "nested",
    ),
    "an integer of many digits": (b'{"vector":[1,0,0,0],"k":' + b"9" * 5000 + b"}", "digits"),
    "an integer beyond 64 bits": (b'{"vector":[1,0,0,0],"k":36893488147419103232}', "k "),
    "bytes that are no UTF-8": (b'{"vector":[1,0,0,0],"namespace":"\xff"}', "not UTF-8 at byte 33"),
    "a surrogate": (b'{"vector":[1,0,0,0],"namespace":"\\ud83d"}', "half of a surrogate pair"),
    "utf-16": ('{"vector":[1,0,0,0]}'.encode("utf-16"), "not UTF-8"),
    "no object": (b"[1]", "must be an object"),
    "half": (b'{"vector":[1,0', "not JSON"),
    "a field of nobody": (b'{"vector":[1,0,0,0],"vectors":1}', "vectors is no field"),
    "text for a number": (b'{"vector":[1,0,0,0],"k":"5"}', "k "),
    "a bool for a number": (b'{"vector":[1,0,0,0],"k":true}', "k "),
    "a float for an integer": (b'{"vector":[1,0,0,0],"k":5.0}', "k "),
    "nothing": (b"", "give a vector, a text, or both"),
    "zeros": (b"\0" * 1000, "not JSON"),
}


@pytest.mark.parametrize("kind", BODIES)
def test_json_that_is_none_is_refused_by_name(rest: httpx.Client, kind: str) -> None:
    body, words = BODIES[kind]
    response = rest.post(f"{C}/search", content=body, headers=JSON)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (400, "INVALID_ARGUMENT")
    assert words in problem["detail"]
    assert len(problem["detail"]) < 1000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/v1/collections", 200),
        ("OPTIONS", "/v1/collections", 204),
        ("PROPFIND", "/v1/collections", 405),
        ("TRACE", f"{C}/search", 405),
        ("GET", f"{C}/search", 405),
        ("GET", "/v1/", 404),
        ("GET", "/v1/collections/", 404),
        ("GET", f"{C}/documents/%ff", 400),
        ("GET", f"{C}/documents/18446744073709551616", 400),
        ("GET", f"{C}/documents/-1", 400),
        ("GET", f"{C}/documents/1?namespace=a&namespace=b", 400),
        ("GET", f"{C}/documents/1?include_vector=perhaps", 400),
        ("GET", f"{C}/documents/1?nobody=1", 400),
        ("GET", f"{C}/documents/1?min_position=-1", 400),
        ("GET", "/v1/collections/%00", 400),
        ("GET", "/v1/collections/..%2f..%2fetc", 400),
        ("POST", "/v1/openapi.json", 405),
    ],
)
def test_methods_and_paths_are_answered(rest: httpx.Client, method: str, path: str, status: int) -> None:
    response = rest.request(method, path)
    assert response.status_code == status
    if status in (204, 405):
        assert "GET" in response.headers["allow"] or "POST" in response.headers["allow"]


def test_media_types_that_are_not_read_are_refused(rest: httpx.Client) -> None:
    body = json.dumps({"vector": VECTOR}).encode()
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        LINES,
        ARROW,
        JSON | {"content-encoding": "gzip"},
    ):
        content = gzip.compress(body) if "content-encoding" in headers else body
        response = rest.post(f"{C}/search", content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (415, "INVALID_ARGUMENT"), headers
    assert rest.post(f"{C}/search", content=body, headers={}).status_code == 200
    assert rest.post(
        f"{C}/search", content=body, headers={"content-type": "Application/JSON; charset=utf-8"}
    ).is_success


def test_bodies_that_have_no_end_are_cut_off(server: RunningServer, rest: httpx.Client) -> None:
    def endless(piece: bytes) -> Iterator[bytes]:
        for _ in range(1000):
            yield piece

    for headers, piece in ((JSON, b" " * 65536), (LINES, b"x" * 65536), (LINES, b"{}\n" * 20_000)):
        try:
            response = rest.post(f"{C}/documents", content=endless(piece), headers=headers)
        except httpx.TransportError:
            continue  # cut off while it was sending
        assert response.status_code in (200, 413)
        if response.status_code == 200:
            assert response.json()["failed"] == STREAM_MESSAGES_MAX + 1
    stated = head("POST", f"{C}/search", content_type="application/json", content_length=str(1 << 40))
    assert b" 413 " in everything(raw(server, stated)).split(b"\r\n")[0]
    assert rest.get("/health").status_code == 200


def test_values_that_few_bytes_stand_for_are_bounded(rest: httpx.Client) -> None:
    body = b'{"ids":[' + b"[]," * (REST_BODY_BYTES_MAX // 4) + b"1]}"
    response = rest.post(f"{C}/get", content=body, headers=JSON)
    assert (response.status_code, response.json()["code"]) == (413, "RESOURCE_EXHAUSTED")


def test_requests_that_are_no_http_are_refused(server: RunningServer) -> None:
    huge = head("GET", "/v1/collections", x_filler="x" * (80 << 10))
    refused = (b"HTTP/1.1 400", b"HTTP/1.1 431")
    assert everything(raw(server, huge)).startswith(refused)
    many = b"GET /v1/collections HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"
    assert everything(raw(server, many)).startswith(refused)
    both = head("POST", f"{C}/count", content_length="2", transfer_encoding="chunked")
    assert everything(raw(server, both, b"0\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert everything(raw(server, b"\x16\x03\x01\x02\x00\x01garbage\r\n\r\n")).startswith(b"HTTP/1.1 400")


def arrow_stream(**columns: Any) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(columns)
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_arrow_that_stands_for_more_than_it_is_is_refused(rest: httpx.Client) -> None:
    arrow = pytest.importorskip("pyarrow")
    vectors = arrow.array([VECTOR] * 3, arrow.list_(arrow.float32(), 4))
    good = arrow_stream(id=[1, 2, 3], vector=vectors)
    hostile = {
        "dictionary": arrow_stream(
            id=[1, 2, 3], vector=vectors, a=arrow.array(["x"] * 3).dictionary_encode()
        ),
        "runs": arrow_stream(
            id=[1, 2, 3], vector=vectors, a=arrow.RunEndEncodedArray.from_arrays([3], arrow.array(["x"]))
        ),
        "ids of nothing": arrow_stream(id=arrow.nulls(3), vector=vectors),
        "no vectors": arrow_stream(id=[1, 2, 3]),
        "cut off": good[:-100],
        "nothing": b"",
        "garbage": b"\xff\xff\xff\xff" + b"\x10\0\0\0" + b"\xff" * 200,
        "a length without end": b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    }
    for kind, body in hostile.items():
        response = rest.post(f"{C}/documents", content=body, headers=ARROW)
        assert (response.status_code, response.json()["code"]) == (400, "INVALID_ARGUMENT"), kind
    for at in range(8, len(good), 7):
        torn = good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]
        assert rest.post(f"{C}/documents", content=torn, headers=ARROW).status_code in (200, 400), at
    assert rest.post(f"{C}/documents", content=good, headers=ARROW).json()["inserted"] == 3


def test_clients_that_stand_still_lose_their_connection_and_hold_up_nobody(
    server: RunningServer, rest: httpx.Client
) -> None:
    rows = [{"id": at, "vector": VECTOR, "metadata": {"a": "x" * 4000}} for at in range(1, 3001)]
    for start in range(0, 3000, 1000):
        stored = rest.post(f"{C}/documents", json={"documents": rows[start : start + 1000]})
        assert stored.json()["failed"] == 0
    rest.close()
    body = b'{"limit":1000}'
    unread = raw(
        server,
        head(
            "POST",
            f"{C}/scroll",
            content_type="application/json",
            content_length=str(len(body)),
            accept="application/x-ndjson",
        ),
        body,
    )
    unread.recv(100)
    slow = head("POST", f"{C}/search", content_type="application/json", content_length="1000")
    lines = head("POST", f"{C}/documents", content_type="application/x-ndjson", transfer_encoding="chunked")
    silent = [raw(server, slow, b'{"vec') for _ in range(REST_MAX - 3)]
    silent += [raw(server, lines, b'9\r\n{"id":1,"\r\n') for _ in range(2)]
    # All places of REST are taken: one more is told so, and everything else is served as ever.
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with client_of(server.http_port) as other:
            refused = other.post(f"{C}/count", json={})
            assert other.get("/health").status_code == 200
            assert other.get("/metrics").status_code == 200
        if refused.status_code == 429:
            break
        assert time.monotonic() < deadline
    assert refused.json()["detail"].endswith(f"(max: {REST_MAX})")
    assert refused.headers["retry-after"] == "1"
    answers = [everything(connection) for connection in silent]
    # Whoever found all places taken is told so at once.
    assert all(answer.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 429 ")) for answer in answers)
    assert sum(b"came too slowly" in answer for answer in answers) >= REST_MAX - 4
    everything(unread)
    with client_of(server.http_port) as other:
        assert other.post(f"{C}/count", json={}).status_code == 200
