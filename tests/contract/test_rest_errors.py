"""A request that is refused over gRPC is refused over REST with the same code and the same words."""

from __future__ import annotations

import http
from collections.abc import Iterator
from typing import Any, Final

import grpc
import httpx
import pytest
from google.protobuf.message import Message
from tests.contract.corner import DIMENSION
from tests.server.running import RunningServer, running_server
from tests.transport.rest.door import client_of

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.transport.rest.problems import STATUSES

VECTOR: Final = [1.0, 0.0, 0.0, 0.0]
C: Final = "/v1/collections/default"

ROWS: Final[dict[str, tuple[str, Message, str, str, Any, str]]] = {
    "k 0": (
        "Search",
        pb.SearchRequest(query_embedding=VECTOR),
        "POST",
        f"{C}/search",
        {"vector": VECTOR, "k": 0},
        "k",
    ),
    "k too large": (
        "Search",
        pb.SearchRequest(query_embedding=VECTOR, k=1001),
        "POST",
        f"{C}/search",
        {"vector": VECTOR, "k": 1001},
        "k",
    ),
    "ef too large": (
        "Search",
        pb.SearchRequest(query_embedding=VECTOR, k=1, ef_search=10_001),
        "POST",
        f"{C}/search",
        {"vector": VECTOR, "k": 1, "ef_search": 10_001},
        "ef_search",
    ),
    "dimension of a query": (
        "Search",
        pb.SearchRequest(query_embedding=[1.0], k=1),
        "POST",
        f"{C}/search",
        {"vector": [1], "k": 1},
        "vector",
    ),
    "no vector": (
        "Search",
        pb.SearchRequest(k=1),
        "POST",
        f"{C}/search",
        {"vector": [], "k": 1},
        "vector",
    ),
    "beyond float32": (
        "Search",
        pb.SearchRequest(query_embedding=[float("inf"), 0, 0, 0], k=1),
        "POST",
        f"{C}/search",
        {"vector": [1e300, 0, 0, 0], "k": 1},
        "vector",
    ),
    "no length": (
        "Insert",
        pb.InsertRequest(doc_id=1, embedding=[0.0] * 4),
        "PUT",
        f"{C}/documents/1",
        {"vector": [0, 0, 0, 0]},
        "vector",
    ),
    "id 0": (
        "Insert",
        pb.InsertRequest(doc_id=0, embedding=VECTOR),
        "PUT",
        f"{C}/documents/0",
        {"vector": VECTOR},
        "id",
    ),
    "text id": (
        "BulkQuery",
        pb.BulkQueryRequest(text_ids=["a"]),
        "POST",
        f"{C}/get",
        {"ids": ["a"]},
        "ids[0]",
    ),
    "long namespace": (
        "Query",
        pb.QueryRequest(doc_id=1, namespace="n" * 1025),
        "GET",
        f"{C}/documents/1?namespace={'n' * 1025}",
        None,
        "namespace",
    ),
    "long key": (
        "Insert",
        pb.InsertRequest(doc_id=1, embedding=VECTOR, metadata={"k" * 1025: "v"}),
        "PUT",
        f"{C}/documents/1",
        {"vector": VECTOR, "metadata": {"k" * 1025: "v"}},
        "metadata",
    ),
    "long idempotency key": (
        "Delete",
        pb.DeleteRequest(doc_id=1, write_options=pb.WriteOptions(idempotency_key="k" * 129)),
        "DELETE",
        f"{C}/documents/1",
        None,
        "idempotency_key",
    ),
    "there is none at that position": (
        "Delete",
        pb.DeleteRequest(doc_id=1, write_options=pb.WriteOptions(if_position=3)),
        "DELETE",
        f"{C}/documents/1",
        None,
        "",
    ),
    "a position that is not reached": (
        "Count",
        pb.CountRequest(read_options=pb.ReadOptions(min_position=2**60, max_wait_ms=10)),
        "POST",
        f"{C}/count",
        {"min_position": 2**60, "max_wait_ms": 10},
        "",
    ),
    "a wait that is too long": (
        "Count",
        pb.CountRequest(read_options=pb.ReadOptions(min_position=1, max_wait_ms=60_001)),
        "POST",
        f"{C}/count",
        {"min_position": 1, "max_wait_ms": 60_001},
        "max_wait_ms",
    ),
    "a token of nobody": (
        "Scroll",
        pb.ScrollRequest(page_token="x"),
        "POST",
        f"{C}/scroll",
        {"page_token": "x"},
        "page_token",
    ),
    "a page too large": (
        "Scroll",
        pb.ScrollRequest(limit=10_001),
        "POST",
        f"{C}/scroll",
        {"limit": 10_001},
        "limit",
    ),
    "no sample": ("Sample", pb.SampleRequest(), "POST", f"{C}/sample", {"count": 0}, "count"),
    "no key": ("Facets", pb.FacetsRequest(), "POST", f"{C}/facets", {"key": ""}, "key"),
    "deletes nothing": ("BatchDelete", pb.BatchDeleteRequest(), "POST", f"{C}/delete", {}, "ids"),
    "deletes everything": (
        "BatchDelete",
        pb.BatchDeleteRequest(filter=pb.MetadataFilter()),
        "POST",
        f"{C}/delete",
        {"filter": {}},
        "filter",
    ),
    "empty batch": (
        "BatchInsert",
        pb.BatchInsertRequest(),
        "POST",
        f"{C}/documents",
        {"documents": [], "atomic": True},
        "documents",
    ),
    "one bad of a batch": (
        "BatchInsert",
        pb.BatchInsertRequest(documents=[pb.InsertRequest(doc_id=1, embedding=[1.0])]),
        "POST",
        f"{C}/documents",
        {"documents": [{"id": 1, "vector": [1]}], "atomic": True},
        "vector",
    ),
    "no such collection": (
        "Count",
        pb.CountRequest(collection="nowhere"),
        "POST",
        "/v1/collections/nowhere/count",
        {},
        "",
    ),
    "no name of a collection": (
        "Count",
        pb.CountRequest(collection="-"),
        "POST",
        "/v1/collections/-/count",
        {},
        "collection",
    ),
    "no such distance": (
        "CreateCollection",
        pb.CreateCollectionRequest(name="a", config=pb.CollectionConfig(dimension=4, distance="far")),
        "PUT",
        "/v1/collections/a",
        {"dimension": 4, "distance": "far"},
        "distance",
    ),
    "no dimension": (
        "CreateCollection",
        pb.CreateCollectionRequest(name="a", config=pb.CollectionConfig()),
        "PUT",
        "/v1/collections/a",
        {"dimension": 0},
        "dimension",
    ),
    "taken": (
        "CreateCollection",
        pb.CreateCollectionRequest(name="default", config=pb.CollectionConfig(dimension=4)),
        "PUT",
        C,
        {"dimension": 4},
        "",
    ),
    "default stays": ("DropCollection", pb.DropCollectionRequest(name="default"), "DELETE", C, None, "name"),
    "nothing changes": (
        "UpdateCollection",
        pb.UpdateCollectionRequest(name="default"),
        "PATCH",
        C,
        {},
        "ef_search",
    ),
    "an alias of a name": (
        "SetAlias",
        pb.SetAliasRequest(alias="default", name="default"),
        "PUT",
        "/v1/aliases/default",
        {"collection": "default"},
        "",
    ),
}
"""An RPC and its request, the same over REST, and the field that the error is about."""
HEADERS: Final = {
    "long idempotency key": {"idempotency-key": "k" * 129},
    "there is none at that position": {"if-match": '"3"'},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("errors"), hnsw__dimension=DIMENSION) as running:
        yield running


