"""The client that is awaited.

async with pykyro.AsyncClient("localhost:50051", api_key="…") as db:
    await db.insert(1, vector, {"source": "wiki"})
    for hit in await db.search(question, k=5, filter={"source": "wiki"}):
        print(hit.id, hit.score, hit.metadata)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any, Self

import grpc

from pykyro.client import calls
from pykyro.client.calls import ClientCall, FilterArgument, Result, Steps
from pykyro.client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, Connection, callables, connection
from pykyro.client.diagnosis import Cause, Diagnosis
from pykyro.client.eager_call import arguments_taken, eager
from pykyro.client.ownership import OwnerLoop, OwnerProcess, keep_after_fork
from pykyro.client.retry import Attempts
from pykyro.client.status import Failure
from pykyro.client.tls import Tls
from pykyro.model.answers import (
    DocumentPage,
    Health,
    InsertReport,
    SearchAnswer,
    Snapshot,
    Stats,
    StoredDocument,
)
from pykyro.model.arguments import DocId, Metadata, VectorLike
from pykyro.model.criteria import search_options
from pykyro.model.documents import DocumentLike
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.listing import PAGE_DOCUMENTS, page_request
from pykyro.model.requests import FlushReport
from pykyro.proto.methods import METHODS


class AsyncClient:
    """`pykyro.Client` for one event loop: the same methods, each a coroutine; any number of calls may be in flight at
    once.

    It belongs to the loop on which it is first awaited and to the process that made it: elsewhere every method raises
    FailedPrecondition. Arguments are copied when a method is called, before it is awaited.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        api_key: str | None = None,
        tls: Tls | bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Connects at the first call, on whose event loop the client then stays. Raises InvalidArgument; OSError
        when a PEM file cannot be read."""
        self._connection = connection(target, api_key, tls, timeout_s)
        self._channel: grpc.aio.Channel | None = None
        self._rpcs: dict[str, Callable[..., Any]] = {}
        self._diagnosis = Diagnosis(self._connection)
        self._process = OwnerProcess()
        self._owner_loop = OwnerLoop()
        self._closed = False

    # --- writes ---

    @eager
    async def insert(
        self, doc_id: DocId, vector: VectorLike, metadata: Metadata | None = None, namespace: str = ""
    ) -> None:
        """Store a document, or replace the one with its id."""
        await self._run(calls.insert(doc_id, vector, metadata, namespace))

    @eager
    async def insert_many(self, documents: Iterable[DocumentLike], namespace: str = "") -> InsertReport:
        """Store documents, (id, vector) or (id, vector, metadata) each, in streams.

        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. When the call fails, a note of
        the error says how many documents are stored.
        """
        return await self._run(calls.insert_many(documents, namespace))

    @eager
    async def update_metadata(
        self, doc_id: DocId, metadata: Metadata, *, merge: bool = False, namespace: str = ""
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there."""
        return await self._run(calls.update_metadata(doc_id, metadata, merge, namespace))

    @eager
    async def delete(self, doc_id: DocId, namespace: str = "") -> bool:
        """Remove a document; False when it was not there."""
        return await self._run(calls.delete(doc_id, namespace))

    @eager
    async def delete_many(
        self, ids: Iterable[DocId] | None = None, *, filter: FilterArgument | None = None, namespace: str = ""
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids). A filter must name a condition.
        """
        return await self._run(calls.delete_many(ids, filter, namespace))

    @eager
    async def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        return await self._run(calls.clear(namespace))

    # --- reads ---

    @eager
    async def get(
        self, doc_id: DocId, namespace: str = "", *, include_vector: bool = True
    ) -> StoredDocument | None:
        """The document with this id, or None."""
        return await self._run(calls.get(doc_id, namespace, include_vector))

    @eager
    async def get_many(
        self, ids: Iterable[DocId], namespace: str = "", *, include_vectors: bool = True
    ) -> list[StoredDocument | None]:
        """The documents with these ids, in their order; None for an id without a document."""
        return await self._run(calls.get_many(ids, namespace, include_vectors))

    @eager
    async def search(
        self,
        vector: VectorLike,
        k: int = 10,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> SearchAnswer:
        """The `k` documents most similar to `vector`, whenever that many match.

        `ef_search` is the number of candidates the graph search keeps, 0 for the server's own. Rows with a score
        below `min_score` are left out, none when it is 0 or less. `exact` looks at every row that matches.
        """
        options = search_options(
            k, None, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        return await self._run(calls.search(vector, options, filter))

    @eager
    async def search_many(
        self,
        vectors: Iterable[VectorLike],
        k: int = 10,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        ef_search: int = 0,
        min_score: float = 0.0,
        exact: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> list[SearchAnswer]:
        """`search` for each of `vectors`, a list of vectors or an array of shape (n, dimension), in their order."""
        options = search_options(
            k, None, namespace, ef_search, min_score, exact, include_vectors, include_metadata
        )
        return await self._run(calls.search_many(vectors, options, filter))

    @eager
    async def count(self, *, filter: FilterArgument | None = None, namespace: str = "") -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        return await self._run(calls.count(filter, namespace))

    @eager
    async def scroll(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        limit: int = PAGE_DOCUMENTS,
        page_token: str = "",
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> DocumentPage:
        """Up to `limit` documents that match `filter`, by id; `page_token` is what the page before says.

        A page shows one position. A document that is there all the while is in exactly one page, whatever is written
        meanwhile. A page of large documents has fewer than `limit`.
        """
        wanted = page_request(
            limit,
            None,
            namespace,
            page_token,
            descending=descending,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
        )
        return await self._run(calls.scroll(wanted, filter, page_token))

    async def documents(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> AsyncIterator[StoredDocument]:
        """Every document that matches `filter`, by id: the pages of `scroll` one after the other."""
        token = ""
        while True:
            page = await self.scroll(
                filter=filter,
                namespace=namespace,
                page_token=token,
                descending=descending,
                include_vectors=include_vectors,
                include_metadata=include_metadata,
            )
            for document in page:
                yield document
            token = page.next_page_token
            if not token:
                return

    @eager
    async def sample(
        self,
        count: int,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> list[StoredDocument]:
        """Up to `count` of the documents that match `filter`, each as likely as any other."""
        wanted = page_request(
            count,
            None,
            namespace,
            include_vectors=include_vectors,
            include_metadata=include_metadata,
            limit_name="count",
        )
        return await self._run(calls.sample(wanted, filter))

    # --- the database itself ---

    @eager
    async def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. With auth, for admin keys."""
        return await self._run(calls.flush(force))

    @eager
    async def snapshot(self) -> Snapshot:
        """Leave a snapshot of this moment below the server's data directory. With auth, for admin keys."""
        return await self._run(calls.snapshot())

    @eager
    async def health(self) -> Health:
        """Whether the server is well."""
        return await self._run(calls.health())

    @eager
    async def stats(self) -> Stats:
        """How many documents there are, and where."""
        return await self._run(calls.stats())

    async def close(self) -> None:
        """End the connection, and with it in-flight calls. Closing twice is allowed, and closing anywhere."""
        self._closed = True
        channel, self._channel = self._channel, None
        if channel is None or not self._process.is_current:
            return
        loop = self._owner_loop.loop
        if loop is asyncio.get_running_loop():
            await channel.close(None)
        elif loop is not None and loop.is_running():
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(channel.close(None), loop))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[Result]) -> Result:
        try:
            call = next(steps)
            await arguments_taken()
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
        received: list[bytes] = []
        found: Cause | None = None
        probed = False
        while True:
            self._require_usable()
            before = len(received)
            try:
                async for response in self._attempt(call, before, attempts.remaining_s):
                    received.append(response)  # noqa: PERF401  # what came before a failure is kept
                self._diagnosis.reached = True
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
            if not probed and self._diagnosis.should_probe(failure):
                found = await asyncio.to_thread(self._diagnosis.probe, failure, attempts.remaining_s)
                probed = True
            await asyncio.sleep(self._diagnosis.wait_after(failure, attempts, found))

    async def _attempt(self, call: ClientCall, answered: int, timeout_s: float) -> AsyncIterator[bytes]:
        if self._channel is None:
            # Not before: a channel belongs to the event loop that runs when it is made.
            self._channel = _open(self._connection)
            keep_after_fork(self._channel)
            self._rpcs = callables(self._channel)
        method, rpc = METHODS[call.rpc], self._rpcs[call.rpc]
        requests = call.requests[answered:]
        sent = iter(requests) if method.client_streaming else requests[0]
        in_flight = rpc(sent, timeout=timeout_s, metadata=self._connection.metadata)
        if method.server_streaming:
            async for response in in_flight:
                yield response
        else:
            yield await in_flight

    def _require_usable(self) -> None:
        self._process.require()
        if self._closed:
            raise Unavailable("the client is closed")
        self._owner_loop.require()


def _open(wanted: Connection) -> grpc.aio.Channel:
    if wanted.credentials is None:
        return grpc.aio.insecure_channel(wanted.target.text, wanted.options)
    return grpc.aio.secure_channel(wanted.target.text, wanted.credentials, wanted.options)
