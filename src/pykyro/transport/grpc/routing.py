"""From the collection that a request names to the handlers of that collection.

Requests for `default` do not come by here: only a payload that may name a collection does, which one look for two
bytes tells (they occur in one of twenty vectors by chance). The collection stays open until the call has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from pykyro.database.collections import Collections
from pykyro.database.open_collections import OpenCollection, OpenCollections
from pykyro.engine.engine import Engine
from pykyro.model.collection import DEFAULT_NUMBER
from pykyro.model.errors import InvalidArgument, NotFound
from pykyro.service.access import Caller
from pykyro.service.open_streams import OpenStream
from pykyro.service.threads import Threads
from pykyro.transport.grpc.addressed import COLLECTION_MARK, collection_of
from pykyro.transport.grpc.collection_service import CollectionService, Unary


class Routes:
    """Used on the event loop."""

    def __init__(
        self,
        collections: Collections,
        default: CollectionService,
        build: Callable[[Engine, int], CollectionService],
    ) -> None:
        self._collections = collections
        self._default = default
        self._build = build
        self._openings = Threads(2)

    async def unary(self, rpc: str, payload: bytes, caller: Caller, otherwise: Unary) -> bytes:
        """The answer of the collection that the request names; `otherwise` answers for `default`, and what addresses
        no documents. Raises NotFound, InvalidArgument, and what opening the collection raises."""
        number = self._collections.number_of(collection_of(payload)) if rpc in self._default.unary else 0
        if number == DEFAULT_NUMBER:
            return await otherwise(payload, caller)
        async with self._using(number) as service:
            return await service.unary[rpc](payload, await service.caller_here(caller))

    async def client_stream(self, rpc: str, messages: OpenStream, caller: Caller) -> bytes:
        """The answer of the collection that the stream names."""
        stream, number = await self._named(messages)
        if number == DEFAULT_NUMBER:
            return await self._default.client_streams[rpc](stream, caller)
        async with self._using(number) as service:
            return await service.client_streams[rpc](stream, await service.caller_here(caller))

    async def both_streams(self, rpc: str, messages: OpenStream, caller: Caller) -> AsyncIterator[bytes]:
        """The answers of the collection that the stream names."""
        stream, number = await self._named(messages)
        if number == DEFAULT_NUMBER:
            async with aclosing(self._default.both_streams[rpc](stream, caller)) as responses:
                async for response in responses:
                    yield response
            return
        async with self._using(number) as service:
            here = await service.caller_here(caller)
            async with aclosing(service.both_streams[rpc](stream, here)) as responses:
                async for response in responses:
                    yield response

    async def close(self) -> None:
        """Wait for what is being opened."""
        await self._openings.close()

    async def _named(self, messages: OpenStream) -> tuple[_NamedStream, int]:
        try:
            first = await anext(messages)
        except StopAsyncIteration:
            return _NamedStream(messages, None, "", lambda: False), DEFAULT_NUMBER
        name = collection_of(first)
        number = self._collections.number_of(name)

        def is_gone() -> bool:
            return number != DEFAULT_NUMBER and not self._collections.exists(number)

        return _NamedStream(messages, first, name, is_gone), number

    @asynccontextmanager
    async def _using(self, number: int) -> AsyncIterator[CollectionService]:
        opened = self._collections.open
        pinned = opened.pin_open(number) or await self._opened(number)
        try:
            service = pinned.attached
            if not isinstance(service, CollectionService) or service.engine is not pinned.engine:
                assert pinned.engine is not None
                service = pinned.attached = self._build(pinned.engine, number)
            yield service
        finally:
            opened.unpin(pinned)

    async def _opened(self, number: int) -> OpenCollection:
        opened = self._collections.open
        opening = asyncio.ensure_future(self._openings.run(lambda: opened.pin(number)))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Nobody is there to unpin it when it is open.
            opening.add_done_callback(partial(_unpin, opened))
            raise


def _unpin(opened: OpenCollections, opening: asyncio.Future[OpenCollection]) -> None:
    if opening.exception() is None:
        opened.unpin(opening.result())


class _NamedStream(OpenStream):
    """A stream whose first message was looked at. All messages of it name the same collection."""

    __slots__ = ("_first", "_is_gone", "_name", "_stream")

    def __init__(
        self, stream: OpenStream, first: bytes | None, name: str, is_gone: Callable[[], bool]
    ) -> None:
        self._stream = stream
        self._first = first
        self._name = name
        self._is_gone = is_gone

    @property
    def is_idle(self) -> Callable[[], bool]:
        return self._stream.is_idle

    @is_idle.setter
    def is_idle(self, is_idle: Callable[[], bool]) -> None:
        self._stream.is_idle = is_idle

    def __anext__(self) -> Awaitable[bytes]:
        first, self._first = self._first, None
        return self._stream.__anext__() if first is None else _given(first)

    def check(self, payload: bytes) -> None:
        """Raises InvalidArgument when the message names another collection, NotFound when that was dropped."""
        if COLLECTION_MARK not in payload and not self._name:
            return
        named = collection_of(payload)
        if named != self._name:
            raise InvalidArgument(
                f"all messages of a stream name the same collection: the first names {self._name!r}, this one "
                f"{named!r}",
                field="collection",
            )
        if self._is_gone():
            raise NotFound(f"collection {self._name!r} was dropped")


async def _given(payload: bytes) -> bytes:
    return payload
