"""The client that waits in the caller's thread.

with pykyro.Client("localhost:50051", api_key="…") as db:
    db.insert(1, vector, {"source": "wiki"})
    for hit in db.search(question, k=5, filter={"source": "wiki"}):
        print(hit.id, hit.score, hit.metadata)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

import grpc

from pykyro.client import calls
from pykyro.client.calls import ClientCall, FilterArgument, Result, Steps
from pykyro.client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, callables, connection
from pykyro.client.diagnosis import Cause, Diagnosis
from pykyro.client.ownership import OwnerProcess, keep_after_fork
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
    through_pages,
)
from pykyro.model.arguments import DocId, Metadata, VectorLike
from pykyro.model.criteria import search_options
from pykyro.model.documents import DocumentLike
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.listing import PAGE_DOCUMENTS, page_request
from pykyro.model.requests import FlushReport
from pykyro.proto.methods import METHODS


class Client:
    """A server's database. Any thread may call any method; the methods are those of pykyro.Database.

    A client belongs to the process that made it: in a forked one every method raises FailedPrecondition.

    `target` is host:port; `api_key` goes with every call; `tls` is True, or a Tls that says how. `timeout_s` is the
    time one call may take with its retries; insert_many, search_many, get_many and delete_many make several.
    A call is made again, after a growing pause and until that time is over, when the server is not there and a second
    time can do no harm; a few times when the server sheds load.

    Every method raises InvalidArgument for a wrong call, and Unauthenticated, PermissionDenied, ResourceExhausted,
    DeadlineExceeded, Unavailable as the server says; the gRPC error is the cause. Filters may also be
    pykyro.proto.kyrodb_pb2.MetadataFilter messages.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        api_key: str | None = None,
        tls: Tls | bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Connects at the first call. Raises InvalidArgument; OSError when a PEM file cannot be read."""
        self._connection = wanted = connection(target, api_key, tls, timeout_s)
        self._channel: Final = (
            grpc.insecure_channel(wanted.target.text, wanted.options)
            if wanted.credentials is None
            else grpc.secure_channel(wanted.target.text, wanted.credentials, wanted.options)
        )
        keep_after_fork(self._channel)
        self._rpcs: Final = callables(self._channel)
        self._diagnosis: Final = Diagnosis(wanted)
        self._process: Final = OwnerProcess()
        self._closed = False

    # --- writes ---

    def insert(
        self, doc_id: DocId, vector: VectorLike, metadata: Metadata | None = None, namespace: str = ""
    ) -> None:
        """Store a document, or replace the one with its id."""
        self._run(calls.insert(doc_id, vector, metadata, namespace))

    def insert_many(self, documents: Iterable[DocumentLike], namespace: str = "") -> InsertReport:
        """Store documents, (id, vector) or (id, vector, metadata) each, in streams.

        A document that cannot be stored is reported and the others go in; when none can be stored, that is raised.
        Each is copied when it comes, so one buffer may be filled again for the next. When the call fails, a note of
        the error says how many documents are stored.
        """
        return self._run(calls.insert_many(documents, namespace))

    def update_metadata(
        self, doc_id: DocId, metadata: Metadata, *, merge: bool = False, namespace: str = ""
    ) -> bool:
        """Replace a document's metadata, or with `merge` lay these entries over it; False when it is not there."""
        return self._run(calls.update_metadata(doc_id, metadata, merge, namespace))

    def delete(self, doc_id: DocId, namespace: str = "") -> bool:
        """Remove a document; False when it was not there."""
        return self._run(calls.delete(doc_id, namespace))

    def delete_many(
        self, ids: Iterable[DocId] | None = None, *, filter: FilterArgument | None = None, namespace: str = ""
    ) -> int:
        """Remove the documents with these ids, or those that `filter` matches; how many there were.

        All or none of them go (of each 10,000 ids). A filter must name a condition.
        """
        return self._run(calls.delete_many(ids, filter, namespace))

    def clear(self, namespace: str = "") -> int:
        """Remove every document, of a namespace if one is given, some thousand at a time; how many there were."""
        return self._run(calls.clear(namespace))

    # --- reads ---

    def get(
        self, doc_id: DocId, namespace: str = "", *, include_vector: bool = True
    ) -> StoredDocument | None:
        """The document with this id, or None."""
        return self._run(calls.get(doc_id, namespace, include_vector))

    def get_many(
        self, ids: Iterable[DocId], namespace: str = "", *, include_vectors: bool = True
    ) -> list[StoredDocument | None]:
        """The documents with these ids, in their order; None for an id without a document."""
        return self._run(calls.get_many(ids, namespace, include_vectors))

    def search(
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
        return self._run(calls.search(vector, options, filter))

    def search_many(
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
        return self._run(calls.search_many(vectors, options, filter))

    def count(self, *, filter: FilterArgument | None = None, namespace: str = "") -> int:
        """How many documents match `filter`, exactly; without one, how many there are."""
        return self._run(calls.count(filter, namespace))

    def scroll(
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
        return self._run(calls.scroll(wanted, filter, page_token))

    def documents(
        self,
        *,
        filter: FilterArgument | None = None,
        namespace: str = "",
        descending: bool = False,
        include_vectors: bool = False,
        include_metadata: bool = True,
    ) -> Iterator[StoredDocument]:
        """Every document that matches `filter`, by id: the pages of `scroll` one after the other."""
        return through_pages(
            lambda token: self.scroll(
                filter=filter,
                namespace=namespace,
                page_token=token,
                descending=descending,
                include_vectors=include_vectors,
                include_metadata=include_metadata,
            )
        )

    def sample(
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
        return self._run(calls.sample(wanted, filter))

    # --- the database itself ---

    def flush(self, *, force: bool = True) -> FlushReport:
        """Seal the hot tier into a segment; without `force` only when it is due. With auth, for admin keys."""
        return self._run(calls.flush(force))

    def snapshot(self) -> Snapshot:
        """Leave a snapshot of this moment below the server's data directory. With auth, for admin keys."""
        return self._run(calls.snapshot())

    def health(self) -> Health:
        """Whether the server is well."""
        return self._run(calls.health())

    def stats(self) -> Stats:
        """How many documents there are, and where."""
        return self._run(calls.stats())

    def close(self) -> None:
        """End the connection, and with it in-flight calls. Closing twice is allowed."""
        self._closed = True
        # In a forked process the connection is the parent's, and gRPC hangs there.
        if self._process.is_current:
            self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[Result]) -> Result:
        self._require_usable()  # here too: not every method has something to send
        try:
            call = next(steps)
            while True:
                try:
                    responses = self._answered(call)
                except KyroError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(responses)
        except StopIteration as stop:
            result: Result = stop.value
            return result

    def _answered(self, call: ClientCall) -> list[bytes]:
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
                for response in self._attempt(call, before, attempts.remaining_s):
                    received.append(response)  # noqa: PERF402  # what came before a failure is kept
                self._diagnosis.reached = True
                return received
            except grpc.RpcError as failed:
                failure = Failure.of(failed)
            except ValueError:
                # What gRPC raises when a thread closes the channel between the check and the call.
                self._require_usable()
                raise
            if len(received) > before:
                attempts.progressed()
            if not probed and self._diagnosis.should_probe(failure):
                found, probed = self._diagnosis.probe(failure, attempts.remaining_s), True
            time.sleep(self._diagnosis.wait_after(failure, attempts, found))

    def _attempt(self, call: ClientCall, answered: int, timeout_s: float) -> Iterable[bytes]:
        method, rpc = METHODS[call.rpc], self._rpcs[call.rpc]
        requests = call.requests[answered:]
        sent = iter(requests) if method.client_streaming else requests[0]
        received = rpc(sent, timeout=timeout_s, metadata=self._connection.metadata)
        return received if method.server_streaming else [received]

    def _require_usable(self) -> None:
        self._process.require()
        if self._closed:
            raise Unavailable("the client is closed")


def insert_each(client: Client, documents: Iterable[DocumentLike], namespace: str = "") -> InsertReport:
    """`client.insert_many`, with a report also when no document is stored."""
    return client._run(calls.insert_each(documents, namespace))
