"""What a client makes of failures: errors, another try, and none where it could do harm."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from tests.client.scripted import Answer, Scripted, ok, refuse, scripted_server, server_of, sleep
from tests.client.stores import DIMENSION, Store, client_of

from pykyro import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    KyroError,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from pykyro.client import calls, write_calls
from pykyro.model.filter import Exact, In
from pykyro.proto import kyrodb_pb2 as pb

pytestmark = pytest.mark.parametrize("kind", ["client", "async"])

Code = grpc.StatusCode
ONES = [1.0] * DIMENSION
CONFIG = ok(pb.ConfigResponse(embedding_dimension=DIMENSION, hnsw_distance="Cosine"))
GONE = refuse(Code.UNAVAILABLE, "gone")
BUSY = refuse(Code.RESOURCE_EXHAUSTED, "busy", retry_after_ms="20")


MEANINGS = {
    Code.INVALID_ARGUMENT: InvalidArgument,
    Code.OUT_OF_RANGE: InvalidArgument,
    Code.RESOURCE_EXHAUSTED: ResourceExhausted,
    Code.FAILED_PRECONDITION: FailedPrecondition,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.UNAUTHENTICATED: Unauthenticated,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.INTERNAL: KyroError,
    Code.DATA_LOSS: KyroError,
}


@pytest.fixture
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that were shed do not rest, as far as this test can wait."""
    for module, name in ((calls, "STREAM"), (write_calls, "STREAM_ONCE_MORE")):
        monkeypatch.setattr(module, name, replace(getattr(module, name), rest_s=0.0))


def test_a_status_is_an_error_of_the_tree(kind: str) -> None:
    answers = [refuse(code, f"the server's {code.name}") for code in MEANINGS]
    with scripted_server({"Query": answers}) as script, client_of(kind, script.target) as client:
        for code, error in MEANINGS.items():
            with pytest.raises(KyroError, match=f"the server's {code.name}") as caught:
                client.get(1)
            assert type(caught.value) is error
            assert isinstance(caught.value.__cause__, grpc.RpcError)
    assert len(script.asked) == len(MEANINGS)


CALLS: dict[str, Callable[[Store], object]] = {
    "Insert": lambda client: client.insert(1, ONES),
    "UpdateMetadata": lambda client: client.update_metadata(1, {"a": "x"}, merge=True),
    "Query": lambda client: client.get(1),
    "BulkQuery": lambda client: client.get_many([1]),
    "Search": lambda client: client.search(ONES),
    "BulkSearch": lambda client: client.search_many([ONES]),
    "Health": lambda client: client.health(),
    "Metrics": lambda client: client.stats(),
    "BulkInsert": lambda client: client.insert_many([(1, ONES)]),
    "Delete": lambda client: client.delete(1),
    "BatchDelete": lambda client: client.delete_many([1]),
    "FlushHotTier": lambda client: client.flush(),
    "CreateSnapshot": lambda client: client.snapshot(),
}
# A delete that was done although its answer was lost would, the second time, say that there was nothing.
ONCE = {"Delete", "BatchDelete", "FlushHotTier", "CreateSnapshot"}


@pytest.mark.parametrize("rpc", CALLS)
def test_a_call_is_made_again_unless_that_could_do_harm(kind: str, rpc: str) -> None:
    answers = {"GetConfig": [CONFIG], rpc: [GONE, GONE, ok(pb.HealthResponse())]}
    with scripted_server(answers) as script, client_of(kind, script.target) as client:
        if rpc in ONCE:
            with pytest.raises(Unavailable, match="gone"):
                CALLS[rpc](client)
        else:
            CALLS[rpc](client)
    assert len(script.asked_of(rpc)) == (1 if rpc in ONCE else 3)
    assert all(requests == script.asked_of(rpc)[0] for requests in script.asked_of(rpc))


@pytest.mark.parametrize("rpc", ["Search", "Delete", "BulkSearch"])
def test_a_shed_call_waits_as_long_as_it_is_told(kind: str, rpc: str) -> None:
    answers = {rpc: [refuse(Code.RESOURCE_EXHAUSTED, "busy", retry_after_ms="250"), ok(pb.DeleteResponse())]}
    with scripted_server(answers) as script, client_of(kind, script.target) as client:
        started_s = time.monotonic()
        CALLS[rpc](client)
        assert time.monotonic() - started_s >= 0.25
    assert len(script.asked) == 2


@pytest.mark.parametrize("hint", [None, "soon"])
def test_exhaustion_that_waiting_cannot_cure_is_told_at_once(kind: str, hint: str | None) -> None:
    full = refuse(Code.RESOURCE_EXHAUSTED, "quota", hint)
    with (
        scripted_server({"Insert": [full]}) as script,
        client_of(kind, script.target) as client,
        pytest.raises(ResourceExhausted, match="quota") as caught,
    ):
        client.insert(1, ONES)
    assert caught.value.retry_after_s is None
    assert len(script.asked) == 1


