"""Who comes too many is refused at once and by name; a stream alone is not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.contract.corner import TRANSPORTS
from tests.server.running import RunningServer, running_server

from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS

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


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_burst_from_many_connections_is_answered_or_refused_by_name(tmp_path: Path, transport: str) -> None:
    """More calls at once than the event loop has taken up; grpcio would cancel some of a thousand or more."""
    connections, each = 30, 100

    async def burst(port: int) -> list[grpc.StatusCode]:
        async with contextlib.AsyncExitStack() as held:
            options = [("grpc.use_local_subchannel_pool", 1)]
            channels = [
                await held.enter_async_context(
                    grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)
                )
                for _ in range(connections)
            ]
            calls = [channel.unary_unary(METHODS["Search"].path, bytes, bytes) for channel in channels]
            payload = SEARCH.SerializeToString()
            await asyncio.gather(*(call(payload) for call in calls))
            made = [call(payload) for call in calls for _ in range(each)]
            return list(await asyncio.gather(*(call.code() for call in made)))

    with running_server(tmp_path, hnsw__dimension=4, server__transport=transport) as server:
        codes = asyncio.run(burst(server.port))
    assert len(codes) == connections * each
    assert set(codes) <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert grpc.StatusCode.OK in codes