@pytest.fixture(scope="module")
def rest(server: RunningServer) -> Iterator[httpx.Client]:
    with client_of(server.http_port) as client:
        yield client


@pytest.mark.parametrize("row", ROWS)
def test_a_refusal_has_the_same_code_and_words(server: RunningServer, rest: httpx.Client, row: str) -> None:
    rpc, message, method, path, body, field = ROWS[row]
    with pytest.raises(grpc.RpcError) as caught:
        getattr(server.stub, rpc)(message)
    status: Any = caught.value
    response = rest.request(method, path, json=body, headers=HEADERS.get(row))
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["code"], problem["detail"]) == (status.code().name, status.details())
    assert response.status_code == problem["status"] == STATUSES[status.code()]
    assert problem.get("field", "") == field
    assert problem["title"] == http.HTTPStatus(response.status_code).phrase


def test_a_document_of_a_stream_is_refused_with_the_same_code_and_words(
    server: RunningServer, rest: httpx.Client
) -> None:
    vectors: list[list[float]] = [[1.0], VECTOR, [0.0] * 4, []]
    messages = [pb.InsertRequest(doc_id=at + 50, embedding=vector) for at, vector in enumerate(vectors)]
    streamed: Any = server.stub.BulkInsert(iter(messages))
    documents = [{"id": at + 50, "vector": vector} for at, vector in enumerate(vectors)]
    answer = rest.post(f"{C}/documents", json={"documents": documents}).json()
    assert answer["inserted"] == streamed.total_inserted == 1
    assert answer["failed"] == streamed.total_failed == 3
    assert answer["error"] == streamed.error
    told = [(one["index"], one["error"]) for one in answer["refusals"]]
    assert told == [(one.position, one.error) for one in streamed.refusals]
    assert {one["code"] for one in answer["refusals"]} == {"INVALID_ARGUMENT"}


def test_a_search_of_several_that_fails_says_why_in_its_place(
    server: RunningServer, rest: httpx.Client
) -> None:
    requests = [pb.SearchRequest(query_embedding=[1.0], k=1, inline_errors=True)]
    (failed,) = server.stub.BulkSearch(iter(requests))
    searches = [{"vector": VECTOR, "k": 1}, {"vector": [1.0], "k": 1}]
    answers = rest.post(f"{C}/search_many", json={"searches": searches}).json()["answers"]
    assert "hits" in answers[0]
    assert answers[1] == {"error": failed.error}
