"""The client that waits in the caller's thread.

with pykyro.Client("localhost:50051", api_key="…") as db:
    db.insert(1, vector, {"source": "wiki"})
    for hit in db.search(question, k=5, filter={"source": "wiki"}):
        print(hit.id, hit.score, hit.metadata)

    db.create_collection("pictures", dimension=512)
    db.collection("pictures").insert(1, picture)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self, cast

import grpc

from pykyro.client import calls, collection_calls, write_calls
from pykyro.client.calls import ClientCall, Result, Steps
from pykyro.client.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S, Connection, callables, connections
from pykyro.client.diagnosis import Cause, Diagnosis
from pykyro.client.ownership import OwnerProcess, keep_after_fork
from pykyro.client.retry import Attempts
from pykyro.client.routing import ASK_S, Route, Standing, Trip, trip_of
from pykyro.client.status import Failure
from pykyro.client.sync_documents import Documents
from pykyro.client.tls import Tls
from pykyro.model.answers import Health, InsertReport
from pykyro.model.collection import CollectionInfo, Distance, IdType, checked_collection_name, checked_config
from pykyro.model.documents import DocumentsLike
from pykyro.model.errors import KyroError, Unavailable
from pykyro.model.expiry import Ttl
from pykyro.model.requests import MoveReport
from pykyro.model.words import TextLike
from pykyro.proto.methods import METHODS


class RemoteCollection(Documents):
    """One collection of a server, known by its name or by an alias: what that stands for is looked up anew by each
    call. Every method raises NotFound when there is none of that name."""

    def __init__(self, client: Client, name: str) -> None:
        """Programs call `Client.collection`."""
        super().__init__()
        self._client = client
        self.name = checked_collection_name(name, "name")
        if client._route.several:
            self._written = client._route.own_writes(self.name)

    def __repr__(self) -> str:
        return f"<pykyro.RemoteCollection {self.name!r}>"

    def describe(self) -> CollectionInfo:
        """Its configuration, documents and bytes."""
        return self._client.describe_collection(self.name)

    def _run(self, steps: Steps[Result]) -> Result:
        return self._client._run(collection_calls.within(self.name, steps))


class _Peer:
    """One server of a client."""

    def __init__(self, wanted: Connection) -> None:
        self.connection: Final = wanted
        self.channel: Final = (
            grpc.insecure_channel(wanted.target.text, wanted.options)
            if wanted.credentials is None
            else grpc.secure_channel(wanted.target.text, wanted.credentials, wanted.options)
        )
        keep_after_fork(self.channel)
        self.rpcs: Final = callables(self.channel)
        self.health: Final = cast("grpc.UnaryUnaryMultiCallable[bytes, bytes]", self.rpcs["Health"])
        self.diagnosis: Final = Diagnosis(wanted)


class Client(Documents):
    """A server's database: its collections, and as its own documents those of the collection `default`. Any thread
    may call any method; the methods are those of pykyro.Database.

    A client belongs to the process that made it: in a forked one every method raises FailedPrecondition.

    `target` is host:port, or several: a leader and the followers of its archive. Then writes go to the leader, which
    is found by asking, and reads to any of them; a read sees what this client wrote before, and a server that is away
    is left out. See docs/scaling.md.
    `api_key` goes with every call; `tls` is True, or a Tls that says how. `timeout_s` is the time one call may take
    with its retries; insert_many, search_many, get_many and delete_many make several.
    A call is made again, after a growing pause and until that time is over, when the server is not there and a second
    time can do no harm; a few times when the server sheds load.

    Every method raises InvalidArgument for a wrong call, and Unauthenticated, PermissionDenied, ResourceExhausted,
    DeadlineExceeded, Unavailable as the server says; the gRPC error is the cause. Filters may also be
    pykyro.proto.kyrodb_pb2.MetadataFilter messages.
    """

    def __init__(
        self,
        target: str | Sequence[str] = DEFAULT_TARGET,
        *,
        api_key: str | None = None,
        tls: Tls | bool = False,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Connects at the first call. Raises InvalidArgument; OSError when a PEM file cannot be read."""
        super().__init__()
        self._peers: Final = [_Peer(wanted) for wanted in connections(target, api_key, tls, timeout_s)]
        self._connection = self._peers[0].connection
        self._route: Final = Route([peer.connection.target.text for peer in self._peers])
        if self._route.several:
            self._written = self._route.own_writes("")
        self._process: Final = OwnerProcess()
        self._closed = False

    def __repr__(self) -> str:
        return f"<pykyro.Client {', '.join(self._route.names)!r}{', closed' if self._closed else ''}>"

    # --- collections ---

    def collection(self, name: str) -> RemoteCollection:
        """The collection of this name or alias; whether it exists is found out by its methods."""
        return RemoteCollection(self, name)

    def create_collection(
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
    ) -> RemoteCollection:
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
        self._run(collection_calls.create(name, config, exist_ok))
        return RemoteCollection(self, name)

    def collections(self) -> list[CollectionInfo]:
        """All collections, `default` first. Documents are None where a collection would have to be opened to count
        them, and for keys that are no admin's."""
        return self._run(collection_calls.collections())

    def describe_collection(self, name: str) -> CollectionInfo:
        """Everything about one collection. Raises NotFound."""
        return self._run(collection_calls.describe(name))

    def update_collection(
        self, name: str, *, ef_search: int | None = None, default_ttl: Ttl | None = None
    ) -> CollectionInfo:
        """Change what can change of a collection; None stays as it is, and a `default_ttl` of math.inf is none. It
        holds for documents stored from now on. Raises NotFound. With auth, for admin keys."""
        return self._run(collection_calls.update(name, ef_search, default_ttl))

    def rename_collection(self, name: str, new_name: str) -> None:
        """Give a collection another name. Its aliases stay. Raises NotFound, AlreadyExists. With auth, for admin
        keys."""
        self._run(collection_calls.rename(name, new_name))

    def set_alias(self, alias: str, name: str) -> None:
        """Have `alias` stand for a collection, whatever it stood for before: no call sees neither. Raises NotFound,
        AlreadyExists. With auth, for admin keys."""
        self._run(collection_calls.set_alias(alias, name))

    def remove_alias(self, alias: str) -> bool:
        """Take an alias away, not its collection; False when there was none. With auth, for admin keys."""
        return self._run(collection_calls.remove_alias(alias))

    def move_collection(self, name: str, cold_tier: str) -> MoveReport:
        """Have the sealed documents of a collection in PostgreSQL ("postgres", "postgres:service"), or "local" again,
        while it is used. It takes as long as copying them; repeated after an interruption it goes on.

        Raises NotFound, FailedPrecondition, Unavailable. With auth, for admin keys."""
        return self._run(collection_calls.move(name, cold_tier))

    def drop_collection(self, name: str) -> None:
        """Remove a collection with all its documents and aliases. Raises NotFound. With auth, for admin keys."""
        self._run(collection_calls.drop(name))

    # --- the database itself ---

    def health(self) -> Health:
        """Whether the server is well."""
        return self._run(calls.health())

    def close(self) -> None:
        """End the connection, and with it in-flight calls. Closing twice is allowed."""
        self._closed = True
        # In a forked process the connection is the parent's, and gRPC hangs there.
        if self._process.is_current:
            for peer in self._peers:
                peer.channel.close()

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
        trip = trip_of(self._route, call)
        received: list[bytes] = []
        found: Cause | None = None
        probed = False
        while True:
            at = self._next_server(trip, attempts)
            peer, before = self._peers[at], len(received)
            try:
                for response in self._attempt(peer, call, before, trip.timeout_s(attempts.remaining_s)):
                    received.append(response)  # noqa: PERF402  # what came before a failure is kept
                peer.diagnosis.reached = True
                trip.succeeded(at)
                return received
            except grpc.RpcError as failed:
                failure = Failure.of(failed)
            except ValueError:
                # What gRPC raises when a thread closes the channel between the check and the call.
                self._require_usable()
                raise
            if len(received) > before:
                attempts.progressed()
            if trip.goes_elsewhere(at, failure):
                continue
            if not probed and peer.diagnosis.should_probe(failure):
                found, probed = peer.diagnosis.probe(failure, attempts.remaining_s), True
            time.sleep(peer.diagnosis.wait_after(failure, attempts, found))

    def _next_server(self, trip: Trip, attempts: Attempts) -> int:
        """The server to which the call goes now; waits while there is none. Raises KyroError."""
        while True:
            self._require_usable()
            if trip.asks:
                trip.learn(self._standings(min(ASK_S, attempts.remaining_s)))
            at = trip.next_server()
            if isinstance(at, int):
                return at
            time.sleep(attempts.wait_after(at, unsent=True))

    def _attempt(self, peer: _Peer, call: ClientCall, answered: int, timeout_s: float) -> Iterable[bytes]:
        method, rpc = METHODS[call.rpc], peer.rpcs[call.rpc]
        requests = call.requests[answered:]
        sent = iter(requests) if method.client_streaming else requests[0]
        received = rpc(sent, timeout=timeout_s, metadata=self._connection.metadata)
        return received if method.server_streaming else [received]

    def _standings(self, timeout_s: float) -> list[Standing | None]:
        """What each server says about itself, None of one that does not answer in this time."""
        try:
            asked = [
                peer.health.future(b"", timeout=timeout_s, metadata=self._connection.metadata)
                for peer in self._peers
            ]
        except ValueError:
            self._require_usable()
            raise
        found: list[Standing | None] = []
        for call in asked:
            try:
                found.append(Standing.of(call.result()))
            except (grpc.RpcError, grpc.FutureCancelledError):
                found.append(None)
        return found

    def _require_usable(self) -> None:
        self._process.require()
        if self._closed:
            raise Unavailable("the client is closed")


def insert_each(client: Documents, documents: DocumentsLike, namespace: str = "") -> InsertReport:
    """`client.insert_many`, with a report also when no document is stored."""
    return client._run(write_calls.insert_each(client._written, documents, namespace))
