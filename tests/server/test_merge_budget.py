"""Merges into large documents cost a server with little memory what they change, in its log and in its memory; a
server that is killed behind them finds them again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from tests.operations.observed import health, metric
from tests.patience import PATIENCE_S, wait_until
from tests.server.running import RunningServer, running_server
from tests.server.watched import Watched

from pykyro.proto import kyrodb_pb2 as pb

MIB = 1 << 20
LIMIT = 512 * MIB
OVER = 1.15
"""Of the budget, which resident memory may come to: the allocator has its own."""
KEYS, VALUE_BYTES = 900, 1_000
"""Of one document, close to the bound on metadata."""
MERGES, CHANGE_BYTES = 320, 940
"""300 kB sent in pieces, which were 300 MB when each was the whole document again."""
DOCUMENTS, UPDATES = 250, 700


@contextmanager
def running(directory: Path) -> Iterator[RunningServer]:
    """Within the limit, or the test fails."""
    with (
        running_server(directory, hnsw__dimension=4, memory__limit=LIMIT) as server,
        Watched(server) as memory,
    ):
        yield server
    assert memory.most < OVER * LIMIT


def update(doc_id: int, **changes: str) -> pb.UpdateMetadataRequest:
    return pb.UpdateMetadataRequest(doc_id=doc_id, metadata=changes, merge=True)


def hot_bytes(server: RunningServer) -> float:
    return metric(server, "memory_part_bytes", part="hot tier")


def stored(server: RunningServer, documents: Iterator[pb.InsertRequest]) -> bool:
    """Whether all of them were; not when memory is short, for the load or for a document of it."""
    try:
        return bool(server.stub.BulkInsert(documents, timeout=PATIENCE_S).success)
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            raise
        return False


def send_until_accepted(server: RunningServer, requests: Sequence[pb.UpdateMetadataRequest]) -> None:
    """All at once; those that are refused for want of memory, as the load before may still take it, once more."""
    deadline = time.monotonic() + PATIENCE_S
    while requests:
        assert time.monotonic() < deadline
        calls = [server.stub.UpdateMetadata.future(request, timeout=PATIENCE_S) for request in requests]
        refused = []
        for call, request in zip(calls, requests, strict=True):
            if call.code() is grpc.StatusCode.OK:
                assert call.result().existed
            else:
                assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert int(dict(call.trailing_metadata())["retry-after-ms"]) > 0
                refused.append(request)
        requests = refused
        time.sleep(0.1 if refused else 0)


@pytest.mark.parametrize("sealed", [False, True], ids=["in the hot tier", "sealed"])
def test_tiny_merges_of_one_large_document(tmp_path: Path, sealed: bool) -> None:
    document = {f"key{at}": f"{at} ".ljust(VALUE_BYTES, "x") for at in range(KEYS)}
    with running(tmp_path) as server:
        server.stub.Insert(pb.InsertRequest(doc_id=1, embedding=[1, 2, 3, 4], metadata=document))
        if sealed:
            server.stub.FlushHotTier(pb.FlushRequest(force=True))
        logged, held = metric(server, "wal_bytes_total"), hot_bytes(server)
        for at in range(MERGES):
            changes = {f"key{at % KEYS}": f"{at} ".ljust(CHANGE_BYTES, "y")}
            document |= changes
            assert server.stub.UpdateMetadata(update(1, **changes), timeout=PATIENCE_S).existed
        assert metric(server, "wal_bytes_total") - logged < 0.4 * MIB
        assert hot_bytes(server) - held < 16 * MIB
        assert health(server)[1]["status"] == "healthy"
        assert "writes are refused" not in server.log
        server.stop(signal.SIGKILL)
    with running(tmp_path) as server:
        found = server.stub.Query(pb.QueryRequest(doc_id=1), timeout=PATIENCE_S)
        assert dict(found.metadata) == document


def test_updates_of_30_bytes_at_once_of_documents_of_a_mebibyte(tmp_path: Path) -> None:
    def document(doc_id: int) -> pb.InsertRequest:
        text = f"{doc_id} ".ljust(MIB - 100, "x")
        return pb.InsertRequest(doc_id=doc_id, embedding=[1, doc_id, 3, 4], metadata={"text": text})

    with running(tmp_path) as server:
        for first in range(1, DOCUMENTS + 1, 50):
            some = range(first, first + 50)
            wait_until(lambda: stored(server, map(document, some)), "there is room")  # noqa: B023
            server.stub.FlushHotTier(pb.FlushRequest(force=True))
        logged, held = metric(server, "wal_bytes_total"), hot_bytes(server)
        send_until_accepted(
            server,
            [
                update(1 + at % DOCUMENTS, **{f"mark{at // DOCUMENTS}": f"the mark {at}".ljust(25)})
                for at in range(UPDATES)
            ],
        )
        assert metric(server, "wal_bytes_total") - logged < MIB
        assert hot_bytes(server) - held < 8 * MIB
        assert health(server)[1]["status"] == "healthy"
        server.stop(signal.SIGKILL)
    with running(tmp_path) as server:
        for at in range(0, UPDATES, 17):
            doc_id, mark = 1 + at % DOCUMENTS, f"mark{at // DOCUMENTS}"
            found = server.stub.Query(pb.QueryRequest(doc_id=doc_id), timeout=PATIENCE_S)
            assert found.metadata[mark] == f"the mark {at}".ljust(25)
            assert found.metadata["text"] == document(doc_id).metadata["text"]
            answer = server.stub.Search(
                pb.SearchRequest(
                    query_embedding=[1, 1, 1, 1], k=3, metadata_filters={mark: found.metadata[mark]}
                ),
                timeout=PATIENCE_S,
            )
            assert [hit.doc_id for hit in answer.results] == [doc_id]
