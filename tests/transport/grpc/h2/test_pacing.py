"""A stream that nobody reads does not keep the other calls of its connection waiting."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from tests.patience import PATIENCE_S, wait_until
from tests.transport.grpc.h2.serving import channel_to, path, serving

from pykyro.transport.grpc.h2.call import Call

MIB = 1 << 20


class Handed:
    """Bytes of answers that the handler has made."""

    total = 0


async def pour(messages: AsyncIterator[bytes], _: Call) -> AsyncIterator[bytes]:
    size, count = map(int, (await anext(messages)).split())
    for number in range(count):
        Handed.total += size
        yield number.to_bytes(4, "big") * (size // 4)


async def echo(request: bytes, _: Call) -> bytes:
    return request


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    handlers = {
        "Pour": grpc.stream_stream_rpc_method_handler(pour),
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
    }
    with serving(handlers) as port:
        yield port


@contextlib.contextmanager
def unread(channel: Any, size: int, count: int) -> Iterator[Any]:
    """A stream of so many answers of which one is read."""
    done = threading.Event()

    def question() -> Iterator[bytes]:
        yield b"%d %d" % (size, count)
        done.wait(PATIENCE_S)

    answers = channel.stream_stream(path("Pour"))(question(), timeout=PATIENCE_S)
    try:
        next(answers)
        yield answers
    finally:
        done.set()
        answers.cancel()


@pytest.mark.parametrize("size", [4000, 200_000, MIB])
def test_other_calls_are_answered_beside_streams_nobody_reads(port: int, size: int) -> None:
    with channel_to(port) as channel, contextlib.ExitStack() as streams:
        for _ in range(12):
            streams.enter_context(unread(channel, size, 64 * MIB // size))
        for number in range(20):
            request = b"%d" % number
            assert channel.unary_unary(path("Echo"))(request, timeout=PATIENCE_S / 2) == request


def test_a_stream_makes_no_more_answers_than_its_client_takes(port: int) -> None:
    Handed.total = 0
    with channel_to(port) as channel, unread(channel, 16_000, 10_000) as answers:
        before = -1
        while before != Handed.total:
            before = Handed.total
            assert channel.unary_unary(path("Echo"))(b"x" * MIB, timeout=PATIENCE_S) == b"x" * MIB
        assert Handed.total < 16 * MIB
        rest = [answer[:4] for answer in answers]
    assert rest == [number.to_bytes(4, "big") for number in range(1, 10_000)]


def test_files_are_closed_when_their_streams_end(port: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with channel_to(port) as channel, contextlib.ExitStack() as streams:
        for _ in range(4):
            streams.enter_context(unread(channel, 100_000, 1000))
        channel.unary_unary(path("Echo"))(b"", timeout=PATIENCE_S)
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
