"""Requests that ask for more memory or work than the server has: each has its right outcome, others are served
meanwhile, and the server stays within its budget."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.operations.observed import metric
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import RunningServer, running_server, stub
from tests.server.unread import UnreadConnection
from tests.server.watched import Watched

from pykyro.model.limits import STANDING_STREAMS_MAX, STANDING_STREAMS_OF_CONNECTION_MAX
from pykyro.proto import kyrodb_pb2 as pb
from pykyro.proto.methods import METHODS

MIB = 1 << 20
LIMIT = 1 << 30
OVER = 1.15
"""Of the budget, which resident memory may come to: the allocator has its own."""
LARGE = 200
QUERY = [1.0, 0.5, 0.25, 0.125]
WATCH = "/grpc.health.v1.Health/Watch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """With LARGE documents of nearly a MiB, and ten small ones."""
    directory = tmp_path_factory.mktemp("budget")
    with running_server(
        directory, hnsw__dimension=4, memory__limit=LIMIT, cache__query_cache_mode="off"
    ) as running:
        text = "x" * (MIB - 100)
        large = (
            pb.InsertRequest(doc_id=at, embedding=[1.0, at, 0.5, 0.25], metadata={"text": text})
            for at in range(1, LARGE + 1)
        )
        small = (
            pb.InsertRequest(doc_id=1000 + at, embedding=[1.0, 0.5, at, 0.25], metadata={"n": str(at)})
            for at in range(10)
        )
        for documents in (large, small):
            assert running.stub.BulkInsert(documents).success
        running.stub.FlushHotTier(pb.FlushRequest(force=True))
        yield running


def refused(call: Any, request: Any) -> grpc.RpcError | None:
    try:
        call(request, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error
    return None


def test_a_document_named_ten_thousand_times_is_refused_before_it_is_read(server: RunningServer) -> None:
    with Watched(server) as memory:
        error: Any = refused(server.stub.BulkQuery, pb.BulkQueryRequest(doc_ids=[1] * 10_000))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "10000 documents of 1.0 MiB on average; an answer has at most 128 MiB" in error.details()
    assert "retry-after-ms" not in dict(error.trailing_metadata())
    assert memory.most < OVER * LIMIT

    answer = server.stub.BulkQuery(pb.BulkQueryRequest(doc_ids=[1001, 7, 1001, 55_555, 1001]))
    assert [result.doc_id for result in answer.results] == [1001, 7, 1001, 55_555, 1001]
    assert [result.found for result in answer.results] == [True, True, True, False, True]
    assert (answer.total_found, answer.total_requested) == (4, 5)
    assert answer.results[0] == answer.results[2] == answer.results[4]


def test_searches_with_answers_of_200_mib_are_refused_and_smaller_ones_get_in_by_turns(
    server: RunningServer,
) -> None:
    def search(k: int) -> Any:
        return refused(server.stub.Search, pb.SearchRequest(query_embedding=[1.0, 9, 0.5, 0.25], k=k))

    with Watched(server) as memory, ThreadPoolExecutor(30) as callers:
        too_large = list(callers.map(search, [LARGE] * 30))
        large = list(callers.map(search, [LARGE // 2] * 12))
    for error in too_large:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "an answer has at most 128 MiB: ask for fewer documents at once" in error.details()
    assert None in large
    for error in large:
        if error is not None:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert int(dict(error.trailing_metadata())["retry-after-ms"]) > 0
    assert memory.most < OVER * LIMIT
    assert search(5) is None


def test_answers_that_nobody_reads_stay_charged_and_their_connection_is_closed(server: RunningServer) -> None:
    request = pb.QueryRequest(doc_id=3).SerializeToString()
    with Watched(server) as memory, UnreadConnection(server.port) as unread:
        for _ in range(4000):
            if not unread.call(METHODS["Query"].path, request):
                break
        wait_until(lambda: metric(server, "memory_part_bytes", part="answers") > 64 * MIB, "it is charged")
        assert server.stub.Query(pb.QueryRequest(doc_id=1001)).found
        wait_until(unread.is_closed, "it is closed")
    assert memory.most < OVER * LIMIT
    wait_until(lambda: metric(server, "memory_part_bytes", part="answers") < MIB, "and nothing is left")
    assert "wait on it, and for" in server.log


def test_a_stream_whose_answers_nobody_reads_has_few_of_them_waiting(server: RunningServer) -> None:
    """128 searches with answers of 20 MiB would be 2.5 GiB."""
    request = pb.SearchRequest(query_embedding=[1.0, 9, 0.5, 0.25], k=20)
    end = threading.Event()

    def requests() -> Iterator[pb.SearchRequest]:
        for _ in range(128):
            yield request
        end.wait(PATIENCE_S)

    with Watched(server) as memory:
        answers = server.stub.BulkSearch(requests())
        for _ in range(10):
            assert server.stub.Search(pb.SearchRequest(query_embedding=QUERY, k=5, ef_search=50)).results
        first = next(answers)
        assert len(first.results) == 20
        assert metric(server, "memory_part_bytes", part="answers") < 450 * MIB
        end.set()
        answers.cancel()
    assert memory.most < OVER * LIMIT
    wait_until(lambda: metric(server, "memory_part_bytes", part="answers") < MIB, "and nothing is left")


def test_a_search_does_not_wait_for_long_ones_of_others(server: RunningServer) -> None:
    """Filters of thousands of text ranges, on as many keys as they can be."""
    message = pb.MetadataFilter()
    for at in range(4090):
        part = message.or_filter.filters.add()
        part.range.key, part.range.gte = f"key{at % 500}", f"text {at}"
    long_one = pb.SearchRequest(query_embedding=QUERY, k=1, filter=message)
    short_one = pb.SearchRequest(query_embedding=QUERY, k=1, ef_search=50)
    answered: list[int] = []

    def ask_long(client: int) -> None:
        with grpc.insecure_channel(
            f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            for _ in range(5):
                stub(channel).Search(long_one, timeout=PATIENCE_S)
                answered.append(client)

    clients = [threading.Thread(target=ask_long, args=(client,)) for client in range(4)]
    for client in clients:
        client.start()
    meanwhile = 0
    while any(client.is_alive() for client in clients):
        server.stub.Search(short_one, timeout=PATIENCE_S)
        meanwhile += 1
    # Twenty that take several times as long each were under way; in one queue each would have let one by.
    assert sorted(answered) == [client for client in range(4) for _ in range(5)]
    assert meanwhile > 20


def test_filters_that_never_come_again_are_not_kept(tmp_path: Path) -> None:
    with running_server(tmp_path, hnsw__dimension=4, memory__limit=512 * MIB) as server:
        documents = (
            pb.InsertRequest(doc_id=at, embedding=[1.0, at, 0.5, 0.25], metadata={"n": str(at)})
            for at in range(1, 1201)
        )
        assert server.stub.BulkInsert(documents).success
        server.stub.FlushHotTier(pb.FlushRequest(force=True))
        with Watched(server) as memory:
            for at in range(60):
                value = f"{at} " + "v" * 3_900_000
                request = pb.SearchRequest(query_embedding=QUERY, k=10, metadata_filters={"n": value})
                assert not server.stub.Search(request, timeout=PATIENCE_S).results
                assert not server.stub.Search(request, timeout=PATIENCE_S).results
        # Sixty of these values take 230 MiB, beside the 335 that a server comes to with the largest requests at once.
        assert memory.most < 400 * MIB


def test_watchers_without_end_are_bounded_and_do_not_hold_up_a_stop(tmp_path: Path) -> None:
    connections, each = 80, 40

    async def watch(server: RunningServer) -> Counter[str]:
        codes: Counter[str] = Counter()
        channels = [
            grpc.aio.insecure_channel(
                f"127.0.0.1:{server.port}", options=[("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(connections)
        ]
        request = health_pb2.HealthCheckRequest().SerializeToString()

        asking = asyncio.Semaphore(1000)
        """More at once than the event loop takes up, and grpcio would cancel some."""

        async def one(channel: grpc.aio.Channel) -> None:
            try:
                async with asking:
                    call = channel.unary_stream(WATCH, bytes, bytes)(request)
                    is_open = isinstance(await call.read(), bytes)
            except grpc.aio.AioRpcError:
                is_open = False
            if is_open:
                codes["asked"] += 1
                codes["watching"] += 1
                await call.code()  # ended for one that came later, or by the stop
                codes["watching"] -= 1
            else:
                codes["asked"] += 1
                codes[(await call.code()).name] += 1

        tasks = [asyncio.create_task(one(channel)) for channel in channels for _ in range(each)]

        def settled() -> bool:
            return codes["asked"] == connections * each and codes["watching"] <= STANDING_STREAMS_MAX

        while not settled():
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(server.stub.Health, pb.HealthRequest())
        watching = codes["watching"]
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        assert await stopping == 0
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for channel in channels:
            await channel.close(None)
        codes["watching"] = watching
        return codes

    with running_server(
        tmp_path, hnsw__dimension=4, memory__limit=512 * MIB, server__shutdown_timeout_secs=5
    ) as server:
        with Watched(server) as memory:
            codes = asyncio.run(watch(server))
        assert memory.most < 512 * MIB
    assert 0 < codes["watching"] <= STANDING_STREAMS_MAX
    assert codes["RESOURCE_EXHAUSTED"] >= connections * (each - STANDING_STREAMS_OF_CONNECTION_MAX)
