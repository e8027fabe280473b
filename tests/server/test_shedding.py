"""A server that may do one search at a time: who comes too many is refused at once, a stream alone is not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.server.running import RunningServer, running_server

from kyrodb.proto import kyrodb_pb2 as pb

SEARCH = pb.SearchRequest(query_embedding=[1.0, 0.0, 0.0, 0.0], k=5, ef_search=50)
"""With an ef of its own, so that the query cache does not answer it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings: dict[str, Any] = {"hnsw__dimension": 4, "timeouts__max_concurrent_queries": 1}
    directory: Path = tmp_path_factory.mktemp("shedding")
    with running_server(directory, **settings) as running:
        yield running


def test_stream_alone_is_never_refused(server: RunningServer) -> None:
    assert len(list(server.stub.BulkSearch(SEARCH for _ in range(300)))) == 300


def test_searches_at_once_are_refused_with_a_hint(server: RunningServer) -> None:
    def search(_: int) -> Any:
        try:
            server.stub.Search(SEARCH)
        except grpc.RpcError as error:
            return error
        return None

    refusals: list[Any] = []
    with ThreadPoolExecutor(16) as callers:
        while not refusals:
            refusals = [error for error in callers.map(search, range(200)) if error is not None]
    for refusal in refusals:
        assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        text = "Search rejected: Query queue saturated: 1 in-flight queries (max: 1)"
        assert refusal.details() == text
        assert int(dict(refusal.trailing_metadata())["retry-after-ms"]) > 0
    metrics = server.http("/metrics").text
    assert f'kyrodb_errors_total{{category="resource_exhausted"}} {len(refusals)}\n' in metrics
    assert f"kyrodb_queries_failed {len(refusals)}\n" in metrics
    server.stub.Search(SEARCH)
