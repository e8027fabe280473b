"""The query cache as a client meets it."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from tests.server.running import RunningServer, running_server

from pykyro.proto import kyrodb_pb2 as pb

QUESTION = [1.0, 0.5, -0.25]


def fill(server: RunningServer) -> None:
    for doc_id in range(1, 41):
        vector = [1.0, doc_id / 40, -doc_id / 80]
        assert server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=vector)).success


def ask(server: RunningServer, vector: list[float]) -> pb.SearchResponse:
    response: pb.SearchResponse = server.stub.Search(pb.SearchRequest(query_embedding=vector, k=3))
    return response


def ids(response: pb.SearchResponse) -> list[int]:
    return [result.doc_id for result in response.results]


def events(server: RunningServer, event: str) -> int:
    name = f'kyrodb_query_cache_events_total{{event="{event}"}} '
    (line,) = [line for line in server.http("/metrics").text.splitlines() if line.startswith(name)]
    return int(line.removeprefix(name))


def test_a_repeated_question_is_a_cache_hit_that_says_so_and_follows_writes(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=3) as server:
        fill(server)
        first = ask(server, QUESTION)
        assert (first.search_path, first.cache_kind) == (pb.SearchResponse.HOT_TIER_ONLY, 0)
        again = ask(server, QUESTION)
        assert (again.search_path, again.cache_kind) == (
            pb.SearchResponse.CACHE_HIT,
            pb.SearchResponse.EXACT,
        )
        assert (again.exact, again.matched, again.cache_margin > 0) == (True, 40, True)
        assert again.results == first.results
        near = ask(server, [2.0, 1.0, -0.5])
        assert near.cache_kind == pb.SearchResponse.CERTIFIED
        assert ids(near) == ids(first)
        server.stub.Delete(pb.DeleteRequest(doc_id=first.results[0].doc_id))
        after = ask(server, QUESTION)
        assert after.search_path == pb.SearchResponse.CACHE_HIT
        assert ids(after)[:2] == ids(first)[1:]
        assert (events(server, "exact"), events(server, "certified"), events(server, "miss")) == (2, 1, 1)


def batches(server: RunningServer) -> int:
    """Batches of searches that workers took."""
    name = 'kyrodb_queue_wait_seconds_count{queue="search"} '
    (line,) = [line for line in server.http("/metrics").text.splitlines() if line.startswith(name)]
    return int(line.removeprefix(name))


def test_what_is_cached_is_answered_without_a_worker_unless_a_filter_has_to_be_counted(
    tmp_path: Path,
) -> None:
    with running_server(tmp_path, hnsw__dimension=3) as server:
        fill(server)
        filtered = pb.SearchRequest(query_embedding=QUESTION, k=3, metadata_filters={"absent": "x"})
        ask(server, QUESTION)
        server.stub.Search(filtered)
        asked = batches(server)
        assert asked == 2
        for scale in (1.0, 1.5, 2.0):
            answer = ask(server, [scale * component for component in QUESTION])
            assert answer.search_path == pb.SearchResponse.CACHE_HIT
        assert batches(server) == asked
        assert server.stub.Search(filtered).search_path == pb.SearchResponse.CACHE_HIT
        assert batches(server) == asked + 1
        large = pb.SearchRequest(query_embedding=QUESTION, k=3, metadata_filters={"absent": "x" * 300})
        named = pb.SearchRequest(query_embedding=QUESTION, k=3, namespace="absent")
        for number, request in enumerate((large, named), asked + 2):
            server.stub.Search(request)
            assert batches(server) == number
        with pytest.raises(grpc.RpcError) as refused:
            ask(server, [1.0])
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert batches(server) == asked + 3


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("off", [0, 0, 0]),
        ("exact", [0, pb.SearchResponse.EXACT, 0]),
        ("certified", [0, pb.SearchResponse.EXACT, 0]),
        ("threshold", [0, pb.SearchResponse.EXACT, pb.SearchResponse.THRESHOLD]),
        ("rescored", [0, pb.SearchResponse.EXACT, 0]),
    ],
)
def test_the_mode_is_the_configured_one(tmp_path: Path, mode: str, kinds: list[int]) -> None:
    with running_server(
        tmp_path, hnsw__dimension=3, hnsw__ef_search=4, cache__query_cache_mode=mode
    ) as server:
        fill(server)
        asked = [QUESTION, QUESTION, [1.0, 0.1, 0.6]]
        assert [ask(server, vector).cache_kind for vector in asked] == kinds
