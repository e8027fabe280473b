"""The rules of gRPC, over the wire: kinds of calls, deadlines, cancellation, refusals."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from tests.patience import PATIENCE_S, wait_until
from tests.transport.grpc.h2.serving import channel_to, path, serving

from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import HEADERS_BYTES_MAX, HEADERS_COUNT_MAX
from pykyro.transport.grpc.h2.call import Call

MIB = 1 << 20


class Seen:
    """What handlers were told, and what became of them."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.peer = ""
        self.remaining_s: float | None = None
        self.begun = threading.Event()
        self.cancelled = threading.Event()


SEEN = Seen()


async def echo(request: bytes, call: Call) -> bytes:
    SEEN.metadata, SEEN.peer = dict(call.invocation_metadata()), call.peer()
    SEEN.remaining_s = call.time_remaining()
    return request


async def large(request: bytes, _: Call) -> bytes:
    return bytes(range(256)) * (int(request) >> 8)


async def join(messages: AsyncIterator[bytes], _: Call) -> bytes:
    return b",".join([message async for message in messages])


async def repeat(request: bytes, call: Call) -> None:
    for _ in range(3):
        await call.write(request)


async def both(messages: AsyncIterator[bytes], _: Call) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message.upper()


async def never(_: bytes, __: Call) -> bytes:
    SEEN.begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        SEEN.cancelled.set()
        raise
    return b""


async def refuse(_: bytes, call: Call) -> bytes:
    await call.abort(grpc.StatusCode.ABORTED, "no: 100 %, größer", (("why", "so"), ("more-bin", b"\0\xff")))


