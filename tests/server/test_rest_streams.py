"""Many documents by REST, in every form; and conditions as headers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from tests.patience import wait_until
from tests.server.running import RunningServer, running_server
from tests.transport.rest.door import client_of

from pykyro.model.limits import STREAM_MESSAGES_MAX

VECTOR: Final = [1.0, 0.0, 0.0, 0.0]
LINES: Final = {"content-type": "application/x-ndjson"}
ARROW: Final = {"content-type": "application/vnd.apache.arrow.stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("streams"), hnsw__dimension=4) as running:
        yield running


@pytest.fixture
def rest(server: RunningServer) -> Iterator[httpx.Client]:
    with client_of(server.http_port) as client:
        yield client


@pytest.fixture
def path(rest: httpx.Client, request: pytest.FixtureRequest) -> str:
    """That of an empty collection."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    kind = "text" if "text" in name else "integer"
    response = rest.put(f"/v1/collections/{name}", json={"dimension": 4, "id_type": kind})
    assert response.status_code == 201
    return f"/v1/collections/{name}"


def count(rest: httpx.Client, path: str) -> int:
    return int(rest.post(f"{path}/count", json={}).json()["count"])


def test_each_line_is_accounted_for_by_its_index(rest: httpx.Client, path: str) -> None:
    lines = [
        json.dumps({"id": 1, "vector": VECTOR}),
        "",
        '{"id":2,"vector":[1,0,0]}',
        "no json",
        '{"id":3,"vector":[1,0,0,0],"id":3}',
        json.dumps({"id": 4, "vector": VECTOR, "if_position": 9}),
        json.dumps({"id": 5, "vector": VECTOR, "metadata": {"a": {"$time": "yesterday"}}}),
        json.dumps({"id": 6, "vector": VECTOR, "namespace": "n", "ttl": 3600, "metadata": {"a": 1}}),
        "[]",
        json.dumps({"id": "7", "vector": VECTOR}),
    ]
    answer = rest.post(f"{path}/documents", content="\n".join(lines), headers=LINES).json()
    assert (answer["inserted"], answer["failed"]) == (2, 7)
    told = {one["index"]: (one["code"], one["error"]) for one in answer["refusals"]}
    assert list(told) == [2, 3, 4, 5, 6, 8, 9]
    assert "expected 4 found 3" in told[2][1]
    assert "comes twice" in told[4][1]
    assert told[5][0] == "ABORTED"
    assert "metadata.a is no value" in told[6][1]
    stored = rest.get(f"{path}/documents/6").json()
    assert (stored["metadata"], "expires_at" in stored) == ({"a": 1}, True)


def test_lines_are_stored_while_they_come(rest: httpx.Client, path: str, server: RunningServer) -> None:
    go_on = threading.Event()

    def lines() -> Iterator[bytes]:
        yield json.dumps({"id": 1, "vector": VECTOR}).encode() + b"\n"
        assert go_on.wait(60)
        yield json.dumps({"id": 2, "vector": VECTOR}).encode()

    found: list[httpx.Response] = []

    def send() -> None:
        with client_of(server.http_port) as other:
            found.append(other.post(f"{path}/documents", content=lines(), headers=LINES))

    thread = threading.Thread(target=send)
    thread.start()
    wait_until(lambda: count(rest, path) == 1, "the first line is stored")
    go_on.set()
    thread.join()
    assert found[0].json()["inserted"] == 2


def test_more_documents_than_a_stream_takes_are_left_out_by_name(rest: httpx.Client, path: str) -> None:
    lines = "\n".join(json.dumps({"id": at, "vector": VECTOR}) for at in range(1, STREAM_MESSAGES_MAX + 50))
    answer = rest.post(f"{path}/documents", content=lines, headers=LINES).json()
    assert (answer["inserted"], answer["failed"]) == (STREAM_MESSAGES_MAX, 1)
    assert answer["refusals"][0]["code"] == "RESOURCE_EXHAUSTED"
    loaded = rest.post(f"{path}/documents?load=true", content=lines, headers=LINES).json()
    assert (loaded["inserted"], loaded["failed"]) == (STREAM_MESSAGES_MAX + 49, 0)
    assert count(rest, path) == STREAM_MESSAGES_MAX + 49


