"""Clients that mean no good: what they send over raw sockets, and how they are made to send it many at a time.

Each kind of attack is a coroutine that does its worst on one connection. Those that leave something open hold it
until the attack is over; the others end when the server answers or closes. What the server answers is its own
affair: what counts is how it serves everybody else meanwhile, and what is left of it afterwards.

    python -m tests.server.hostile GRPC_PORT HTTP_PORT COUNT AT_ONCE
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from tests.patience import PATIENCE_S

from pykyro.model.limits import MESSAGE_BYTES_MAX
from pykyro.proto.methods import METHODS

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, _RST_STREAM, SETTINGS = 0x0, 0x1, 0x3, 0x4
_END_STREAM, END_HEADERS = 0x1, 0x4
_FRAME_BYTES: Final = 16_384
_WIDE_WINDOW: Final = b"\x00\x04\x7f\xff\xff\xff"
_SEARCH: Final = METHODS["Search"].path
_INSERTS: Final = METHODS["BulkInsert"].path


class _Slot:
    """A place among the attacks that are active at once; given back once."""

    def __init__(self, room: asyncio.Semaphore) -> None:
        self._room = room
        self._taken = True

    def give_back(self) -> None:
        if self._taken:
            self._taken = False
            self._room.release()


class Connection:
    """One connection of an attacker."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event, slot: _Slot
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._over = over
        self._slot = slot

    async def send(self, *parts: bytes) -> None:
        """Send, and wait until the other side takes it."""
        for part in parts:
            self._writer.write(part)
        await asyncio.wait_for(self._writer.drain(), PATIENCE_S)

    async def open_http2(self) -> None:
        # A window as large as can be, so that the server never waits for us.
        await self.send(PREFACE, frame(SETTINGS, 0, 0, _WIDE_WINDOW))

    async def until_answered(self) -> None:
        """Read until the server ends a stream or the connection."""
        while True:
            head = await asyncio.wait_for(self._reader.readexactly(9), PATIENCE_S)
            await self._reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == _RST_STREAM or (head[3] in (DATA, HEADERS) and head[4] & _END_STREAM):
                return

    async def until_closed(self) -> None:
        """Read until the server closes the connection."""
        while await asyncio.wait_for(self._reader.read(1 << 16), PATIENCE_S):
            pass

    async def hold(self) -> None:
        """Leave it as it is until the attack is over."""
        self._slot.give_back()
        await self._over.wait()


