"""Messages out of the body of a call: their frames, how large they may be, and what is compressed.

Nothing is gathered or inflated beyond MESSAGE_BYTES_MAX. What is being gathered is charged to the requests; a large
message asks for room before the rest of it is read, so that of a crowd of half messages only as many are kept as
there is room for.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from pykyro.memory.account import TALLY_SLACK_BYTES
from pykyro.memory.budget import Kind
from pykyro.model.errors import InvalidArgument, ResourceExhausted
from pykyro.model.limits import MESSAGE_BYTES_MAX
from pykyro.service.admission import HELD_TWICE, LARGE_BYTES, Admission
from pykyro.transport.grpc.h2.wire import PREFIX_BYTES, Event

_WINDOW_BITS: Final = {b"gzip": 31, b"deflate": 15}
"""For zlib: with the header of gzip, or its own."""
_INFLATED_AT_ONCE_BYTES: Final = 64 << 10
"""On the event loop; the rest is inflated in a thread."""


class Shared:
    """What the calls of a server have in common. Used on one event loop."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        # One: of many bombs at once only one takes its memory, and that is the same again and again.
        self.inflating = ThreadPoolExecutor(1, "inflate")

    def close(self) -> None:
        self.inflating.shutdown(wait=False)


class Messages(AsyncIterator[bytes]):
    """The messages of one call. Iterating raises ResourceExhausted for one that is too large or finds no room,
    InvalidArgument for what is none."""

    __slots__ = ("_at", "_data", "_encoding", "_ended", "_receive", "_shared")

    def __init__(
        self,
        receive: Callable[[], Awaitable[Event]],
        encoding: bytes,
        shared: Shared,
        first: Event | None = None,
    ) -> None:
        """`encoding` is what compressed messages are in, `first` an event that was received already."""
        self._receive = receive
        self._encoding = encoding
        self._shared = shared
        self._data = b""
        self._at = 0
        self._ended = False
        if first is not None:
            self._take(first)

    async def only(self) -> bytes:
        """The message of a call that has one. Raises InvalidArgument when it has none."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise InvalidArgument("the call ended before its message") from None

    async def __anext__(self) -> bytes:
        while len(self._data) - self._at < PREFIX_BYTES:
            if self._ended:
                if self._at < len(self._data):
                    raise InvalidArgument("the call ended in the middle of a message")
                raise StopAsyncIteration
            self._take(await self._receive())
        data, start = self._data, self._at + PREFIX_BYTES
        compressed, size = data[self._at], int.from_bytes(data[self._at + 1 : start], "big")
        if size > MESSAGE_BYTES_MAX:
            raise ResourceExhausted(f"Received message larger than max ({size} vs. {MESSAGE_BYTES_MAX})")
        end = start + size
        if end <= len(data):
            payload = data[start:end]
            self._at = end
        else:
            payload = await self._gathered(start, size)
        return payload if not compressed else await self._inflated(compressed, payload)

    async def _gathered(self, start: int, size: int) -> bytes:
        """A message of which only a part is there."""
        if size > LARGE_BYTES:
            self._shared.admission.check(Kind.READ, size)
        parts = [self._data[start:]]
        missing = size - len(parts[0])
        requests = self._shared.admission.requests
        held = 0
        try:
            while missing > 0:
                if self._ended:
                    raise InvalidArgument("the call ended in the middle of a message")
                self._data, self._at = b"", 0
                self._take(await self._receive())
                held += HELD_TWICE * len(self._data)
                requests.held += HELD_TWICE * len(self._data)
                if requests.held - requests.charged > TALLY_SLACK_BYTES:
                    requests.settle()
                parts.append(self._data[:missing])
                self._at = len(parts[-1])
                missing -= self._at
            return b"".join(parts)
        finally:
            requests.held -= held

    def _take(self, event: Event) -> None:
        if event["type"] != "http.request":
            raise asyncio.CancelledError
        body = event.get("body", b"")
        self._ended = not event.get("more_body", False)
        if self._at < len(self._data):
            self._data, self._at = self._data[self._at :] + body, 0
        else:
            self._data, self._at = body, 0

    async def _inflated(self, compressed: int, payload: bytes) -> bytes:
        bits = _WINDOW_BITS.get(self._encoding)
        if compressed != 1 or bits is None:
            raise InvalidArgument("a message is marked as compressed, and the call names no encoding")
        try:
            inflated, whole = _inflate(bits, payload, _INFLATED_AT_ONCE_BYTES)
            if not whole and len(inflated) >= _INFLATED_AT_ONCE_BYTES:
                loop, thread = asyncio.get_running_loop(), self._shared.inflating
                most = MESSAGE_BYTES_MAX + 1
                inflated, whole = await loop.run_in_executor(thread, _inflate, bits, payload, most)
        except zlib.error as error:
            raise InvalidArgument(f"a message cannot be inflated: {error}") from None
        if len(inflated) > MESSAGE_BYTES_MAX:
            raise ResourceExhausted(
                f"Decompressed message larger than max ({len(inflated)} or more vs. {MESSAGE_BYTES_MAX})"
            )
        if not whole:
            raise InvalidArgument("a message cannot be inflated: its end is missing")
        return inflated


def _inflate(bits: int, payload: bytes, most: int) -> tuple[bytes, bool]:
    """At most so many bytes of a message, and whether that is all of it. Raises zlib.error."""
    inflater = zlib.decompressobj(bits)
    inflated = inflater.decompress(payload, most)
    if len(inflated) == most and not inflater.eof:
        # Its checksum may come behind the last byte.
        return inflated + inflater.decompress(inflater.unconsumed_tail, 1), inflater.eof
    return inflated, inflater.eof