def test_arrow_stores_what_json_stores_with_text_ids(rest: httpx.Client, path: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    from datetime import UTC, datetime

    when = datetime(2020, 1, 31, 12, tzinfo=UTC)
    columns = {
        "id": ["a", "b", "c"],
        "vector": arrow.array([VECTOR, [0.5, 1, 0, 0], [1, 2]], arrow.list_(arrow.float64())),
        "n": arrow.array([1, None, 3], arrow.uint64()),
        "metadata.f": [0.5, 1.5, 2.5],
        "when": arrow.array([when] * 3, arrow.timestamp("us", "UTC")),
        "tags": [["x"], [], None],
    }
    sink = arrow.BufferOutputStream()
    table = arrow.table(columns)
    with arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = rest.post(f"{path}/documents", content=bytes(sink.getvalue()), headers=ARROW).json()
    assert (answer["inserted"], [one["index"] for one in answer["refusals"]]) == (2, [2])
    time: Any = {"$time": "2020-01-31T12:00:00Z"}
    expected = {
        "a": {"n": 1, "f": 0.5, "when": time, "tags": ["x"]},
        "b": {"f": 1.5, "when": time, "tags": []},
    }
    for own_id, metadata in expected.items():
        assert rest.get(f"{path}/documents/{own_id}").json()["metadata"] == metadata


def test_all_or_none(rest: httpx.Client, path: str) -> None:
    good = [{"id": at, "vector": VECTOR} for at in (1, 2, 3)]
    refused = rest.post(f"{path}/documents", json={"documents": [*good, {"id": 4}], "atomic": True})
    assert (refused.status_code, refused.json()["field"]) == (400, "vector")
    assert "documents[3]" in refused.json()["detail"]
    assert count(rest, path) == 0
    headers = {"idempotency-key": "once"}
    body = {"documents": good, "atomic": True}
    first = rest.post(f"{path}/documents", json=body, headers=headers)
    rest.post(f"{path}/delete", json={"ids": [1]})
    assert rest.post(f"{path}/documents", json=body, headers=headers).json() == first.json()
    assert count(rest, path) == 2
    other = rest.post(f"{path}/documents", json=body | {"documents": good[:1]}, headers=headers)
    assert other.status_code == 400
    assert rest.post(f"{path}/documents", json={"documents": good}, headers=headers).status_code == 400


def test_etags_are_positions(rest: httpx.Client, path: str) -> None:
    one = f"{path}/documents/1"
    assert rest.put(one, json={"vector": VECTOR}, headers={"if-match": "*"}).status_code == 412
    stored = rest.put(one, json={"vector": VECTOR}, headers={"if-none-match": "*"})
    tag = stored.headers["etag"]
    read = rest.get(one)
    assert read.headers["etag"] == tag == f'"{read.json()["position"]}"'
    again = rest.get(one, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert rest.get(one, headers={"if-none-match": '"999"'}).status_code == 200
    assert rest.put(one, json={"vector": VECTOR}, headers={"if-none-match": "*"}).status_code == 412
    changed = rest.patch(one, json={"metadata": {"a": 1}}, headers={"if-match": tag})
    assert (changed.status_code, changed.headers["etag"]) == (200, rest.get(one).headers["etag"])
    assert rest.delete(one, headers={"if-match": tag}).status_code == 412
    for header in ("x", '"x"', 'W/"1"', '"1", "2"', '"99999999999999999999999"', '""'):
        refused = rest.delete(one, headers={"if-match": header})
        assert (refused.status_code, refused.json()["field"]) == (400, "if-match")
    assert rest.delete(one, headers={"if-match": "*"}).json()["existed"] is True
    assert rest.delete(one, headers={"if-match": "*"}).status_code == 412


def test_a_dropped_collection_ends_its_streams(rest: httpx.Client, path: str, server: RunningServer) -> None:
    def drop() -> None:
        with client_of(server.http_port) as other:
            assert other.delete(path).status_code == 200

    # It waits for those who use the collection.
    dropping = threading.Thread(target=drop)

    def lines() -> Iterator[bytes]:
        yield json.dumps({"id": 1, "vector": VECTOR}).encode() + b"\n"
        wait_until(lambda: count(rest, path) == 1, "the first line is stored")
        dropping.start()
        wait_until(lambda: rest.get(path).status_code == 404, "the collection is gone")
        yield json.dumps({"id": 2, "vector": VECTOR}).encode()

    with client_of(server.http_port) as other:
        response = other.post(f"{path}/documents", content=lines(), headers=LINES)
    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    dropping.join()


def test_parameters_of_the_address_are_read(rest: httpx.Client, path: str) -> None:
    stored = rest.put(f"{path}/documents/1", json={"vector": VECTOR, "namespace": "ä/b"}).json()
    read = rest.get(
        f"{path}/documents/1",
        params={
            "include_vector": "true",
            "namespace": "ä/b",
            "min_position": stored["position"],
            "max_wait_ms": 10,
        },
    )
    assert read.json()["vector"] == VECTOR
    late = rest.get(f"{path}/documents/1", params={"min_position": 2**63, "max_wait_ms": 1})
    assert (late.status_code, late.json()["code"]) == (412, "FAILED_PRECONDITION")
    for name, value in (("include_vector", "True"), ("min_position", "1.0"), ("max_wait_ms", " 1")):
        refused = rest.get(f"{path}/documents/1", params={name: value})
        assert (refused.status_code, refused.json()["field"]) == (400, name)


def test_a_long_line_is_read_as_a_short_one_is(rest: httpx.Client, path: str) -> None:
    metadata = {f"k{at}": "x" * 900 for at in range(1000)}
    lines = [
        json.dumps({"id": 1, "vector": VECTOR}),
        json.dumps({"id": 2, "vector": VECTOR, "metadata": metadata}),
        json.dumps({"id": 3, "vector": VECTOR}),
        json.dumps({"id": 4, "vector": VECTOR, "metadata": metadata | {"more": "x" * 200_000}}),
    ]
    answer = rest.post(f"{path}/documents", content="\n".join(lines), headers=LINES).json()
    assert (answer["inserted"], [one["index"] for one in answer["refusals"]]) == (3, [3])
    assert "the maximum is 1048576" in answer["error"]
    assert rest.get(f"{path}/documents/2").json()["metadata"] == metadata
    nothing_held = 'kyrodb_memory_part_bytes{part="requests"} 0'
    wait_until(lambda: nothing_held in rest.get("/metrics").text, "the requests are let go of")