Attack: TypeAlias = Callable[[Connection], Awaitable[None]]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2, RFC 9113 section 4.1."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def call_headers(stream: int, path: str, *extra: tuple[str, str]) -> bytes:
    """The HEADERS of a gRPC call, its fields literal and not indexed: RFC 7541 section 6.2.2."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "hostile"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    )
    block = b"".join(b"\x00" + literal(name) + literal(value) for name, value in fields)
    return frame(HEADERS, END_HEADERS, stream, block)


def literal(text: str) -> bytes:
    assert len(text) < 127
    return bytes((len(text),)) + text.encode()


def message(payload: bytes, *, claimed: int | None = None) -> bytes:
    """A gRPC message; `claimed` may lie about its length."""
    return b"\0" + (len(payload) if claimed is None else claimed).to_bytes(4, "big") + payload


def data_frames(stream: int, body: bytes, *, last: bool) -> list[bytes]:
    """The DATA frames of a body."""
    parts = [body[at : at + _FRAME_BYTES] for at in range(0, len(body), _FRAME_BYTES)]
    return [
        frame(DATA, _END_STREAM if last and at == len(parts) - 1 else 0, stream, part)
        for at, part in enumerate(parts)
    ]


async def half_open(connection: Connection) -> None:
    """Connect and say nothing."""
    await connection.hold()


async def drip(connection: Connection) -> None:
    """The preface, a byte every now and then."""
    for byte in PREFACE[:-1]:
        await connection.send(bytes((byte,)))
        await asyncio.sleep(0.2)
    await connection.hold()


async def garbage(connection: Connection) -> None:
    """What is no HTTP/2."""
    await connection.send(random.randbytes(4096))
    await connection.until_closed()


async def bad_frames(connection: Connection) -> None:
    """HTTP/2 up to a point."""
    await connection.open_http2()
    await connection.send(frame(HEADERS, END_HEADERS, 1, random.randbytes(200)), random.randbytes(4096))
    await connection.until_closed()


async def oversized(connection: Connection) -> None:
    """A message of more bytes than are taken."""
    await connection.open_http2()
    body = message(b"\0" * 100_000, claimed=100 * MESSAGE_BYTES_MAX)
    await connection.send(call_headers(1, _SEARCH), *data_frames(1, body, last=True))
    await connection.until_answered()


async def large_headers(connection: Connection) -> None:
    """More metadata than is taken."""
    await connection.open_http2()
    head = call_headers(1, _SEARCH, *((f"x-{at}", "y" * 120) for at in range(110)))
    await connection.send(head, *data_frames(1, message(b""), last=True))
    await connection.until_answered()


async def malformed(connection: Connection) -> None:
    """A message that is none of ours."""
    await connection.open_http2()
    await connection.send(
        call_headers(1, _SEARCH), *data_frames(1, message(random.randbytes(2000)), last=True)
    )
    await connection.until_answered()


async def unknown_key(connection: Connection) -> None:
    """A key that opens nothing."""
    await connection.open_http2()
    key = f"kyro_acme_{random.randbytes(20).hex()}"
    await connection.send(
        call_headers(1, _SEARCH, ("x-api-key", key)), *data_frames(1, message(b""), last=True)
    )
    await connection.until_answered()


async def unfinished_stream(connection: Connection) -> None:
    """A stream of documents that begins and never goes on."""
    await connection.open_http2()
    await connection.send(
        call_headers(1, _INSERTS), *data_frames(1, message(random.randbytes(50)), last=False)
    )
    await connection.hold()


async def half_a_message(connection: Connection) -> None:
    """Most of a large message, and never the rest."""
    await connection.open_http2()
    body = message(b"\0" * (MESSAGE_BYTES_MAX // 64), claimed=MESSAGE_BYTES_MAX)
    await connection.send(call_headers(1, _SEARCH), *data_frames(1, body, last=False))
    await connection.hold()


async def rapid_reset(connection: Connection) -> None:
    """Calls begun and taken back at once (CVE-2023-44487)."""
    await connection.open_http2()
    cancel = (8).to_bytes(4, "big")
    await connection.send(
        *(
            call_headers(stream, _SEARCH) + frame(_RST_STREAM, 0, stream, cancel)
            for stream in range(1, 101, 2)
        )
    )
    await asyncio.sleep(0.1)


async def half_a_request(connection: Connection) -> None:
    """To the HTTP port: a request whose headers never end."""
    await connection.send(b"GET /health HTTP/1.1\r\nHost: hostile\r\n")
    for at in range(20):
        await connection.send(b"X-%d: y\r\n" % at)
        await asyncio.sleep(0.2)
    await connection.hold()


async def bad_request(connection: Connection) -> None:
    """To the HTTP port: what is no HTTP."""
    await connection.send(random.randbytes(2000) + b"\r\n\r\n")
    await connection.until_closed()


ON_GRPC: Final[tuple[Attack, ...]] = (
    half_open,
    drip,
    garbage,
    bad_frames,
    oversized,
    large_headers,
    malformed,
    unknown_key,
    unfinished_stream,
    half_a_message,
    rapid_reset,
)
ON_HTTP: Final[tuple[Attack, ...]] = (half_open, half_a_request, bad_request)


class Campaign:
    """Attacks of every kind in turn, so many active at once; what they leave open stays so until `end`."""

    def __init__(self, grpc_port: int, http_port: int, *, at_once: int) -> None:
        self.outcomes: Counter[str] = Counter()
        """How attacks ended, by their name and the end."""
        self._kinds = [(grpc_port, attack) for attack in ON_GRPC] + [
            (http_port, attack) for attack in ON_HTTP
        ]
        self._at_once = at_once
        self._room = asyncio.Semaphore(at_once)
        self._over = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def attack(self, count: int) -> None:
        """Make so many attacks; returns when each has ended or leaves something open."""
        for number in range(count):
            await self._room.acquire()
            port, attack = self._kinds[number % len(self._kinds)]
            task = asyncio.create_task(self._one(port, attack, _Slot(self._room)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        for _ in range(self._at_once):
            await self._room.acquire()

    async def end(self) -> None:
        """Let go of everything."""
        self._over.set()
        await asyncio.gather(*self._running)

    async def _one(self, port: int, attack: Attack, slot: _Slot) -> None:
        outcome = "done"
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), PATIENCE_S)
            try:
                await attack(Connection(reader, writer, self._over, slot))
            finally:
                writer.transport.abort()
        except (OSError, asyncio.IncompleteReadError):
            outcome = "closed"
        except TimeoutError:
            outcome = "nothing happened"
        finally:
            slot.give_back()
        self.outcomes[f"{attack.__name__}: {outcome}"] += 1


async def _main(grpc_port: int, http_port: int, count: int, at_once: int) -> None:
    campaign = Campaign(grpc_port, http_port, at_once=at_once)
    await campaign.attack(count)
    print("holding", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await campaign.end()
    print(json.dumps(campaign.outcomes), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(*map(int, sys.argv[1:])))
