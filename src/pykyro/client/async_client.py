"""The client that is awaited.

async with pykyro.AsyncClient("localhost:50051", api_key="…") as db:
    await db.insert(1, vector, {"source": "wiki"})
    for hit in await db.search(question, k=5, filter={"source": "wiki"}):
        print(hit.id, hit.score, hit.metadata)

    await db.collection("pictures").insert(1, picture)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from pykyro.client import calls, collection_calls
from pykyro.client.async_documents import Documents
from pykyro.client.calls import ClientCall, Result, Steps
from pykyro.client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, Connection, callables, connections
from pykyro.client.diagnosis import Cause, Diagnosis
from pykyro.client.eager_call import arguments_taken, eager
from pykyro.client.ownership import OwnerLoop, OwnerProcess, keep_after_fork
from pykyro.client.retry import Attempts
from pykyro.client.routing import ASK_S, Route, Standing, Trip, trip_of
from pykyro.client.status import Failure
from pykyro.client.tls import Tls
from pykyro.model.answers import Health
from pykyro.model.collection import CollectionInfo, Distance, IdType, checked_collection_name, checked_config
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.expiry import Ttl
from pykyro.model.requests import MoveReport
from pykyro.model.words import TextLike
from pykyro.proto.methods import METHODS


class AsyncCollection(Documents):
    """One collection of a server, known by its name or by an alias: what that stands for is looked up anew by each
    call. Every method raises NotFound when there is none of that name."""

    def __init__(self, client: AsyncClient, name: str) -> None:
        """Programs call `AsyncClient.collection`."""
        super().__init__()
        self._client = client
        self.name = checked_collection_name(name, "name")
        if client._route.several:
            self._written = client._route.own_writes(self.name)

    def __repr__(self) -> str:
        return f"<pykyro.AsyncCollection {self.name!r}>"

    async def describe(self) -> CollectionInfo:
        """Its configuration, documents and bytes."""
        return await self._client.describe_collection(self.name)

    async def _run(self, steps: Steps[Result]) -> Result:
        return await self._client._run(collection_calls.within(self.name, steps))


class _Peer:
    """One server of a client."""

    def __init__(self, wanted: Connection) -> None:
        self.connection = wanted
        self.diagnosis = Diagnosis(wanted)
        self._channel: grpc.aio.Channel | None = None
        self._rpcs: dict[str, Callable[..., Any]] = {}

    def opened(self) -> dict[str, Callable[..., Any]]:
        """Its RPCs, over a channel on the running event loop, to which that then belongs."""
        if self._channel is None:
            self._channel = open_channel(self.connection)
            keep_after_fork(self._channel)
            self._rpcs = callables(self._channel)
        return self._rpcs

    def taken_channel(self) -> grpc.aio.Channel | None:
        """The channel, which is the caller's to close; None when there was none."""
        channel, self._channel = self._channel, None
        return channel


async def _close_all(channels: Sequence[grpc.aio.Channel]) -> None:
    for channel in channels:
        await channel.close(None)


