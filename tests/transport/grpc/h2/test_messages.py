"""Messages out of the pieces in which a body comes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Sequence

import pytest

from pykyro.memory.budget import MemoryBudget
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.limits import MESSAGE_BYTES_MAX
from pykyro.service.admission import Admission
from pykyro.transport.grpc.h2.messages import Messages, Shared
from pykyro.transport.grpc.h2.wire import Event

MIB = 1 << 20


def framed(payload: bytes, *, flag: int = 0, claimed: int | None = None) -> bytes:
    return bytes((flag,)) + (len(payload) if claimed is None else claimed).to_bytes(4, "big") + payload


class Body:
    """What `receive` gives: the pieces, and how many of them were asked for."""

    def __init__(self, pieces: Sequence[bytes], last: Event | None = None) -> None:
        self._events: list[Event] = [
            {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
        ]
        self._events.append(last or {"type": "http.request"})
        self.received = 0

    async def receive(self) -> Event:
        self.received += 1
        return self._events[self.received - 1]


def admission(limit: int = 1 << 30) -> Admission:
    return Admission(MemoryBudget(limit, measure=None))


def messages_of(body: Body, encoding: bytes = b"identity", room: Admission | None = None) -> list[bytes]:
    async def all_of() -> list[bytes]:
        messages = Messages(body.receive, encoding, Shared(room or admission()))
        return [message async for message in messages]

    return asyncio.run(all_of())


SOME = [b"one", b"", b"x" * 100_000, b"\0" * 7]


@pytest.mark.parametrize("piece_bytes", [1, 2, 4, 5, 6, 1000, 65_536, 1 << 20])
def test_the_same_messages_however_they_are_cut(piece_bytes: int) -> None:
    whole = b"".join(map(framed, SOME if piece_bytes > 5 else [b"one", b"", b"three"]))
    pieces = [whole[at : at + piece_bytes] for at in range(0, len(whole), piece_bytes)]
    assert messages_of(Body(pieces)) == (SOME if piece_bytes > 5 else [b"one", b"", b"three"])


def test_the_largest_is_taken_and_a_larger_one_refused_unread() -> None:
    largest = b"m" * MESSAGE_BYTES_MAX
    assert messages_of(Body([framed(largest)])) == [largest]
    body = Body([framed(b"", claimed=MESSAGE_BYTES_MAX + 1), b"y" * MIB])
    with pytest.raises(ResourceExhausted, match=r"larger than max \(4194305 vs\. 4194304\)"):
        messages_of(body)
    assert body.received == 1


@pytest.mark.parametrize("pieces", [[b"\0\0"], [framed(b"abc", claimed=4)], [framed(b"ab"), b"\0"]])
def test_a_call_that_ends_within_a_message_is_the_clients_fault(pieces: list[bytes]) -> None:
    with pytest.raises(InvalidArgument, match="in the middle of a message"):
        messages_of(Body(pieces))


def test_a_client_that_is_gone_cancels() -> None:
    with pytest.raises(asyncio.CancelledError):
        messages_of(Body([framed(b"abc", claimed=4)], {"type": "http.disconnect"}))


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_messages_of_every_size(encoding: bytes, pack: object) -> None:
    assert callable(pack)
    plain = [b"", b"short", bytes(range(256)) * 1000, b"z" * MESSAGE_BYTES_MAX]
    packed = [framed(pack(message), flag=1) for message in plain]
    assert messages_of(Body([*packed, framed(b"plain")]), encoding) == [*plain, b"plain"]


@pytest.mark.parametrize(("encoding", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_inflating_stops_at_the_bound(encoding: bytes, pack: object) -> None:
    assert callable(pack)
    with pytest.raises(ResourceExhausted, match="Decompressed message larger than max"):
        messages_of(Body([framed(pack(bytes(100 * MIB)), flag=1)]), encoding)


@pytest.mark.parametrize(
    ("payload", "flag", "encoding", "text"),
    [
        (b"nothing of the kind", 1, b"gzip", "cannot be inflated"),
        (gzip.compress(b"whole", mtime=0)[:-9], 1, b"gzip", "its end is missing"),
        (gzip.compress(b"whole", mtime=0), 1, b"identity", "names no encoding"),
        (b"whole", 2, b"gzip", "names no encoding"),
    ],
)
def test_what_cannot_be_inflated_is_the_clients_fault(
    payload: bytes, flag: int, encoding: bytes, text: str
) -> None:
    with pytest.raises(InvalidArgument, match=text):
        messages_of(Body([framed(payload, flag=flag)]), encoding)


def test_a_half_message_is_charged_while_it_is_gathered_and_given_back() -> None:
    room = admission()
    half = b"h" * MIB
    seen: list[int] = []

    async def gather() -> None:
        body = Body([framed(half, claimed=2 * MIB), half[:-1], b"h"])

        async def receive() -> Event:
            seen.append(room.requests.charged)
            return await body.receive()

        assert len(await Messages(receive, b"", Shared(room)).only()) == 2 * MIB

    asyncio.run(gather())
    assert seen[-1] >= 2 * (MIB - 1)
    assert room.requests.held == 0


def test_a_large_message_that_finds_no_room_is_refused_before_it_is_read() -> None:
    body = Body([framed(b"", claimed=3 * MIB), b"l" * MIB])
    with pytest.raises(ResourceExhausted):
        messages_of(body, room=admission(4 * MIB))
    assert body.received == 1
