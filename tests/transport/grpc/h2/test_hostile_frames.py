"""Frames no client library sends: what they cost, and that others are served beside them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import grpc
import psutil
import pytest
from tests.patience import PATIENCE_S
from tests.server.hostile import (
    DATA,
    END_HEADERS,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    data_frames,
    frame,
    literal,
    message,
)
from tests.siege.raw import long_string
from tests.transport.grpc.h2.serving import channel_to, path, serving

from pykyro.transport.grpc.h2.call import Call

MIB = 1 << 20
PING, CONTINUATION, RST_STREAM, WINDOW_UPDATE = 0x6, 0x9, 0x3, 0x8
GROWTH_MIB_MAX = 64


class Calls:
    begun = 0


async def echo(request: bytes, _: Call) -> bytes:
    Calls.begun += 1
    return request


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving({"Echo": grpc.unary_unary_rpc_method_handler(echo)}) as port:
        yield port


def sent(port: int, *parts: bytes, window: int = 65_535) -> bool:
    """Send this on a connection that is never read; whether the server took it all."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.settimeout(2.0)  # a server that reads no more is in its right
        settings = b"\0\4" + window.to_bytes(4, "big")
        try:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0, settings) + b"".join(parts))
        except OSError:
            return False
        return True


def references(stream: int) -> bytes:
    """A header block that names one value of 3,900 bytes 4,000 times."""
    block = call_headers(stream, path("Echo"))[9:]
    if stream == 1:
        block += b"\x40" + literal("x-long") + long_string(b"y" * 3900)
    return frame(HEADERS, END_HEADERS, stream, block + b"\xbe" * 4000)


def cancelled(stream: int) -> bytes:
    return call_headers(stream, path("Echo")) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


STREAMS = range(1, 2001, 2)
ATTACKS = {
    "references": b"".join(map(references, range(1, 401, 2))),
    "cancelled at once": b"".join(map(cancelled, STREAMS)),
    "continued for ever": frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 2000) * 1000,
    "continued with nothing": frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 100_000,
    "settings": frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0") * 200_000,
    "pings": frame(PING, 0, 0, b"12345678") * 200_000,
    "windows": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 200_000,
    "empty data": call_headers(1, path("Echo")) + frame(DATA, 0, 1, b"") * 200_000,
    "half messages": b"".join(
        call_headers(stream, path("Echo"))
        + b"".join(data_frames(stream, message(b"h" * 60_000, claimed=4 * MIB), last=False))
        for stream in STREAMS
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_others_are_served_beside_it_and_memory_is_bounded(port: int, attack: str) -> None:
    process = psutil.Process()
    with channel_to(port) as channel:
        ask = channel.unary_unary(path("Echo"))
        assert ask(b"before", timeout=PATIENCE_S) == b"before"
        frames, before = ATTACKS[attack], process.memory_info().rss
        for _ in range(5):
            sent(port, frames)
            assert ask(b"beside", timeout=PATIENCE_S) == b"beside"
        assert process.memory_info().rss - before < GROWTH_MIB_MAX * MIB


def test_what_is_refused_for_its_headers_reaches_no_handler(port: int) -> None:
    Calls.begun = 0
    body = b"".join(data_frames(1, message(b""), last=True))
    sent(port, references(1), body)
    with channel_to(port) as channel:
        assert channel.unary_unary(path("Echo"))(b"", timeout=PATIENCE_S) == b""
    assert Calls.begun == 1