class AsyncClient(Documents):
    """`pykyro.Client` for one event loop: the same methods, each a coroutine; any number of calls may be in flight at
    once.

    It belongs to the loop on which it is first awaited and to the process that made it: elsewhere every method raises
    FailedPrecondition. Arguments are copied when a method is called, before it is awaited.
    """

    def __init__(
        self,
        target: str | Sequence[str] = DEFAULT_TARGET,
        *,
        api_key: str | None = None,
        tls: Tls | bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Connects at the first call, on whose event loop the client then stays. Raises InvalidArgument; OSError
        when a PEM file cannot be read."""
        super().__init__()
        self._peers = [_Peer(wanted) for wanted in connections(target, api_key, tls, timeout_s)]
        self._connection = self._peers[0].connection
        self._route = Route([peer.connection.target.text for peer in self._peers])
        if self._route.several:
            self._written = self._route.own_writes("")
        self._process = OwnerProcess()
        self._owner_loop = OwnerLoop()
        self._closed = False

    def __repr__(self) -> str:
        return f"<pykyro.AsyncClient {', '.join(self._route.names)!r}{', closed' if self._closed else ''}>"

    # --- collections ---

    def collection(self, name: str) -> AsyncCollection:
        """The collection of this name or alias; whether it exists is found out by its methods."""
        return AsyncCollection(self, name)

    @eager
    async def create_collection(
        self,
        name: str,
        dimension: int,
        distance: Distance = "cosine",
        *,
        m: int = 16,
        ef_construction: int = 200,
        ef_search: int = 50,
        id_type: IdType = "integer",
        default_ttl: Ttl | None = None,
        cold_tier: str = "local",
        text: TextLike | None = None,
        exist_ok: bool = False,
    ) -> AsyncCollection:
        """Create a collection for vectors of `dimension` components. Documents that are stored without an expiry go
        after `default_ttl`, a timedelta or seconds, if it is given. With a `cold_tier` of "postgres", or
        "postgres:service", sealed documents are in the PostgreSQL that this connection service of the server names.
        With `text`, a metadata key, several, or {"keys": [...], "language": "english"}, documents are found by the
        words under these keys too. With auth, for admin keys.

        Raises AlreadyExists when the name is taken; with `exist_ok` only InvalidArgument, when what is there has
        another dimension or distance.
        """
        config = checked_config(
            dimension,
            distance,
            m=m,
            ef_construction=ef_construction,
            ef_search=ef_search,
            id_type=id_type,
            default_ttl=default_ttl,
            cold_tier=cold_tier,
            text=text,
        )
        await self._run(collection_calls.create(name, config, exist_ok))
        return AsyncCollection(self, name)

    @eager
    async def collections(self) -> list[CollectionInfo]:
        """All collections, `default` first. Documents are None where a collection would have to be opened to count
        them, and for keys that are no admin's."""
        return await self._run(collection_calls.collections())

    @eager
    async def describe_collection(self, name: str) -> CollectionInfo:
        """Everything about one collection. Raises NotFound."""
        return await self._run(collection_calls.describe(name))

    @eager
    async def update_collection(
        self, name: str, *, ef_search: int | None = None, default_ttl: Ttl | None = None
    ) -> CollectionInfo:
        """Change what can change of a collection; None stays as it is, and a `default_ttl` of math.inf is none. It
        holds for documents stored from now on. Raises NotFound. With auth, for admin keys."""
        return await self._run(collection_calls.update(name, ef_search, default_ttl))

    @eager
    async def rename_collection(self, name: str, new_name: str) -> None:
        """Give a collection another name. Its aliases stay. Raises NotFound, AlreadyExists. With auth, for admin
        keys."""
        await self._run(collection_calls.rename(name, new_name))

    @eager
    async def set_alias(self, alias: str, name: str) -> None:
        """Have `alias` stand for a collection, whatever it stood for before: no call sees neither. Raises NotFound,
        AlreadyExists. With auth, for admin keys."""
        await self._run(collection_calls.set_alias(alias, name))

    @eager
    async def remove_alias(self, alias: str) -> bool:
        """Take an alias away, not its collection; False when there was none. With auth, for admin keys."""
        return await self._run(collection_calls.remove_alias(alias))

    @eager
    async def move_collection(self, name: str, cold_tier: str) -> MoveReport:
        """Have the sealed documents of a collection in PostgreSQL ("postgres", "postgres:service"), or "local" again,
        while it is used. It takes as long as copying them; repeated after an interruption it goes on.

        Raises NotFound, FailedPrecondition, Unavailable. With auth, for admin keys."""
        return await self._run(collection_calls.move(name, cold_tier))

    @eager
    async def drop_collection(self, name: str) -> None:
        """Remove a collection with all its documents and aliases. Raises NotFound. With auth, for admin keys."""
        await self._run(collection_calls.drop(name))

    # --- the database itself ---

    @eager
    async def health(self) -> Health:
        """Whether the server is well."""
        return await self._run(calls.health())

    async def close(self) -> None:
        """End the connection, and with it in-flight calls. Closing twice is allowed, and closing anywhere."""
        self._closed = True
        channels = [channel for peer in self._peers if (channel := peer.taken_channel()) is not None]
        if not channels or not self._process.is_current:
            return
        loop = self._owner_loop.loop
        if loop is asyncio.get_running_loop():
            await _close_all(channels)
        elif loop is not None and loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close_all(channels), loop))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result]) -> Result:
        try:
            try:
                call = next(steps)
            finally:
                await arguments_taken()
                self._require_usable()  # here too: not every method has something to send
            while True:
                try:
                    responses = await self._answered(call)
                except KyroError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(responses)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    async def _answered(self, call: ClientCall) -> list[bytes]:
        attempts = Attempts(
            self._connection.timeout_s, idempotent=call.idempotent, retry_limits=call.retry_limits
        )
        trip = trip_of(self._route, call)
        received: list[bytes] = []
        found: Cause | None = None
        probed = False
        while True:
            before = len(received)
            try:
                at = await self._next_server(trip, attempts)
                peer, timeout_s = self._peers[at], trip.timeout_s(attempts.remaining_s)
                async for response in self._attempt(peer, call, before, timeout_s):
                    received.append(response)  # noqa: PERF401  # what came before a failure is kept
                peer.diagnosis.reached = True
                trip.succeeded(at)
                return received
            except grpc.RpcError as failed:
                failure = Failure.of(failed)
            except asyncio.CancelledError:
                # Closing the channel cancels the calls on it; that is not a wish to cancel the caller's task.
                task = asyncio.current_task()
                if self._closed and task is not None and not task.cancelling():
                    raise Unavailable("the client was closed") from None
                raise
            if len(received) > before:
                attempts.progressed()
            if trip.goes_elsewhere(at, failure):
                continue
            if not probed and peer.diagnosis.should_probe(failure):
                found = await asyncio.to_thread(peer.diagnosis.probe, failure, attempts.remaining_s)
                probed = True
            await asyncio.sleep(peer.diagnosis.wait_after(failure, attempts, found))

    async def _next_server(self, trip: Trip, attempts: Attempts) -> int:
        """The server to which the call goes now; waits while there is none. Raises KyroError."""
        while True:
            self._require_usable()
            if trip.asks:
                trip.learn(await self._standings(min(ASK_S, attempts.remaining_s)))
            at = trip.next_server()
            if isinstance(at, int):
                return at
            await asyncio.sleep(attempts.wait_after(at, unsent=True))

    async def _attempt(
        self, peer: _Peer, call: ClientCall, answered: int, timeout_s: float
    ) -> AsyncIterator[bytes]:
        method, rpc = METHODS[call.rpc], peer.opened()[call.rpc]
        requests = call.requests[answered:]
        sent = iter(requests) if method.client_streaming else requests[0]
        in_flight = rpc(sent, timeout=timeout_s, metadata=self._connection.metadata)
        if method.server_streaming:
            async for response in in_flight:
                yield response
        else:
            yield await in_flight

    async def _standings(self, timeout_s: float) -> list[Standing | None]:
        """What each server says about itself, None of one that does not answer in this time."""

        async def asked(peer: _Peer) -> Standing | None:
            health = peer.opened()["Health"]
            try:
                return Standing.of(await health(b"", timeout=timeout_s, metadata=self._connection.metadata))
            except grpc.RpcError:
                return None

        return await asyncio.gather(*map(asked, self._peers))

    def _require_usable(self) -> None:
        self._process.require()
        if self._closed:
            raise Unavailable("the client is closed")
        self._owner_loop.require()


def open_channel(wanted: Connection) -> grpc.aio.Channel:
    """A channel to the server, on the running event loop."""
    if wanted.credentials is None:
        return grpc.aio.insecure_channel(wanted.target.text, wanted.options)
    return grpc.aio.secure_channel(wanted.target.text, wanted.credentials, wanted.options)