def test_trying_again_ends(kind: str) -> None:
    with (
        scripted_server({"Query": [BUSY]}) as script,
        client_of(kind, script.target) as client,
        pytest.raises(ResourceExhausted, match="busy") as caught,
    ):
        client.get(1)
    assert caught.value.retry_after_s == 0.02
    assert len(script.asked) == 5


def test_waiting_longer_than_the_caller_has_is_not_begun(kind: str) -> None:
    busy = refuse(Code.RESOURCE_EXHAUSTED, "busy", retry_after_ms="60000")
    with (
        scripted_server({"Query": [busy]}) as script,
        client_of(kind, script.target, timeout_s=5) as client,
        pytest.raises(ResourceExhausted, match="busy"),
    ):
        client.get(1)
    assert len(script.asked) == 1


def test_time_runs_out(kind: str) -> None:
    with (
        scripted_server({"Search": [sleep(20)]}) as script,
        client_of(kind, script.target, timeout_s=0.3) as client,
        pytest.raises(DeadlineExceeded),
    ):
        client.search(ONES)


def test_nobody_there(kind: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{closed.getsockname()[1]}"
        with client_of(kind, target, timeout_s=0.4) as client, pytest.raises(Unavailable, match=target):
            client.get(1)


@pytest.mark.parametrize("rpc", ["Query", "Insert", "Delete", "BatchDelete", "FlushHotTier", "BulkInsert"])
def test_a_server_that_restarts_is_waited_for(kind: str, rpc: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        script = Scripted(answers={"GetConfig": [CONFIG], rpc: [ok(pb.HealthResponse())]})
        server = server_of(script)
        with client_of(kind, f"127.0.0.1:{port}", timeout_s=120) as client, ThreadPoolExecutor(1) as pool:
            call = pool.submit(CALLS[rpc], client)
            # Longer than five attempts took, so a client that counts them has given up by now.
            assert not wait([call], timeout=1.5).done
            held.close()
            assert server.add_insecure_port(f"127.0.0.1:{port}") == port
            server.start()
            try:
                call.result(60)
            finally:
                server.stop(None).wait()
    assert len(script.asked_of(rpc)) == 1


def test_the_end_of_waiting_says_how_long_and_why(kind: str) -> None:
    with (
        scripted_server({"Query": [GONE]}) as script,
        client_of(kind, script.target, timeout_s=1.0) as client,
        pytest.raises(
            Unavailable, match=r"gave up after .* s and .* attempts \(timeout_s = 1\): gone"
        ) as caught,
    ):
        client.get(1)
    assert len(script.asked) > 5
    assert isinstance(caught.value.__cause__, grpc.RpcError)


def _answering_at_most(count: int, then: Answer) -> Answer:
    """A BulkSearch that answers so many searches, each with its k as total_found, and then fails."""

    def answer(requests: list[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for request in requests[:count]:
            first = pb.SearchRequest.FromString(request).query_embedding[0]
            yield pb.SearchResponse(total_found=int(first)).SerializeToString()
        if len(requests) > count:
            then(requests, context)

    return answer


@pytest.mark.parametrize("then", [GONE, BUSY], ids=["gone", "busy"])
def test_a_stream_of_searches_goes_on_where_it_broke_off(kind: str, then: Answer, no_rest: None) -> None:
    queries = [[float(at), 1.0] for at in range(1, 11)]
    with (
        scripted_server({"BulkSearch": [_answering_at_most(4, then)]}) as script,
        client_of(kind, script.target) as client,
    ):
        answers = client.search_many(queries)
    assert [answer.total_found for answer in answers] == list(range(1, 11))
    assert [len(requests) for requests in script.asked_of("BulkSearch")] == [10, 6, 2]


def _storing_at_most(messages: int) -> Answer:
    """A BulkInsert of a server whose rate allows so many messages at a time."""

    def answer(requests: list[bytes], context: grpc.ServicerContext) -> Any:
        if len(requests) > messages:
            return refuse(Code.RESOURCE_EXHAUSTED, "rate limit exceeded", retry_after_ms="1")(
                requests, context
            )
        return pb.InsertResponse(success=True, total_inserted=len(requests)).SerializeToString()

    return answer


def test_a_stream_faster_than_the_rate_is_split(kind: str, no_rest: None) -> None:
    with (
        scripted_server({"GetConfig": [CONFIG], "BulkInsert": [_storing_at_most(10)]}) as script,
        client_of(kind, script.target) as client,
    ):
        report = client.insert_many((doc_id, ONES) for doc_id in range(1, 17))
    assert (report.inserted, report.refused) == (16, [])
    stored = [requests for requests in script.asked_of("BulkInsert") if len(requests) <= 10]
    ids = [pb.InsertRequest.FromString(request).doc_id for requests in stored for request in requests]
    assert ids == list(range(1, 17))


def test_the_size_that_the_rate_allows_is_kept(kind: str, no_rest: None) -> None:
    with (
        scripted_server({"GetConfig": [CONFIG], "BulkInsert": [_storing_at_most(500)]}) as script,
        client_of(kind, script.target) as client,
    ):
        assert client.insert_many((doc_id, ONES) for doc_id in range(1, 3001)).inserted == 3000
    sizes = [len(requests) for requests in script.asked_of("BulkInsert")]
    assert sizes[sizes.index(500) :] == [500] * 6


def test_a_rate_that_allows_nothing_is_told_with_what_was_stored(kind: str) -> None:
    answers = [
        ok(pb.InsertResponse(success=True, total_inserted=1000)),
        refuse(Code.PERMISSION_DENIED, "no more"),
    ]
    with (
        scripted_server({"GetConfig": [CONFIG], "BulkInsert": answers}) as script,
        client_of(kind, script.target) as client,
        pytest.raises(PermissionDenied, match="no more") as caught,
    ):
        client.insert_many((doc_id, ONES) for doc_id in range(1, 1500))
    assert "1000 documents of this insert_many are stored" in caught.value.__notes__[0]


def _refusing(bad: set[int]) -> Answer:
    """A BulkInsert of a server that refuses these ids and names none of them."""

    def answer(requests: list[bytes], context: grpc.ServicerContext) -> bytes:
        failed = [pb.InsertRequest.FromString(request).doc_id in bad for request in requests].count(True)
        return pb.InsertResponse(
            success=not failed,
            error="the disk says no" if failed else "",
            total_inserted=len(requests) - failed,
            total_failed=failed,
        ).SerializeToString()

    return answer


@pytest.mark.parametrize("bad", [set(), {1}, {7, 8, 300}, set(range(1, 300)), set(range(200, 301))], ids=len)
def test_it_is_found_out_what_a_server_refused_that_does_not_say(kind: str, bad: set[int]) -> None:
    with (
        scripted_server({"GetConfig": [CONFIG], "BulkInsert": [_refusing(bad)]}) as script,
        client_of(kind, script.target) as client,
    ):
        report = client.insert_many((doc_id, ONES) for doc_id in range(1, 301))
    assert report.inserted == 300 - len(bad)
    assert [(refusal.id, refusal.reason) for refusal in report.refused] == [
        (doc_id, "the disk says no") for doc_id in sorted(bad)
    ]


def test_nothing_stored_is_an_error_whoever_refused(kind: str) -> None:
    with (
        scripted_server({"GetConfig": [CONFIG], "BulkInsert": [_refusing({1, 2, 3})]}) as script,
        client_of(kind, script.target) as client,
        pytest.raises(FailedPrecondition, match="the disk says no"),
    ):
        client.insert_many((doc_id, ONES) for doc_id in (1, 2, 3))
    assert len(script.asked_of("BulkInsert")) == 1


def test_a_request_larger_than_a_message_is_not_sent(kind: str) -> None:
    with (
        scripted_server({}) as script,
        client_of(kind, script.target) as client,
        pytest.raises(InvalidArgument, match="the maximum is 4194304"),
    ):
        client.search(ONES, filter=In("a", tuple("x" * 2000 for _ in range(4000))))
    assert script.asked == []


@pytest.mark.parametrize("condition", [Exact("a", "\ud800"), Exact("a", 5)])  # type: ignore[arg-type]
def test_a_filter_that_cannot_be_sent_is_refused(kind: str, condition: Exact) -> None:
    with (
        client_of(kind, "127.0.0.1:1") as client,
        pytest.raises(InvalidArgument, match="filter cannot be sent"),
    ):
        client.search(ONES, filter=condition)


def test_an_older_server_that_knows_no_extension_fields(kind: str) -> None:
    response = pb.SearchResponse(results=[pb.SearchResult(doc_id=3, score=0.5)], total_found=1)
    with (
        scripted_server({"Search": [ok(response)]}) as script,
        client_of(kind, script.target) as client,
    ):
        answer = client.search(np.ones(DIMENSION))
    assert (answer[0].id, answer[0].score, answer[0].metadata) == (3, 0.5, {})
    assert (answer.exact, answer.complete, answer.tiers, answer.plan) == (False, True, frozenset(), "")