async def yield_and_refuse(messages: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
    yield await anext(messages)
    await call.abort(grpc.StatusCode.DATA_LOSS, "after one")


async def break_down(_: bytes, __: Call) -> bytes:
    raise RuntimeError("a secret of the server")


async def exhausted(_: bytes, __: Call) -> bytes:
    raise ResourceExhausted("no room")


HANDLERS = {
    "Echo": grpc.unary_unary_rpc_method_handler(echo),
    "Large": grpc.unary_unary_rpc_method_handler(large),
    "Never": grpc.unary_unary_rpc_method_handler(never),
    "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    "BreakDown": grpc.unary_unary_rpc_method_handler(break_down),
    "Exhausted": grpc.unary_unary_rpc_method_handler(exhausted),
    "Join": grpc.stream_unary_rpc_method_handler(join),
    "Repeat": grpc.unary_stream_rpc_method_handler(repeat),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "YieldAndRefuse": grpc.stream_stream_rpc_method_handler(yield_and_refuse),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(HANDLERS) as port:
        yield port


@pytest.fixture
def channel(port: int) -> Iterator[Any]:
    with channel_to(port, ("grpc.max_metadata_size", 1 << 20)) as channel:
        yield channel


def unary(channel: Any, name: str, request: bytes = b"", **options: Any) -> bytes:
    answer: bytes = channel.unary_unary(path(name))(request, timeout=PATIENCE_S, **options)
    return answer


def refusal(channel: Any, name: str, request: bytes = b"", **options: Any) -> Any:
    options = {"timeout": PATIENCE_S} | options
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary(path(name))(request, **options)
    return refused.value


@pytest.mark.parametrize("size", [0, 1, 65_536, 262_144, 262_400, 20 * MIB])
def test_one_message_each_way(channel: Any, size: int) -> None:
    assert unary(channel, "Large", b"%d" % size) == bytes(range(256)) * (size >> 8)
    request = b"r" * min(size, 4 * MIB)
    assert unary(channel, "Echo", request) == request


def test_every_kind_of_stream(channel: Any) -> None:
    messages = [b"a", b"", b"b" * 100_000]
    assert channel.stream_unary(path("Join"))(iter(messages), timeout=PATIENCE_S) == b",".join(messages)
    assert list(channel.unary_stream(path("Repeat"))(b"again", timeout=PATIENCE_S)) == [b"again"] * 3
    answers = channel.stream_stream(path("Both"))(iter(messages), timeout=PATIENCE_S)
    assert list(answers) == [message.upper() for message in messages]
    assert list(channel.stream_stream(path("Both"))(iter(()), timeout=PATIENCE_S)) == []


def test_an_answer_comes_before_the_next_question_is_asked(channel: Any) -> None:
    answered = threading.Event()

    def questions() -> Iterator[bytes]:
        yield b"first"
        assert answered.wait(PATIENCE_S)
        yield b"second"

    answers = channel.stream_stream(path("Both"))(questions(), timeout=PATIENCE_S)
    assert next(answers) == b"FIRST"
    answered.set()
    assert list(answers) == [b"SECOND"]


def test_what_a_handler_is_told(channel: Any) -> None:
    unary(channel, "Echo", metadata=(("x-key", "value"), ("raw-bin", b"\0\xfe")))
    assert SEEN.metadata["x-key"] == "value"
    assert SEEN.metadata["raw-bin"] == b"\0\xfe"
    family, host, peer_port = SEEN.peer.split(":")
    assert (family, host, peer_port.isdigit()) == ("ipv4", "127.0.0.1", True)
    assert SEEN.remaining_s is not None
    assert PATIENCE_S / 2 < SEEN.remaining_s < PATIENCE_S + 2  # gRPC rounds up
    channel.unary_unary(path("Echo"))(b"")
    assert SEEN.remaining_s is None


def test_a_status_with_its_text_and_metadata(channel: Any) -> None:
    refused = refusal(channel, "Refuse")
    assert (refused.code(), refused.details()) == (grpc.StatusCode.ABORTED, "no: 100 %, größer")
    assert {("why", "so"), ("more-bin", b"\0\xff")} <= {tuple(pair) for pair in refused.trailing_metadata()}


def test_a_status_after_answers(channel: Any) -> None:
    answers = channel.stream_stream(path("YieldAndRefuse"))(iter([b"one"]), timeout=PATIENCE_S)
    assert next(answers) == b"one"
    with pytest.raises(grpc.RpcError) as refused:
        next(answers)
    assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.DATA_LOSS, "after one")


def test_errors_of_ours_have_their_status_and_others_say_nothing(channel: Any) -> None:
    refused = refusal(channel, "Exhausted")
    assert (refused.code(), refused.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")
    refused = refusal(channel, "BreakDown")
    assert (refused.code(), refused.details()) == (grpc.StatusCode.INTERNAL, "internal server error")


def test_an_unknown_method_is_unimplemented(channel: Any) -> None:
    assert refusal(channel, "Explode").code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_deadline_ends_the_handler(channel: Any) -> None:
    SEEN.cancelled.clear()
    refused = refusal(channel, "Never", timeout=0.2)
    assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(SEEN.cancelled.is_set)


def test_a_client_that_cancels_ends_the_handler(channel: Any) -> None:
    SEEN.begun.clear()
    SEEN.cancelled.clear()
    call = channel.unary_unary(path("Never")).future(b"")
    wait_until(SEEN.begun.is_set)
    call.cancel()
    wait_until(SEEN.cancelled.is_set)


def test_a_connection_that_breaks_ends_the_handler(port: int) -> None:
    SEEN.begun.clear()
    SEEN.cancelled.clear()
    with channel_to(port) as channel:
        kept = channel.unary_unary(path("Never")).future(b"")
        wait_until(SEEN.begun.is_set)
        assert not kept.done()
    wait_until(SEEN.cancelled.is_set)


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_requests(channel: Any, compression: grpc.Compression) -> None:
    request = b"again and again " * 10_000
    assert unary(channel, "Echo", request, compression=compression) == request


def test_metadata_beyond_the_bound_is_refused_by_name(channel: Any) -> None:
    assert unary(channel, "Echo", metadata=(("x-long", "y" * (HEADERS_BYTES_MAX - 1000)),)) == b""
    refused = refusal(channel, "Echo", metadata=(("x-long", "y" * HEADERS_BYTES_MAX),))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "metadata size" in refused.details()


def test_metadata_far_beyond_the_bound_never_reaches_a_handler(channel: Any) -> None:
    SEEN.metadata = {}
    for metadata in ((("x-long", "y" * (4 * HEADERS_BYTES_MAX)),), (("x", "y"),) * (2 * HEADERS_COUNT_MAX)):
        refusal(channel, "Echo", metadata=metadata)
    assert SEEN.metadata == {}
    assert unary(channel, "Echo", b"still there") == b"still there"
